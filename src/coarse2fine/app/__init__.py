"""Review page: a local web page to check the masks of a run and to try its network on any photo.

server.py      starts the page of a run
routes.py      HTTP routes
access.py      access control: allowed hosts, origin check, authentication token
photo_list.py  the photos of a run: filter, order, scores, stages, decisions
images.py      photos and masks for the page, and drawn masks from the page
undo.py        undo of decisions
smart_brush.py a rough stroke becomes the object under it, by GrabCut
network.py     the network of the run, loaded on its first use
page/          HTML, CSS and JavaScript of the page
"""
