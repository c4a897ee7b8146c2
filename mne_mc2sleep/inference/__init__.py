"""Staging by sliding windows and its calibration, attention maps, review."""
