"""Scored nights: Sleep-EDF, SHHS, UCDDB, or your own folder."""

from . import folder, shhs, sleep_edf, ucddb
from .records import (
    Fold,
    FoundNights,
    NightRecord,
    make_folds,
    prepare_nights,
    read_night,
)
from .sample import fetch_sample

__all__ = [
    "Fold",
    "FoundNights",
    "NightRecord",
    "fetch_sample",
    "folder",
    "make_folds",
    "prepare_nights",
    "read_night",
    "shhs",
    "sleep_edf",
    "ucddb",
]
