"""Scored nights: Sleep-EDF, SHHS, UCDDB, or your own folder."""

from . import folder as folder
from . import shhs as shhs
from . import sleep_edf as sleep_edf
from . import ucddb as ucddb
from .records import Fold as Fold
from .records import FoundNights as FoundNights
from .records import NightRecord as NightRecord
from .records import make_folds as make_folds
from .records import prepare_nights as prepare_nights
from .records import read_night as read_night
from .sample import fetch_sample as fetch_sample
