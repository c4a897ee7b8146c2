"""
A hypnodensity every 5 s
========================

Windows of 30 s that begin every 5 s follow transitions more closely than epochs do.

The night is **simulated**. Each row describes 30 s, so short arousals are not resolved.
"""

import mne

from mne_mc2sleep import MC2SleepClassifier, plot_night, simulate_night

mne.set_log_level("warning")

raw, _ = simulate_night(2 * 3600, random_state=7)
clf = MC2SleepClassifier.from_pretrained().set_params(picks="EEG Fpz-Cz")
hypno = clf.predict(raw)

# %%
# A row for each window, indexed by its onset in seconds.

proba = clf.predict_proba(raw, step=5)
proba.round(2).head()

# %%
# Drawn at the centres of the windows, below the hypnogram of epochs.

fig = plot_night(raw, hypno, proba=proba, picks="EEG Fpz-Cz")
