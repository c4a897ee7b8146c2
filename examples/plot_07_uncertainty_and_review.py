"""
Uncertainty, and what to review
===============================

Check the calibration of the probabilities, find the epochs that a human should review,
and estimate how much the review improves the accuracy.

The nights are **simulated**. Draw the curves for your scored nights that the stager was
not trained on.
"""

import mne
import numpy as np
import pandas as pd

from mne_mc2sleep import (
    MC2SleepClassifier,
    annotate_review,
    epochs_to_review,
    expected_calibration_error,
    plot_reliability,
    plot_risk_coverage,
    simulate_night,
)

mne.set_log_level("warning")

# %%
# Stage scored nights, and pool their epochs.

nights = [simulate_night(8 * 3600, random_state=seed) for seed in (50, 51)]
raws, hypnos = map(list, zip(*nights, strict=True))
reference = np.concatenate([hypno.as_int() for hypno in hypnos])
clf = MC2SleepClassifier.from_pretrained().set_params(picks="EEG Fpz-Cz")
proba = pd.concat(clf.predict_proba(raws))

# %%
# Of the epochs staged with a confidence of 80 %, are 80 % right? Below the diagonal,
# the stager is overconfident, as may happen with nights unlike the training data.

fig = plot_reliability(proba, reference)

# %%
# Fine-tuning also fits the calibration temperature to subjects that are left out in
# turn.

others = [simulate_night(2 * 3600, random_state=seed) for seed in range(54, 57)]
clf.set_params(batch_size=4, finetune_train_epochs=10, random_state=0)
clf.finetune(*map(list, zip(*others, strict=True)))
proba = pd.concat(clf.predict_proba(raws))
fig = plot_reliability(proba, reference)

# %%
# The expected calibration error summarizes the curve.

expected_calibration_error(proba, reference)

# %%
# The accuracy of the other epochs if a human scores the least confident ones:

fig = plot_risk_coverage(proba, reference)

# %%
# In a new night without scores, a human should review these epochs first.

raw, _ = simulate_night(8 * 3600, random_state=53)
hypno = clf.predict(raw)
review = epochs_to_review(hypno, share=0.05)
review.head(10)

# %%
# As annotations, they can be corrected in MNE's browser: see
# :ref:`sphx_glr_auto_examples_plot_12_review_loop.py`.

raw.set_annotations(annotate_review(hypno, share=0.05))
raw.annotations.count()
