"""The algorithms of the fully connected CRF: permutohedral lattice and mean-field inference."""
