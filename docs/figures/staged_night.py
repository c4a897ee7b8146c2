"""Stage a simulated night by the weights that ship, and draw the README's picture.

Run by hand when the weights or the plot change: python docs/figures/staged_night.py
"""

from io import BytesIO
from pathlib import Path

import mne
from PIL import Image

from mne_mc2sleep import MC2SleepClassifier, plot_night, simulate_night

CHANNEL = "EEG Fpz-Cz"

if __name__ == "__main__":
    mne.set_log_level("warning")
    raw, _ = simulate_night(8 * 3600, random_state=7)
    hypno = MC2SleepClassifier.from_pretrained().predict(raw, picks=CHANNEL)
    fig = plot_night(raw, hypno, picks=CHANNEL, show=False)
    picture = BytesIO()
    fig.savefig(picture, dpi=90, facecolor="white")
    # 64 colours are enough, and a third of the size.
    fname = Path(__file__).with_suffix(".png")
    Image.open(picture).quantize(64).save(fname, optimize=True)
