"""Make EEG from band powers, and scored nights that need no data.

Nothing here draws a signal by sleep stage: a network trained on such nights would learn
the drawing, not sleep.
"""

from .nights import make_raw, simulate_night
from .resynthesis import resynthesize, resynthesize_anywhere
from .spectra import BANDS, WELCH_N_TIMES

__all__ = [
    "BANDS",
    "WELCH_N_TIMES",
    "make_raw",
    "resynthesize",
    "resynthesize_anywhere",
    "simulate_night",
]
