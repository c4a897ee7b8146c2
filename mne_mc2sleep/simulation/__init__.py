"""Simulated nights for tests and examples, which need no data."""

from .nights import make_raw, simulate_night

__all__ = ["make_raw", "simulate_night"]
