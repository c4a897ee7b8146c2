"""Describe the nights of Sleep-EDF by their band powers: ``band_power_nights.npz``.

::

    python training_scripts/make_band_powers.py band_power_nights.npz --data fetched

It fetches the nights of the sleep cassette study from PhysioNet (8 GB), or of some
``--subjects``, and describes each epoch of two channels. Wake is trimmed to 30 min on
each side of the sleep. The scripts that make training signals read the file, see
``band_power_nights.py``.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.signal import welch
from synthesis.spectra import BANDS, WELCH_N_TIMES

from mne_mc2sleep._constants import SFREQ, UNSCORED
from mne_mc2sleep.datasets import read_night, sleep_edf

CHANNELS = ("EEG Fpz-Cz", "EEG Pz-Oz")
# In µV²: a flat epoch has no logarithm, and is unscored.
MIN_POWER = 1e-6


def describe(signals):
    """Return log band powers (n_epochs, 5), log variance and mobility (n_epochs,).

    The signals (n_epochs, n_times) are in µV at 100 Hz.
    """
    freqs, density = welch(signals, SFREQ, nperseg=WELCH_N_TIMES)
    powers = [
        density[:, (freqs >= low) & (freqs < high)].mean(axis=1)
        for low, high in BANDS.values()
    ]
    variance = signals.var(axis=1).clip(MIN_POWER)
    # Hjorth's mobility, per sample.
    mobility = np.sqrt(np.diff(signals, axis=1).var(axis=1) / variance)
    log_powers = np.log(np.stack(powers, axis=1).clip(MIN_POWER))
    return log_powers, np.log(variance), mobility


def describe_night(record):
    """Return the arrays of one night, by their names in the file."""
    nights = [read_night(replace(record, picks=ch_name)) for ch_name in CHANNELS]
    powers, variances, mobilities = zip(
        *(describe(np.asarray(night.signals[:])) for night in nights), strict=True
    )
    usable = np.logical_and(*(night.usable for night in nights))
    return {
        "log_band_power": np.stack(powers, axis=1),
        "log_variance": np.stack(variances, axis=1),
        "mobility": np.stack(mobilities, axis=1),
        "stage": np.where(usable, nights[0].stages, UNSCORED),
    }


def save_nights(records, fname):
    """Describe all nights and write them to one file."""
    names, nights = [], []
    for record in records:
        names.append(record.name.removesuffix("-PSG"))
        nights.append(describe_night(record))
        print(f"{names[-1]}: {len(nights[-1]['stage'])} epochs", flush=True)
    lengths = [len(night["stage"]) for night in nights]
    arrays = {key: np.concatenate([n[key] for n in nights]) for key in nights[0]}
    stages = arrays.pop("stage").astype(np.int8)
    np.savez_compressed(
        fname,
        night=names,
        first_epoch=np.append(0, np.cumsum(lengths)),
        stage=stages,
        band=[f"{name} {low:g}-{high:g}" for name, (low, high) in BANDS.items()],
        channel=CHANNELS,
        **{name: values.astype(np.float16) for name, values in arrays.items()},
    )


def main(argv=None):
    """Fetch, describe and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fname", type=Path, help="the file to write, *.npz")
    parser.add_argument("--data", help="the folder of the recordings (MNE_DATA)")
    parser.add_argument("--subjects", type=int, nargs="+", help="(default: all)")
    args = parser.parse_args(argv)
    subjects = args.subjects or sleep_edf.SUBJECTS["edf78"]
    save_nights(sleep_edf.fetch_nights(subjects, args.data).records, args.fname)


if __name__ == "__main__":
    main()
