"""
Pretrain without labels
=======================

Nights that nobody scored can teach the backbones: both look at the same epochs, and
each must recover what was hidden from the other. A few scored nights then suffice to
learn what the stages are called.

The nights are **simulated**, few and short: the kappas below show what to compare, not
what pretraining brings on people.
"""

import mne
import pandas as pd

from mne_mc2sleep import MC2SleepClassifier, plot_history, simulate_night

mne.set_log_level("warning")

# %%
# Six nights without stages, and two with.

unscored = [simulate_night(1.5 * 3600, random_state=seed)[0] for seed in range(30, 36)]
nights = [simulate_night(2 * 3600, random_state=seed) for seed in (40, 41)]
raws, hypnos = map(list, zip(*nights, strict=True))
new_raw, scored = simulate_night(6 * 3600, random_state=140)

# %%
# Without ``hypnos``, pretraining learns from InfoNCE and cross-masking alone.

clf = MC2SleepClassifier(
    picks="EEG Fpz-Cz",
    pretrain_train_epochs=4,
    finetune_train_epochs=20,
    batch_size=4,
    validation_fraction=0.25,
    random_state=0,
)
clf.pretrain(unscored)

# %%
# So far it cannot stage. The scored nights teach it to, with the backbones frozen. With
# two of them none is held out: training ends after the given number of passes.

clf.set_params(validation_fraction=0)
clf.finetune(raws, hypnos)
fig = plot_history(clf)

# %%
# The same two nights, without the six:

alone = MC2SleepClassifier(**clf.get_params()).fit(raws, hypnos)
kappas = {
    "pretrained on 6 nights without labels": clf.score(new_raw, scored),
    "trained on the 2 scored nights alone": alone.score(new_raw, scored),
}
pd.Series(kappas, name="Cohen's kappa").to_frame()
