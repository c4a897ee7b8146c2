"""
Pretrain without labels
=======================

The backbones can be trained on nights that nobody scored: both encode the same epochs,
and each recovers the epochs that were hidden from the other. Then a few scored nights
are enough to learn the stages.

The nights are **simulated**, few and short: the kappas below show what to compare, not
how much pretraining helps with real recordings.
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
# It cannot stage yet. Fine-tuning on the scored nights trains the sequence level, with
# frozen backbones. Of only two nights none is held out, so the training ends after the
# given number of train epochs.

clf.set_params(validation_fraction=0)
clf.finetune(raws, hypnos)
fig = plot_history(clf)

# %%
# The same two nights, without the four:

alone = MC2SleepClassifier(**clf.get_params()).fit(raws, hypnos)
kappas = {
    "pretrained on 4 nights without labels": clf.score(new_raw, scored),
    "trained on the 2 scored nights alone": alone.score(new_raw, scored),
}
pd.Series(kappas, name="Cohen's kappa").to_frame()
