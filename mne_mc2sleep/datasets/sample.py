"""A short real recording with its stages, for examples and first steps."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import mne
import numpy as np
import pandas as pd

from .._constants import EPOCH_DURATION
from .._utils import data_folder, download

if TYPE_CHECKING:
    from yasa import Hypnogram

BASE_URL = (
    "https://raw.githubusercontent.com/preraulab/pyDYNAM-O/"
    "c593cfa36c1ebe2dbb130143175e2d49be80898f/examples/_example_data/"
)
_SHA256 = {
    "data": "a8f4490ffb5e0b6c92f09415b45acfb3950cce629834755bdb7e4823cc3590e1",
    "stages": "25a7d5ff1542d35103a5353c3cb10f23d91435fd773a6659f28e1b243c973621",
}
_SFREQ = 100.0
_FIRST_TIME = 10.01  # s; the stages change on a grid that begins here
_STAGES = {5: "WAKE", 4: "REM", 3: "N1", 2: "N2", 1: "N3"}


def fetch_sample(
    path: str | os.PathLike | None = None, base_url: str = BASE_URL
) -> tuple[mne.io.RawArray, Hypnogram]:
    """Download 84 minutes of real sleep EEG with an expert's stages.

    The recording is the example segment of pyDYNAM-O (Prerau laboratory, BSD-3-Clause,
    https://github.com/preraulab/pyDYNAM-O): one EEG channel of one sleeper at 100 Hz,
    167 epochs. It is downloaded once (3.7 MB).

    Parameters
    ----------
    path : path-like | None
        The folder of the data sets. None is ``MNE_DATA``.
    base_url : str
        The address of the files, or of a mirror.

    Returns
    -------
    raw : RawArray
        The recording, with the channel ``"EEG"``. It begins with the first epoch.
    hypno : yasa.Hypnogram
    """
    from yasa import Hypnogram

    folder = data_folder(path, "mne_mc2sleep_sample")
    files = {f"segment_{part}.csv": sha256 for part, sha256 in _SHA256.items()}
    data, changes = (
        download(base_url + name, folder / name, sha256)
        for name, sha256 in files.items()
    )
    signal = np.loadtxt(data)[round(_FIRST_TIME * _SFREQ) :]  # µV
    table = pd.read_csv(changes)
    n_epochs = int(signal.size / _SFREQ // EPOCH_DURATION)
    middles = _FIRST_TIME + EPOCH_DURATION * (np.arange(n_epochs) + 0.5)
    rows = np.searchsorted(table["Time"], middles, side="right") - 1
    stages = [_STAGES[code] for code in table["Stage"].to_numpy()[rows]]
    signal = signal[: round(n_epochs * EPOCH_DURATION * _SFREQ)]
    info = mne.create_info(["EEG"], _SFREQ, "eeg")
    raw = mne.io.RawArray(1e-6 * signal[np.newaxis], info, verbose="WARNING")
    return raw, Hypnogram(stages, freq="30s", scorer="Expert")
