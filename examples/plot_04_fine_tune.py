"""
Fine-tune the shipped weights to your laboratory
================================================

Adapt the weights to your montage and your scorer with three scored nights.

The nights are **simulated**: the "laboratory" records Pz-Oz only. Find out by
cross-validation how much it helps on your nights:
:ref:`sphx_glr_auto_examples_plot_08_many_nights.py`.
"""

import mne
import pandas as pd

from mne_mc2sleep import MC2SleepClassifier, plot_confusion_matrix, simulate_night

mne.set_log_level("warning")
CHANNEL = "EEG Pz-Oz"

# %%
# Nights for the training, and a night of another subject for the evaluation.

nights = [simulate_night(3 * 3600, random_state=seed) for seed in (20, 21, 22)]
raws, hypnos = map(list, zip(*nights, strict=True))
new_raw, scored = simulate_night(8 * 3600, random_state=120)

# %%
# The weights as shipped:

clf = MC2SleepClassifier.from_pretrained().set_params(picks=CHANNEL, random_state=0)
kappas = {"as shipped": clf.score(new_raw, scored)}
before = clf.predict(new_raw)

# %%
# Adapt them. The sequence level is fine-tuned, then averaged with the old weights, here
# half and half (``adaptation``). By default, subjects are left out in turn to choose
# this share; with so few nights it may be 0.

clf.set_params(batch_size=4, finetune_train_epochs=10, adaptation=0.5)
clf.finetune(raws, hypnos)
kappas["fine-tuned"] = clf.score(new_raw, scored)
pd.Series(kappas, name="Cohen's kappa").to_frame()

# %%
# Which stages changed?

fig = plot_confusion_matrix(before, clf.predict(new_raw))
_ = fig.axes[0].set(xlabel="Fine-tuned", ylabel="As shipped (epochs)")
