"""The algorithms of GrabCut: color models, pixel graph, minimum cut, coarse-to-fine pyramid."""
