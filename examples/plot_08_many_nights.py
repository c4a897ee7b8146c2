"""
Many nights and groups, with scikit-learn
=========================================

The stager is a scikit-learn classifier of recordings: cross-validation and grid search
work on lists of them. Split by **subject**: a second night of somebody whom the stager
was trained on is not new.

The nights are **simulated**, few and short, and the training is brief; the scores say
nothing about people.
"""

import matplotlib.pyplot as plt
import mne
import pandas as pd
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score

from mne_mc2sleep import MC2SleepClassifier, simulate_night

mne.set_log_level("warning")

# %%
# Two nights of each of four subjects. With paths instead of recordings, one night at a
# time is in memory.

seeds = (62, 63, 68, 69, 75, 80, 81, 83)  # of hours in which no stage is missing
nights = [simulate_night(3600, random_state=seed) for seed in seeds]
raws, hypnos = map(list, zip(*nights, strict=True))
subjects = ["S1", "S1", "S2", "S2", "S3", "S3", "S4", "S4"]
folds = GroupKFold(2)

# %%
# Cross-validate a fine-tuning
# ----------------------------
# How well do the shipped weights stage subjects of your laboratory after they were
# adapted to other subjects? Each fold fine-tunes a copy of the weights that the
# parameter ``weights`` names; nothing is carried over from fold to fold.

clf = MC2SleepClassifier.from_pretrained().set_params(
    picks="EEG Fpz-Cz", finetune_train_epochs=5, batch_size=4, random_state=0
)
adapted = cross_val_score(clf, raws, hypnos, groups=subjects, cv=folds)
shipped = [
    clf.score([raws[i] for i in test], [hypnos[i] for i in test])
    for _, test in folds.split(raws, groups=subjects)
]
pd.DataFrame({"as shipped": shipped, "fine-tuned": adapted}).rename_axis("fold")

# %%
# Search for a setting
# --------------------
# Which share of the epochs should pretraining hide? ``n_jobs`` runs the trainings in
# parallel, and a ``joblib.parallel_config`` runs them on a cluster.

from_scratch = MC2SleepClassifier(
    picks="EEG Fpz-Cz",
    pretrain_train_epochs=2,
    finetune_train_epochs=3,
    batch_size=4,
    learning_rate=3e-3,
    reconstruction_weight=1.0,
    random_state=0,
)
search = GridSearchCV(from_scratch, {"mask_ratio": [0.25, 0.5]}, cv=folds, refit=False)
search.fit(raws, hypnos, groups=subjects)

# %%
# One dot for each fold, a line through their means. Differences
# smaller than those between the folds show nothing, and two folds of short trainings
# are too few to decide.

results = pd.DataFrame(search.cv_results_).set_index("param_mask_ratio")
kappas = results.filter(regex=r"split\d_test_score")
fig, ax = plt.subplots(layout="constrained")
ax.plot(kappas, "o", color="black")
ax.plot(results["mean_test_score"])
_ = ax.set(xlabel="Share of the epochs hidden", ylabel="Cohen's kappa")
