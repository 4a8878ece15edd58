"""The algorithms of GrabCut.

pyramid.py       GrabCut from coarse to fine on an image pyramid
trimap.py        which pixels are fixed, and which the minimum cut decides
color_models.py  Gaussian mixture models of background and foreground colors
pixel_graph.py   the graph whose minimum cut is the mask of minimum energy
max_flow.py      maximum flow and minimum cut
compilation.py   compilation with numba
"""
