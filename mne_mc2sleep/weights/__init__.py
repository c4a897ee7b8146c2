"""Weights in files: their format, and where to find them."""
