"""HTTP service: a request sends a photo, the response is its mask.

app.py        routes and their OpenAPI description
service.py    segmentation of one photo: decoding, network, mask; limits on simultaneous photos
batching.py   groups simultaneous photos of one working size into batches
uploads.py    reads the photo from a request, with limits on size and time
responses.py  masks as PNG or JSON
errors.py     request errors and their JSON responses
metrics.py    Prometheus metrics
timeouts.py   closes connections that send no complete request
server.py     runs uvicorn with one or several worker processes
"""
