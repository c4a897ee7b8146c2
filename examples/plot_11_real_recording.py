"""
A real recording against its expert
===================================

Stage a **real** sleeper whom the shipped weights were not trained on: 84 minutes of the
example data of pyDYNAM-O (Prerau laboratory, BSD-3-Clause).

Figures and table are from the last build of this page that could download the
recording. The table names the version.
"""

# sphinx_gallery_thumbnail_path = 'figures/real_recording.png'

import mne
import pandas as pd

import mne_mc2sleep
from mne_mc2sleep import (
    MC2SleepClassifier,
    fetch_sample,
    plot_confusion_matrix,
    plot_night,
    score_stages,
)

mne.set_log_level("warning")

# %%
# Download the recording, 3.7 MB, once. ``expert`` is a :class:`yasa.Hypnogram`.

raw, expert = fetch_sample()

# %%
# Stage it. The picture marks the epochs in which stager and expert disagree.

hypno = MC2SleepClassifier.from_pretrained().predict(raw)
fig = plot_night(raw, hypno, expert, title="pyDYNAM-O, 84 min", show=False)
fig.savefig("real_recording.png", dpi=80)

# %%
# .. image:: /figures/real_recording.png
#    :alt: Hypnograms of the expert and the stager, probabilities, spectrogram and
#       confidence of 84 minutes.
#
# Each row holds the epochs of one stage of the expert; its diagonal is the recall.

fig = plot_confusion_matrix(expert, hypno, show=False)
fig.savefig("real_recording_confusion.png", dpi=80)

# %%
# .. image:: /figures/real_recording_confusion.png
#    :alt: Confusion matrix of expert and stager.
#
# One short recording with few epochs of wake and N1 does not replace an evaluation: see
# :doc:`/model_card` and :doc:`/evaluation`.

scores = pd.Series(score_stages(expert.as_int(), hypno.as_int()))
scores = scores.rename(f"version {mne_mc2sleep.__version__}")
scores.to_csv("real_recording.csv", index_label="score", float_format="%.3g")

# %%
# .. csv-table::
#    :file: ../figures/real_recording.csv
#    :header-rows: 1
