"""A network over HTTP: a photo in, its mask out.

app.py       routes, and what is said to whom
service.py   one photo's way: places, decoding, the network, the mask
batching.py  concurrent photos of one shape share a batch
reading.py   requests: how much, how long, in which form
answers.py   masks as PNG or JSON
metrics.py   what is counted
patience.py  connections that send no request are closed
server.py    uvicorn, one process or several
"""
