"""Signals generated from the band powers of real nights, to train on.

No signal depends on a sleep stage: a network trained on such nights would learn the
drawing of a stage, not sleep.
"""

from .resynthesis import resynthesize, resynthesize_anywhere
from .spectra import BANDS, WELCH_N_TIMES

__all__ = ["BANDS", "WELCH_N_TIMES", "resynthesize", "resynthesize_anywhere"]
