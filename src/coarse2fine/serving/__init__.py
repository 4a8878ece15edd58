"""A network over HTTP: a photo in, its mask out.

app.py         routes
service.py     one photo's way: places, decoding, the network, the mask
batching.py    concurrent photos of one shape share a batch
reading.py     requests: how much, how long, in which form
refusal.py     why a request is not served
explaining.py  what is said then: one sentence, as JSON
answers.py     masks as PNG or JSON
metrics.py     what is counted
patience.py    connections that send no request are closed
server.py      uvicorn, one process or several
"""
