"""
Compare with a scorer
=====================

Agreement, confusion matrix and both hypnograms of one night.

The night is **simulated**, and the "scorer" is the simulation. For a real sleeper, see
:ref:`sphx_glr_auto_examples_plot_11_real_recording.py`.
"""

import matplotlib.pyplot as plt
import mne
import pandas as pd

from mne_mc2sleep import (
    MC2SleepClassifier,
    plot_confusion_matrix,
    score_stages,
    simulate_night,
)

mne.set_log_level("warning")

# %%
# The scorer's hypnogram could also be a file: see :func:`mne_mc2sleep.read_hypnogram`.

raw, scored = simulate_night(8 * 3600, random_state=1)
clf = MC2SleepClassifier.from_pretrained()
hypno = clf.predict(raw, picks="EEG Fpz-Cz")

# %%
# YASA compares two hypnograms of one night: agreement, also stage by stage.

agreement = scored.evaluate(hypno)
agreement.get_agreement()

# %%

agreement.get_agreement_bystage()

# %%

fig, ax = plt.subplots(figsize=(10, 3.5), layout="constrained")
agreement.plot_hypnograms(ax=ax)
_ = ax.legend(bbox_to_anchor=(1, 1), frameon=False)

# %%
# Each row holds the epochs of one stage of the scorer; its diagonal is the recall.

fig = plot_confusion_matrix(scored, hypno)

# %%
# ``score_stages`` compares epoch by epoch, regardless of start times. Report its number
# of epochs with every score.

pd.Series(score_stages(scored.as_int(), hypno.as_int()))

# %%
# The effect on the sleep statistics:

statistics = {"scorer": scored, "stager": hypno}
pd.DataFrame({name: stages.sleep_statistics() for name, stages in statistics.items()})
