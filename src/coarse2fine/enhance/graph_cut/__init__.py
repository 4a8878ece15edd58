"""The algorithms of GrabCut: color mixtures, pixel graph, max-flow/min-cut, and the coarse-to-fine image pyramid."""
