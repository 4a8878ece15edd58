"""Algorithm 1 of the paper (fit), its stages, and the stages on plain folders."""
