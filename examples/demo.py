"""Train a stager on simulated nights, and stage a night that it has not seen.

``make demo`` runs this. It needs no data and no graphics card, and takes one to three
minutes. The nights are noise with the spectra of real sleep: they show how the package
is used, and say nothing about how well it stages people.
"""

import warnings
from pathlib import Path

import mne
import pandas as pd
import torch
import yasa
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.metrics import cohen_kappa_score

from mne_mc2sleep import (
    MC2SleepClassifier,
    plot_hypnogram,
    simulate_night,
    write_hypnogram,
)

CHANNEL = "EEG Fpz-Cz"
N_SUBJECTS = 16
TRAINING_HOURS = 3

mne.set_log_level("warning")
# YASA's classifier was saved by an older scikit-learn; its stages are not affected.
warnings.simplefilter("ignore", InconsistentVersionWarning)
# A network this small gains little from a second core, and loses much if that is busy.
torch.set_num_threads(1)

# 1. Scored nights to learn from. With your own, these are two lists of file names.
print(f"Simulating {TRAINING_HOURS} h of sleep of {N_SUBJECTS} subjects ...")
nights = [
    simulate_night(TRAINING_HOURS * 3600, random_state=subject)
    for subject in range(N_SUBJECTS)
]
raws = [raw for raw, _ in nights]
hypnos = [hypno for _, hypno in nights]

# 2. Train. More nights and more passes over them would make a better stager.
print("Training on them ...")
clf = MC2SleepClassifier(
    picks=CHANNEL,
    size="small",
    scaling="robust",
    pretrain_train_epochs=5,
    finetune_train_epochs=10,
    batch_size=4,
    random_state=0,
)
clf.fit(raws, hypnos, verbose="info")

# 3. A night of another subject, written to a file as a recorder would.
folder = Path("demo")
folder.mkdir(exist_ok=True)
fname = folder / "night.edf"
raw, expert = simulate_night(8 * 3600, random_state=1000)
raw.export(fname, overwrite=True)

# 4. Stage the file.
hypno = clf.predict(fname)

# 5. Compare with the stages that the night was simulated from, and with YASA's stager.
raw = mne.io.read_raw(fname, preload=True)
yasa_hypno = yasa.SleepStaging(raw, eeg_name=CHANNEL).predict()
kappa = cohen_kappa_score(expert.as_int(), hypno.as_int())
yasa_kappa = cohen_kappa_score(expert.as_int(), yasa_hypno.as_int())
print(f"\nCohen's kappa on a night not seen in training, {hypno.n_epochs} epochs:")
print(f"  MC2SleepNet, trained just now on simulated nights  {kappa:.2f}")
print(f"  YASA, trained on real nights                       {yasa_kappa:.2f}")
print("(Simulated nights are home ground for the one and foreign to the other: this")
print("shows that training works, and says nothing about the sleep of people.)")

# 6. What sleep researchers want to know.
print("\nSleep statistics (minutes and percent):")
print(pd.Series(hypno.sleep_statistics()).to_string(float_format="{:.1f}".format))

# 7. Keep it: a table with probabilities, BIDS events, EDF+ annotations, and a picture.
for suffix in (".csv", ".tsv", ".edf"):
    write_hypnogram(folder / f"night_hypnogram{suffix}", hypno, overwrite=True)
plot_hypnogram(hypno, show=False).savefig(folder / "night_hypnogram.png")
clf.save(folder / "stager.safetensors", overwrite=True)
print(f"\nThe files are in {folder.resolve()}:")
print(*sorted(path.name for path in folder.iterdir()), sep="\n")
