"""Simulated nights for tests and examples, which need no data."""

from .nights import make_raw as make_raw
from .nights import simulate_night as simulate_night
