"""
A report of a night
===================

Hypnogram, statistics, epochs to review and the recording on one HTML page, by
:class:`mne.Report`.

The night is **simulated**.
"""

import tempfile
from pathlib import Path

import mne
import pandas as pd

from mne_mc2sleep import (
    MC2SleepClassifier,
    epochs_to_review,
    hypnogram_to_annotations,
    plot_night,
    simulate_night,
)

mne.set_log_level("warning")

raw, _ = simulate_night(8 * 3600, random_state=4)
clf = MC2SleepClassifier.from_pretrained()
hypno = clf.predict(raw, picks="EEG Fpz-Cz")
raw.set_annotations(hypnogram_to_annotations(hypno))

# %%
# Make a figure,

fig = plot_night(raw, hypno, picks="EEG Fpz-Cz")

# %%
# and two tables.

statistics = pd.Series(hypno.sleep_statistics(), name="value").round(1).to_frame()
review = epochs_to_review(hypno, share=0.02).round(2)
review

# %%
# Put them together. To see it, open the file in a browser.

report = mne.Report("Night of the first of January")
report.add_figure(fig, "Night", tags=("hypnogram",))
report.add_html(statistics.to_html(), "Sleep statistics (minutes and percent)")
report.add_html(review.to_html(index=False), "Epochs to look at again")
report.add_raw(raw, "Recording", psd=True, butterfly=False)
fname = Path(tempfile.mkdtemp()) / "night.html"
report.save(fname, open_browser=False)
f"{fname.name}: {fname.stat().st_size / 1e6:.1f} MB"
