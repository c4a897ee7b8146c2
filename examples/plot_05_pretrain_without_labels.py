"""
Pretrain without labels
=======================

Train the backbones on unscored nights, then the stages on a few scored ones.

The nights are **simulated**: the kappas do not show how much pretraining helps with
real recordings (see :doc:`/ablations`).
"""

import mne
import pandas as pd

from mne_mc2sleep import MC2SleepClassifier, plot_history, simulate_night

mne.set_log_level("warning")

# %%
# Four nights without stages, and two with.

unscored = [simulate_night(1.5 * 3600, random_state=seed)[0] for seed in range(30, 34)]
nights = [simulate_night(2 * 3600, random_state=seed) for seed in (40, 41)]
raws, hypnos = map(list, zip(*nights, strict=True))
new_raw, scored = simulate_night(6 * 3600, random_state=140)

# %%
# Without ``hypnos``, pretraining learns from InfoNCE and cross-masking alone.

clf = MC2SleepClassifier(
    picks="EEG Fpz-Cz",
    pretrain_train_epochs=3,
    finetune_train_epochs=15,
    batch_size=4,
    validation_fraction=0.25,
    random_state=0,
)
clf.pretrain(unscored)

# %%
# It cannot stage yet: fine-tune it on the scored nights. Two are too few to hold one
# out, so the training ends after the given number of train epochs.

clf.set_params(validation_fraction=0)
clf.finetune(raws, hypnos)
fig = plot_history(clf)

# %%
# For comparison, train on the two scored nights alone:

alone = MC2SleepClassifier(**clf.get_params()).fit(raws, hypnos)
kappas = {
    "pretrained on 4 nights without labels": clf.score(new_raw, scored),
    "trained on the 2 scored nights alone": alone.score(new_raw, scored),
}
pd.Series(kappas, name="Cohen's kappa").to_frame()
