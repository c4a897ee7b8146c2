"""
Fit on your own nights
======================

Train a stager of your own on a few scored nights.

The nights are **simulated** and the training is brief. With real nights, use the
default numbers of train epochs.
"""

import tempfile
from pathlib import Path

import mne

from mne_mc2sleep import MC2SleepClassifier, plot_history, simulate_night

mne.set_log_level("warning")

# %%
# Pass a list of recordings or paths, a list of hypnograms, and the subject of each
# night.

nights = [simulate_night(1.5 * 3600, random_state=seed) for seed in range(8)]
raws, hypnos = map(list, zip(*nights, strict=True))
subjects = ["S1", "S1", "S2", "S3", "S4", "S5", "S6", "S7"]

# %%
# Pretraining trains the whole network; fine-tuning trains the sequence level, with
# frozen backbones.

clf = MC2SleepClassifier(
    picks="EEG Fpz-Cz",
    pretrain_train_epochs=3,
    finetune_train_epochs=8,
    batch_size=4,
    random_state=0,
)
clf.fit(raws, hypnos, groups=subjects)

# %%
# The dots mark the weights that were kept: those with the best score on held-out
# subjects.

fig = plot_history(clf)

# %%
# Cohen's kappa on a night of another subject:

raw, scored = simulate_night(8 * 3600, random_state=100)
clf.score(raw, scored)

# %%
# Save the weights with settings and training history. The file contains no code.

fname = Path(tempfile.mkdtemp()) / "lab.safetensors"
clf.save(fname)
MC2SleepClassifier.from_pretrained(fname)
