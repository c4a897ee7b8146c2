"""
A real night: Sleep-EDF
=======================

A night of the Sleep-EDF Database Expanded (Kemp et al. 2000), which MNE fetches from
PhysioNet (about 50 MB for each of the subject's two nights). Where there is no network,
this page shows the code, and says that nothing was fetched.

The model card lists the data that the shipped weights were trained on. A score on one
night does not replace an evaluation: see :doc:`/evaluation`.
"""

from contextlib import suppress

import mne

from mne_mc2sleep import MC2SleepClassifier, plot_confusion_matrix, plot_night
from mne_mc2sleep.datasets import sleep_edf
from mne_mc2sleep.io.hypnograms import stages_on_grid

mne.set_log_level("warning")

# %%
# The recording lasts a day. As is the custom, half an hour of wake is kept on either
# side of the sleep.

record = None
with suppress(ConnectionError):
    record = sleep_edf.fetch_nights([0]).records[0]
if record is None:
    print("There is no network here: no night was fetched, and none is staged.")
else:
    annotations = mne.read_annotations(record.hypnogram)
    sleep = [a for a in annotations if a["description"][-1] in "1234R"]
    raw = mne.io.read_raw(record.recording)
    raw.crop(
        max(sleep[0]["onset"] - 1800, 0),
        min(sleep[-1]["onset"] + sleep[-1]["duration"] + 1800, raw.times[-1]),
    )

# %%
# Stage it, and compare with the expert. The two are aligned by their times.

if record is not None:
    clf = MC2SleepClassifier.from_pretrained().set_params(picks=sleep_edf.CHANNEL)
    hypno = clf.predict(raw)
    scored = stages_on_grid(record.hypnogram, hypno.n_epochs, hypno.start)
    plot_night(raw, hypno, picks=sleep_edf.CHANNEL)
    plot_confusion_matrix(scored, hypno)
