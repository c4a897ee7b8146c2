"""
Many nights and groups, with scikit-learn
=========================================

Cross-validation and grid search of scikit-learn work on lists of recordings. Split by
**subject**, because two nights of one subject resemble each other.

The nights are **simulated** and the training is brief; the scores say nothing about
people.
"""

import matplotlib.pyplot as plt
import mne
import pandas as pd
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score

from mne_mc2sleep import MC2SleepClassifier, simulate_night

mne.set_log_level("warning")

# %%
# Two nights of each of four subjects. If you pass paths, one night at a time is in
# memory.

seeds = (62, 63, 68, 69, 75, 80, 81, 83)  # of hours in which no stage is missing
nights = [simulate_night(3600, random_state=seed) for seed in seeds]
raws, hypnos = map(list, zip(*nights, strict=True))
subjects = ["S1", "S1", "S2", "S2", "S3", "S3", "S4", "S4"]
folds = GroupKFold(2)

# %%
# Cross-validate a fine-tuning
# ----------------------------
# Each fold fine-tunes a new copy of ``weights``, and scores other subjects.

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
# Choose the share of hidden epochs in pretraining. ``n_jobs`` runs the trainings in
# parallel, ``joblib.parallel_config`` on a cluster.

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
# One dot per fold, a line through their means. Differences smaller than those between
# folds show nothing, and two folds are too few to decide.

results = pd.DataFrame(search.cv_results_).set_index("param_mask_ratio")
kappas = results.filter(regex=r"split\d_test_score")
fig, ax = plt.subplots(layout="constrained")
ax.plot(kappas, "o", color="black")
ax.plot(results["mean_test_score"])
_ = ax.set(xlabel="Share of the epochs hidden", ylabel="Cohen's kappa")
