"""Cohorts of scored nights: Sleep-EDF, SHHS, or a folder of one's own."""

from . import folder, shhs, sleep_edf
from .folds import Fold, make_folds
from .records import FoundNights, NightRecord, prepare_nights, read_night

__all__ = [
    "Fold",
    "FoundNights",
    "NightRecord",
    "folder",
    "make_folds",
    "prepare_nights",
    "read_night",
    "shhs",
    "sleep_edf",
]
