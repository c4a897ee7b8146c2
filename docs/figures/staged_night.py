"""Stage a night by the weights that ship, and draw the README's picture.

::

    python docs/figures/staged_night.py band_power_nights.npz

It is the first night, by name, of the subjects that the weights were not trained on,
resynthesised from its band powers. Run this when the weights or the plot change.
"""

import argparse
import sys
from io import BytesIO
from pathlib import Path

import mne
from PIL import Image

from mne_mc2sleep import MC2SleepClassifier, plot_night
from mne_mc2sleep.simulation import make_raw

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "training_scripts"))
CHANNEL = "EEG Fpz-Cz"


def main(fname):
    """Draw the picture beside this script."""
    from band_power_nights import read_power_nights, split_nights
    from synthesis import resynthesize

    _, _, nights = split_nights(read_power_nights(fname))
    night = min(nights, key=lambda night: night.name)
    signals = resynthesize(night.log_band_power, night.log_variance, random_state=0)
    raw = make_raw(signals[:1], [CHANNEL])
    hypno = MC2SleepClassifier.from_pretrained().predict(raw, picks=CHANNEL)
    fig = plot_night(raw, hypno, picks=CHANNEL, show=False)
    picture = BytesIO()
    fig.savefig(picture, dpi=90, facecolor="white")
    # 64 colours are enough, and make a quarter of the size.
    picture = Image.open(picture).quantize(64)
    picture.save(Path(__file__).with_suffix(".png"), optimize=True)


if __name__ == "__main__":
    mne.set_log_level("warning")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fname", help="band_power_nights.npz")
    main(parser.parse_args().fname)
