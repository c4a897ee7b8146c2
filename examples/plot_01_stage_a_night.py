"""
Stage a night
=============

From an EDF file to a hypnogram, to sleep statistics, and to files for other programs,
with the weights that ship with the package.

The night is **simulated**; it says nothing about how well people are staged.
"""

import tempfile
from pathlib import Path

import mne
import pandas as pd

from mne_mc2sleep import (
    MC2SleepClassifier,
    plot_night,
    simulate_night,
    write_hypnogram,
)

mne.set_log_level("warning")

# %%
# An EDF file, as a recorder would write it. Take the path of your own instead.

folder = Path(tempfile.mkdtemp())
fname = folder / "night.edf"
raw, _ = simulate_night(8 * 3600, random_state=0)
raw.export(fname)

# %%
# Stage it. ``picks`` names the EEG channel; without it, the stager takes the first in
# its order of preference that the recording has.

clf = MC2SleepClassifier.from_pretrained()
hypno = clf.predict(fname, picks="EEG Fpz-Cz")
hypno

# %%
# What comes back is a :class:`yasa.Hypnogram`, with all that YASA can do with one.

pd.Series(hypno.sleep_statistics())

# %%
# Do hypnogram and spectrogram fit each other, and how sure was the stager?

fig = plot_night(fname, hypno, picks="EEG Fpz-Cz")

# %%
# The same as a table with probabilities, as BIDS events, and as EDF+ annotations.

for suffix in (".csv", ".tsv", ".edf"):
    write_hypnogram(folder / f"night_hypnogram{suffix}", hypno)
sorted(path.name for path in folder.iterdir())
