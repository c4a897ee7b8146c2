"""
Uncertainty, and what to look at again
======================================

Can the probabilities be trusted, what does it bring to have the least certain epochs
scored by a human, and which epochs are these?

The nights are **simulated**: on yours, the curves look different. Draw them on nights
that you scored and that the stager was not trained on.
"""

import mne
import numpy as np
import pandas as pd

from mne_mc2sleep import (
    MC2SleepClassifier,
    epochs_to_review,
    expected_calibration_error,
    plot_reliability,
    plot_risk_coverage,
    simulate_night,
)

mne.set_log_level("warning")

# %%
# Scored nights to judge by; their epochs are pooled.

nights = [simulate_night(8 * 3600, random_state=seed) for seed in (50, 51, 52)]
raws, hypnos = map(list, zip(*nights, strict=True))
reference = np.concatenate([hypno.as_int() for hypno in hypnos])
clf = MC2SleepClassifier.from_pretrained().set_params(picks="EEG Fpz-Cz")
proba = pd.concat(clf.predict_proba(raws))

# %%
# Of the epochs staged with a confidence of 80 %, are 80 % right? Below the diagonal the
# stager is too sure: simulated nights are foreign to the shipped weights, which learnt
# from resynthesised nights of people. That can happen with your recorder, too.

fig = plot_reliability(proba, reference)

# %%
# Fine-tuning on other nights of the same kind adapts the stager, and fits the
# temperature that makes confidence and accuracy agree.

others = [simulate_night(4 * 3600, random_state=seed) for seed in range(54, 60)]
clf.set_params(batch_size=4, validation_fraction=0.34, random_state=0)
clf.finetune(*map(list, zip(*others, strict=True)))
proba = pd.concat(clf.predict_proba(raws))
fig = plot_reliability(proba, reference)

# %%
# Its one number is the expected calibration error.

expected_calibration_error(proba, reference)

# %%
# The accuracy of what remains if a human scores the least certain epochs:

fig = plot_risk_coverage(proba, reference)

# %%
# A new night that nobody scored: these epochs are worth a human's time first.

raw, _ = simulate_night(8 * 3600, random_state=53)
review = epochs_to_review(clf.predict(raw), share=0.05)
review.head(10)

# %%
# As annotations, to walk through them in MNE's browser.

labels = "Review: " + review["stage"] + " or " + review["second"]
raw.set_annotations(mne.Annotations(review["onset"], 30, labels))
raw.annotations.count()
