"""Ask how natural resynthesised nights are.

::

    python benchmarks/simulation_realism.py band_power_nights.npz

For several textures: how far the bands' powers and the variance are from those asked
for; Hjorth's mobility beside that of the real epochs; and YASA's agreement with the
experts on the nights. YASA learnt from real nights only, so it is a judge: the higher
its kappa, the more of what it looks for is there. What is drawn at random misleads it.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

import mne
import numpy as np
from common import describe_machine, print_header, print_row
from scipy.signal import welch
from sklearn.metrics import cohen_kappa_score

from mne_mc2sleep.io.hypnograms import stages_on_grid
from mne_mc2sleep.simulation import make_raw

sys.path.append(str(Path(__file__).parents[1] / "training_scripts"))
from band_power_nights import read_power_nights
from synthesis import BANDS, WELCH_N_TIMES, resynthesize

STAGES = ("WAKE", "N1", "N2", "N3", "REM")
TEXTURES = (0.0, 0.5, 1.0)
DECIBEL = 10 / np.log(10)


def measure(epochs):
    """Return the log powers of the bands, then the log variance, by epoch."""
    freqs, density = welch(epochs, 100, nperseg=WELCH_N_TIMES)
    bands = [
        density[:, (freqs >= low) & (freqs <= high)].mean(axis=1)
        for low, high in BANDS.values()
    ]
    return np.log(np.stack([*bands, epochs.var(axis=1)], axis=1))


def mobility(epochs):
    """Return Hjorth's mobility, in radians per sample."""
    return np.sqrt(np.diff(epochs, axis=1).var(axis=1) / epochs.var(axis=1))


def judge(signal):
    """Return YASA's stages."""
    import yasa

    raw = make_raw(signal, ["EEG"])
    hypno = yasa.SleepStaging(raw, eeg_name="EEG").predict()
    return stages_on_grid(hypno.as_int(), len(hypno))


def examine(nights, texture):
    """Make all nights with a texture; return errors, mobilities, stages, seconds."""
    errors, mobilities, judged, seconds = [], [], [], 0.0
    for seed, night in enumerate(nights):
        powers = night.log_band_power[:, :1].astype(float)
        variance = night.log_variance[:, :1].astype(float)
        start = time.perf_counter()
        signal = resynthesize(powers, variance, texture=texture, random_state=seed)
        seconds += time.perf_counter() - start
        epochs = signal.reshape(len(night.stages), -1)
        asked = np.concatenate([powers[:, 0], variance], axis=1)
        errors.append(DECIBEL * (measure(epochs) - asked))
        mobilities.append(mobility(epochs))
        judged.append(judge(signal))
    return (*map(np.concatenate, (errors, mobilities, judged)), seconds / len(nights))


def main():
    """Print three tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fname", help="band_power_nights.npz")
    parser.add_argument("--every", type=int, default=6, help="of so many nights, one")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    mne.set_log_level("error")
    nights = read_power_nights(args.fname)[:: args.every]
    stages = np.concatenate([night.stages for night in nights])
    scored = stages >= 0
    print(f"{len(nights)} nights by Fpz-Cz, {scored.sum()} scored epochs.")
    print(describe_machine())
    found = {texture: examine(nights, texture) for texture in TEXTURES}

    print("\nMedian error and median absolute error in dB:")
    print_header("texture", *BANDS, "variance", "s per night")
    for texture, (errors, _, _, seconds) in found.items():
        bias, spread = np.median(errors, axis=0), np.median(np.abs(errors), axis=0)
        cells = [f"{b:+.2f}, {s:.2f}" for b, s in zip(bias, spread, strict=True)]
        print_row(texture, *cells, f"{seconds:.2f}")

    print("\nMedian mobility:")
    real = np.concatenate([night.mobility[:, 0] for night in nights]).astype(float)
    print_header("texture", *STAGES)
    rows = {"real": real} | {name: parts[1] for name, parts in found.items()}
    for name, values in rows.items():
        medians = [np.median(values[stages == i]) for i in range(len(STAGES))]
        print_row(name, *(f"{median:.3f}" for median in medians))

    print("\nThe judge, YASA, against the experts:")
    print_header("texture", "kappa")
    for texture, (_, _, judged, _) in found.items():
        kappa = cohen_kappa_score(stages[scored], judged[scored])
        print_row(texture, f"{kappa:.3f}")


if __name__ == "__main__":
    main()
