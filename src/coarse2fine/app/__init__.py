"""A local page: check the masks of a run, doubtful first, and try its network on any photo.

server.py    uvicorn around it; the token
guard.py     who may ask: hosts, origins, token
routes.py    what may be asked
gallery.py   the photos of the run: which, in which order, what is known of one
masks.py     masks on their way to the page and back
finding.py   the network, loaded when the first photo is dropped
page/        what the browser loads: HTML, CSS and JavaScript as they are
"""
