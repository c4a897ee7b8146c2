"""Stage a night from a file by the weights that ship with the package.

``make demo`` runs this. It needs no data, no network and no graphics card, and takes
less than a minute. The night is noise with the spectra of real sleep: it shows how the
package is used, and says nothing about how well it stages people.
"""

import warnings
from pathlib import Path

import mne
import pandas as pd
import yasa
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.metrics import cohen_kappa_score

from mne_mc2sleep import (
    MC2SleepClassifier,
    epochs_to_review,
    plot_night,
    simulate_night,
    write_hypnogram,
)

CHANNEL = "EEG Fpz-Cz"

mne.set_log_level("warning")
# YASA's classifier was saved by an older scikit-learn; its stages are not affected.
warnings.simplefilter("ignore", InconsistentVersionWarning)

# 1. A night in a file, as a recorder would write it. Take your own instead.
folder = Path("demo")
folder.mkdir(exist_ok=True)
fname = folder / "night.edf"
raw, expert = simulate_night(8 * 3600, random_state=1000)
raw.export(fname, overwrite=True)

# 2. Stage it.
clf = MC2SleepClassifier.from_pretrained()
hypno = clf.predict(fname, picks=CHANNEL)

# 3. Compare with the stages that the night was simulated from, and with YASA's stager.
raw = mne.io.read_raw(fname, preload=True)
yasa_hypno = yasa.SleepStaging(raw, eeg_name=CHANNEL).predict()
kappa = cohen_kappa_score(expert.as_int(), hypno.as_int())
yasa_kappa = cohen_kappa_score(expert.as_int(), yasa_hypno.as_int())
print(f"Cohen's kappa on a simulated night, {hypno.n_epochs} epochs:")
print(f"  MC2SleepNet, trained on simulated nights  {kappa:.2f}")
print(f"  YASA, trained on real nights              {yasa_kappa:.2f}")
print(
    "(Simulated nights are in-distribution for our weights and out-of-distribution for"
)
print(
    "YASA: this shows that the package works, and nothing about the sleep of people.)"
)

# 4. What sleep researchers want to know, and where a human should look first.
print("\nSleep statistics (minutes and percent):")
print(pd.Series(hypno.sleep_statistics()).to_string(float_format="{:.1f}".format))
print("\nThe five epochs that it is least sure of:")
print(epochs_to_review(hypno).head().to_string(index=False))

# 5. Keep it: a table with probabilities, BIDS events, EDF+ annotations, and a picture.
for suffix in (".csv", ".tsv", ".edf"):
    write_hypnogram(folder / f"night_hypnogram{suffix}", hypno, overwrite=True)
plot_night(raw, hypno, picks=CHANNEL, show=False).savefig(folder / "night.png")
print(f"\nThe files are in {folder.resolve()}:")
print(*sorted(path.name for path in folder.iterdir()), sep="\n")
