"""Nights to train on: in memory, or in an on-disk cache."""
