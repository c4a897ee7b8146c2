"""Teachers: stagers whose probabilities serve as soft targets.

A teacher is a callable ``(signal, sfreq) -> probabilities`` that takes one channel in
µV and returns an array of shape (n_epochs, 5) in the order W, N1, N2, N3, REM. It sees
the very signal that the network is trained on, as one whole recording.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Teacher = Callable[[NDArray[np.float64], float], NDArray[np.float64]]

# YASA's names of the stages, in our order.
_YASA_STAGES = ("WAKE", "N1", "N2", "N3", "REM")
_FLOOR = 1e-4


def yasa_teacher(signal: NDArray[np.float64], sfreq: float) -> NDArray[np.float64]:
    """Stage one channel in µV, at least 5 minutes, by YASA (Vallat and Walker 2021)."""
    import mne
    import yasa

    info = mne.create_info(["EEG"], sfreq, "eeg", verbose="ERROR")
    raw = mne.io.RawArray(1e-6 * signal[np.newaxis], info, verbose="ERROR")
    with warnings.catch_warnings():
        # One channel and an unknown lights-off time: YASA warns of both.
        warnings.simplefilter("ignore")
        proba = yasa.SleepStaging(raw, eeg_name="EEG").predict().proba
    return proba[list(_YASA_STAGES)].to_numpy()


def load_teacher(name: str) -> Teacher:
    """Return the teacher of a name: ``"yasa"`` or ``"module:function"``."""
    if name == "yasa":
        return yasa_teacher
    module, _, function = name.partition(":")
    if not function:
        raise ValueError(
            f"A teacher must be 'yasa' or 'module:function', got {name!r} instead."
        )
    return getattr(import_module(module), function)


def log_mean(probabilities: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Average probabilities of several teachers in the log domain."""
    logs = np.mean([np.log(np.maximum(p, _FLOOR)) for p in probabilities], axis=0)
    mean = np.exp(logs)
    return mean / mean.sum(axis=-1, keepdims=True)


def mix_targets(
    stages: NDArray[np.int8] | None,
    teacher: NDArray[np.float64],
    weight: float,
    shares: NDArray[np.float64] | None = None,
) -> NDArray[np.float32]:
    """Mix the expert's stages with a teacher's probabilities.

    The expert's part is ``stages`` (n_epochs,), -1 where unscored, or ``shares``
    (n_epochs, 5) where an epoch is glued from several stages. The ``weight`` is the
    teacher's, from 0 to 1. Returns soft targets (n_epochs, 5); a row of zeros has no
    stage and does not count.
    """
    if shares is None:
        shares = np.eye(5)[np.maximum(stages, 0)] * (stages >= 0)[:, None]
    scored = shares.sum(axis=1, keepdims=True) > 0
    return np.where(scored, (1 - weight) * shares + weight * teacher, 0).astype("f4")
