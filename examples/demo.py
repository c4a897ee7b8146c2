"""Stage a recording from a file with the weights that ship with the package.

``make demo`` runs this in less than a minute, without a graphics card. The recording is
real, 84 minutes of pyDYNAM-O (BSD-3-Clause), or a simulated night if it cannot be
downloaded.
"""

import warnings
from pathlib import Path

import mne
import pandas as pd
import yasa
from sklearn.exceptions import InconsistentVersionWarning

from mne_mc2sleep import (
    MC2SleepClassifier,
    epochs_to_review,
    fetch_sample,
    plot_night,
    score_stages,
    simulate_night,
    write_hypnogram,
)

mne.set_log_level("warning")
# YASA's classifier was saved by an older scikit-learn; its stages are not affected.
warnings.simplefilter("ignore", InconsistentVersionWarning)

# 1. A recording in a file, as a recorder would write it. Use your own instead.
try:
    raw, expert = fetch_sample()
    source = "a real recording (pyDYNAM-O)"
    note = "One short recording: see the model card for more."
except OSError:
    raw, expert = simulate_night(8 * 3600, random_state=1000)
    source = "a simulated night (the real recording could not be downloaded)"
    note = "It says nothing about how well either stages people."
folder = Path("demo")
folder.mkdir(exist_ok=True)
fname = folder / "night.edf"
raw.export(fname, overwrite=True)
channel = raw.ch_names[0]

# 2. Stage it.
hypno = MC2SleepClassifier.from_pretrained().predict(fname, picks=channel)

# 3. Compare with the true stages, and with YASA's stager.
raw = mne.io.read_raw(fname, preload=True)
yasa_hypno = yasa.SleepStaging(raw, eeg_name=channel).predict()
print(f"Cohen's kappa on {source}, {hypno.n_epochs} epochs:")
for name, stages in (("MC2SleepNet", hypno), ("YASA", yasa_hypno)):
    scores = score_stages(expert.as_int(), stages.as_int())
    print(f"  {name:<12} {scores['kappa']:.2f}")
print(f"({note})")

# 4. Sleep statistics, and where a human should look first.
print("\nSleep statistics (minutes and percent):")
print(pd.Series(hypno.sleep_statistics()).to_string(float_format="{:.1f}".format))
print("\nThe five epochs that it is least sure of:")
print(epochs_to_review(hypno).head().to_string(index=False))

# 5. Keep it: a table with probabilities, BIDS events, EDF+ annotations, and a picture.
for suffix in (".csv", ".tsv", ".edf"):
    write_hypnogram(folder / f"night_hypnogram{suffix}", hypno, overwrite=True)
plot_night(raw, hypno, expert, picks=channel, show=False).savefig(folder / "night.png")
print(f"\nThe files are in {folder.resolve()}:")
print(*sorted(path.name for path in folder.iterdir()), sep="\n")
