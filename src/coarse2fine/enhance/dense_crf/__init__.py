"""The algorithms of the fully connected CRF.

mean_field.py  mean-field inference
lattice.py     Gaussian filtering with the permutohedral lattice
batching.py    photos of any sizes in one batch, without padding
"""
