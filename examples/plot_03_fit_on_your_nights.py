"""
Fit on your own nights
======================

A few scored nights in, a stager of your own out.

The nights are **simulated**, few and short, and the training is brief, so that this
page builds within a minute. Give real nights hours, and the defaults of the passes.
"""

import tempfile
from pathlib import Path

import mne

from mne_mc2sleep import MC2SleepClassifier, plot_history, simulate_night

mne.set_log_level("warning")

# %%
# Scored nights: lists of recordings and of hypnograms. Paths do too, and are read one
# at a time. ``subjects`` names the person of each night.

nights = [simulate_night(2 * 3600, random_state=seed) for seed in range(8)]
raws, hypnos = map(list, zip(*nights, strict=True))
subjects = ["S1", "S1", "S2", "S3", "S4", "S5", "S6", "S7"]

# %%
# Both stages of the training: first all weights learn, from both modalities and the
# stages; then the backbones are frozen, and what reads the sequence learns.

clf = MC2SleepClassifier(
    picks="EEG Fpz-Cz",
    pretrain_train_epochs=4,
    finetune_train_epochs=10,
    batch_size=4,
    random_state=0,
)
clf.fit(raws, hypnos, groups=subjects)

# %%
# The dots mark the passes whose weights were kept: the best on the subjects held out.

fig = plot_history(clf)

# %%
# Cohen's kappa on a night of somebody else:

raw, scored = simulate_night(8 * 3600, random_state=100)
clf.score(raw, scored)

# %%
# Keep it. The file holds the weights, the settings, and what it was trained on; no
# code.

fname = Path(tempfile.mkdtemp()) / "lab.safetensors"
clf.save(fname)
MC2SleepClassifier.from_pretrained(fname)
