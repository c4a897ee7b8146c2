"""
Review, correct, adapt
======================

Stage nights, let a human correct the least certain 10 % of the epochs in MNE's browser,
fine-tune on the corrected nights, and measure the gain on a night that was not
corrected.

The nights are **simulated**, and their true stages replace the human. Measure the gain
on your own nights with `evaluate`.
"""

import mne
import numpy as np

from mne_mc2sleep import (
    MC2SleepClassifier,
    annotate_review,
    evaluate,
    plot_night,
    read_review,
    simulate_night,
)

mne.set_log_level("warning")

nights = [simulate_night(3 * 3600, random_state=seed) for seed in range(60, 64)]
raws, truths = map(list, zip(*nights, strict=True))
new_raw, new_truth = simulate_night(4 * 3600, random_state=70)
clf = MC2SleepClassifier.from_pretrained()
clf.set_params(
    picks="EEG Fpz-Cz", random_state=0, batch_size=4, finetune_train_epochs=10
)

# %%
# Stage. The gain is measured on a night that is not corrected.

hypnos = clf.predict(raws)
before = evaluate(clf, new_raw, new_truth).loc["pooled", ["accuracy", "kappa"]]

# %%
# The least certain epochs become annotations of the recording. In ``raw.plot()``, press
# ``a``, click on one, and change its description to the right stage, such as "N1".

for raw, hypno in zip(raws, hypnos, strict=True):
    raw.set_annotations(annotate_review(hypno, share=0.1))
raws[0].annotations.count()

# %%
# Here, the true stages replace the human.

for raw, truth in zip(raws, truths, strict=True):
    epochs = np.rint((raw.annotations.onset - raw.first_time) / 30).astype(int)
    raw.annotations.description[:] = truth.hypno.iloc[epochs].to_list()

# %%
# Read the corrected hypnograms back, and see where they differ from the stager's.

corrected = [
    read_review(hypno, raw.annotations) for raw, hypno in zip(raws, hypnos, strict=True)
]
fig = plot_night(raws[0], hypnos[0], corrected[0], picks="EEG Fpz-Cz")

# %%
# Adapt, and stage again: the gain on the night that was not corrected.

clf.finetune(raws, corrected)
after = evaluate(clf, new_raw, new_truth).loc["pooled", ["accuracy", "kappa"]]
print(f"before: accuracy {before['accuracy']:.3f}, kappa {before['kappa']:.3f}")
print(f"after:  accuracy {after['accuracy']:.3f}, kappa {after['kappa']:.3f}")
