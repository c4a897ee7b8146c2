"""The file format and the registry of weights."""
