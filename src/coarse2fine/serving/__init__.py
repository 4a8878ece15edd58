"""HTTP service: a request sends a photo, the response is its mask.

app.py        routes and their OpenAPI description
service.py    segmentation of one photo: decoding, network, mask; limits on simultaneous photos
batching.py   groups simultaneous photos of one working size into batches
uploads.py    reads the bodies of requests, with limits on size and time
responses.py  masks as PNG or JSON
errors.py     request errors and their JSON responses
metrics.py    Prometheus metrics
connections.py  limits on connections and on the time that a client may take
log_limit.py  limits how often the same line is logged
server.py     runs uvicorn with one or several worker processes
"""
