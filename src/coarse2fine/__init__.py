"""coarse2fine."""
