"""Draw the README's picture: a real night, staged by the weights that ship.

::

    python docs/figures/staged_night.py             # downloads the night from PhysioNet
    python docs/figures/staged_night.py ucddb.npz   # epochs of 30 s in an array

The night is that of subject 022 of the UCDDB sleep apnea database (Open Data Commons
Attribution 1.0), whose stages were not trained on. Run this when the weights or the
plot change. The array holds only some of the epochs; the others are drawn in grey.
"""

import argparse
import sys
from io import BytesIO
from pathlib import Path

import matplotlib.pyplot as plt
import mne
import numpy as np
from PIL import Image

from mne_mc2sleep import MC2SleepClassifier, plot_night
from mne_mc2sleep.datasets import ucddb

SUBJECT = "022"
CHANNEL = "EEG"


def read_array(fname):
    """Return the recording, with NaN for missing epochs, and the expert's stages."""
    with np.load(fname) as file:
        stages = file[f"night_stages_{SUBJECT}"]
        rows = file["subject"] == SUBJECT
        epochs = np.full((len(stages), file["x"].shape[1]), np.nan)
        epochs[file["epoch_index"][rows]] = 1e-6 * file["scale"] * file["x"][rows]
        info = mne.create_info([CHANNEL], float(file["fs"]), "eeg")
    n_missing = len(stages) - rows.sum()
    print(f"{n_missing} of {len(stages)} epochs are not in {fname}.")
    return mne.io.RawArray(epochs.reshape(1, -1), info), stages


def fetch():
    """Return the path of the recording, and of the expert's stages."""
    try:
        record = ucddb.fetch_nights([SUBJECT]).records[0]
    except ConnectionError as error:
        sys.exit(
            f"The picture was not drawn, because its night is missing: {error}\nPass "
            "the path of an array of its epochs, or run this where there is a network."
        )
    return record.recording, record.hypnogram


def main(fname):
    """Draw the picture beside this script."""
    raw, expert = read_array(fname) if fname else fetch()
    picks = CHANNEL if fname else list(ucddb.CHANNELS)
    hypno = MC2SleepClassifier.from_pretrained().predict(raw, picks=picks)
    # Lower than by default, so that the README fits one screen.
    fig, axes = plt.subplots(
        5,
        figsize=(11, 7),
        layout="constrained",
        sharex=True,
        height_ratios=[5, 5, 8, 7, 4],
    )
    title = f"UCDDB {SUBJECT}"
    plot_night(raw, hypno, expert, picks=picks, title=title, axes=axes, show=False)
    picture = BytesIO()
    fig.savefig(picture, dpi=90, facecolor="white")
    # 64 colours are enough, and make a quarter of the size.
    picture = Image.open(picture).quantize(64)
    picture.save(Path(__file__).with_suffix(".png"), optimize=True)


if __name__ == "__main__":
    mne.set_log_level("warning")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fname", nargs="?", help="ucddb.npz, if it is there")
    main(parser.parse_args().fname)
