"""
Stage a night
=============

From an EDF file to a hypnogram, sleep statistics, and files for other programs.
"""

import tempfile
from pathlib import Path

import mne
import pandas as pd

from mne_mc2sleep import (
    MC2SleepClassifier,
    fetch_sample,
    plot_night,
    simulate_night,
    write_hypnogram,
)

mne.set_log_level("warning")

# %%
# The recording is 84 minutes of **real** sleep (pyDYNAM-O, BSD-3-Clause) or, if they
# cannot be downloaded, a **simulated** night.

try:
    raw, _ = fetch_sample()
    print("A real recording, from pyDYNAM-O")
except OSError:
    raw, _ = simulate_night(8 * 3600, random_state=0)
    print("A simulated night: the real recording could not be downloaded")

# %%
# Write an EDF file, as a recorder would. Use the path of your own instead.

folder = Path(tempfile.mkdtemp())
fname = folder / "night.edf"
raw.export(fname)
raw.ch_names

# %%
# Stage it. ``picks`` names the EEG channel.

channel = raw.ch_names[0]
clf = MC2SleepClassifier.from_pretrained()
hypno = clf.predict(fname, picks=channel)
hypno

# %%
# The result is a :class:`yasa.Hypnogram`, for all functions of YASA.

pd.Series(hypno.sleep_statistics())

# %%
# Check that hypnogram and spectrogram agree, and how sure the stager was.

fig = plot_night(fname, hypno, picks=channel)

# %%
# Write a table with probabilities, BIDS events, and EDF+ annotations.

for suffix in (".csv", ".tsv", ".edf"):
    write_hypnogram(folder / f"night_hypnogram{suffix}", hypno)
sorted(path.name for path in folder.iterdir())
