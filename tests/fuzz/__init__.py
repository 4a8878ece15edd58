"""Fuzz tests of the readers of files that a stranger may have written."""
