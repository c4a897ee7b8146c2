"""Nights described by their band powers, and signals made from them.

The file ``band_power_nights.npz`` holds, for nights
``first_epoch[i]:first_epoch[i + 1]`` named ``night``, the arrays ``log_band_power``
(n_epochs, 2, 5), ``log_variance`` and Hjorth's ``mobility`` (n_epochs, 2) and ``stage``
(0-4, or -1 for unscored), all of real people. ``make_band_powers.py`` makes it from
Sleep-EDF.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from synthesis import resynthesize_anywhere

from mne_mc2sleep.data.nights import Night
from mne_mc2sleep.preprocessing.scaling import N_BANDS, raise_bands, scale_signals

# Each recording is filtered towards a common spectrum, in training as in staging.
SCALING = "spectrum"

# The split by subject does not depend on the seed of a run.
SPLIT_SEED = 20250224
N_FOLDS = 5
N_VALIDATION = 6

# Some training nights hold only short stretches, like short recordings; the epochs
# between them are left out. Half of these pieces are scaled by themselves, the others
# by their night with a random error (natural log), like an adapted short recording.
SHARE_IN_PIECES = 0.5
SHARE_BY_ITSELF = 0.5
PIECE = (5, 60)
GAP = (5, 30)
# Of the gain, of the slope, of the bend.
STDS_OF_SCALE_ERRORS = (0.25, 0.2, 0.15)


@dataclass(frozen=True)
class PowerNight:
    """One night: its name, its powers, its mobility and the stages of its expert."""

    name: str
    log_band_power: np.ndarray
    log_variance: np.ndarray
    mobility: np.ndarray
    stages: np.ndarray

    @property
    def subject(self) -> str:
        """The subject: ``SC4ssNE0`` is night N of subject ss."""
        return self.name[:5]


def read_power_nights(fname):
    """Read all nights of the file."""
    with np.load(fname) as file:
        edges = file["first_epoch"]
        arrays = [
            np.split(file[name], edges[1:-1])
            for name in ("log_band_power", "log_variance", "mobility", "stage")
        ]
        names = [str(name) for name in file["night"]]
    return [PowerNight(*parts) for parts in zip(names, *arrays, strict=True)]


def split_nights(nights, fold=0):
    """Split nights by subject: to train on, to validate on, to test on.

    Every subject is tested on in one of ``N_FOLDS`` folds; the ``N_VALIDATION``
    subjects after them, in a fixed random order, are validated on.
    """
    subjects = sorted({night.subject for night in nights})
    order = np.random.default_rng(SPLIT_SEED).permutation(subjects)
    first, last = (round(len(order) * i / N_FOLDS) for i in (fold, fold + 1))
    order = np.roll(order, -first)
    test = set(order[: last - first])
    validation = set(order[last - first :][:N_VALIDATION])
    return (
        [n for n in nights if n.subject not in test | validation],
        [n for n in nights if n.subject in validation],
        [n for n in nights if n.subject in test],
    )


def make_nights(power_nights, seed, device="cpu", in_pieces=False, max_spread=0.0):
    """Make signals of random montages and recorders from powers.

    The same ``seed``, a sequence of integers, gives the same signals. ``in_pieces``
    leaves only short stretches of some nights; ``max_spread`` is as in
    `resynthesize_anywhere`.
    """
    nights = []
    for index, night in enumerate(power_nights):
        rng = np.random.default_rng([*seed, index])
        signals = resynthesize_anywhere(
            night.log_band_power,
            night.log_variance,
            max_spread=max_spread,
            device=device,
            random_state=rng,
        )
        usable = np.ones(len(night.stages), dtype=bool)
        pieces = [slice(None)]
        if in_pieces and rng.uniform() < SHARE_IN_PIECES:
            usable, pieces = _in_pieces(len(usable), rng)
        signals = _scale(signals.cpu().numpy(), usable, pieces, rng)
        signals = torch.from_numpy(signals)
        nights.append(Night(signals, night.stages, usable, night.subject))
    return nights


def _scale(signals, usable, pieces, rng):
    """Scale a night as recordings are scaled, each of its pieces in one of two ways."""
    scaled = scale_signals(signals, np.ones_like(usable), SCALING)
    if len(pieces) == 1:
        return scaled
    for piece in pieces:
        if rng.uniform() < SHARE_BY_ITSELF:
            scaled[piece] = scale_signals(signals[piece], usable[piece], SCALING)
        else:
            scaled[piece] = raise_bands(scaled[piece], draw_error(rng))
    return scaled


def draw_error(rng):
    """Draw a smooth error of all bands, in natural logs of power."""
    place = np.pi * (np.arange(N_BANDS) + 0.5) / N_BANDS
    return sum(
        rng.normal(0, std) * np.cos(order * place)
        for order, std in enumerate(STDS_OF_SCALE_ERRORS)
    )


def _in_pieces(n_epochs, rng):
    """Draw pieces and gaps in turn: where an epoch stays, and the pieces."""
    usable, pieces = np.zeros(n_epochs, dtype=bool), []
    start = 0
    while start < n_epochs:
        stop = start + rng.integers(*PIECE, endpoint=True)
        usable[start:stop] = True
        pieces.append(slice(start, stop))
        start = stop + rng.integers(*GAP, endpoint=True)
    return usable, pieces
