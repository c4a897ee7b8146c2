"""Probabilities of windows that begin more often than epochs do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._constants import EPOCH_DURATION, SFREQ, STAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


def stage_in_steps(
    stage: Callable,
    signals: Sequence[NDArray[np.float32]],
    usable: Sequence[NDArray[np.bool_]],
    step: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Stage a recording once for each position of the grid of epochs.

    ``stage`` gets lists of signals (n_epochs, n_times) and usable epochs (n_epochs,) of
    the channels and returns probabilities (n_epochs, 5). ``step`` is the time in s from
    one window to the next, a divisor of 30 s. A window is usable if both epochs that it
    touches are.

    Returns the onset of each window of 30 s in s from the recording's start, its
    probabilities (n_windows, 5), uniform where no channel is usable, and whether one
    is.
    """
    n_shifts = round(EPOCH_DURATION / step) if 0 < step <= EPOCH_DURATION else 0
    if not n_shifts or not np.isclose(n_shifts * step, EPOCH_DURATION):
        raise ValueError(
            f"'step' must divide {EPOCH_DURATION:g} s into equal parts, such as 1, 5 "
            f"or 10, got {step!r} instead."
        )
    parts = []
    # A single epoch cannot be shifted.
    for index in range(n_shifts if len(usable[0]) > 1 else 1):
        shifted = [
            _shift(*channel, index * step)
            for channel in zip(signals, usable, strict=True)
        ]
        is_usable = np.any([mask for _, mask in shifted], axis=0)
        proba = np.full((len(is_usable), len(STAGES)), 1 / len(STAGES))
        if is_usable.any():
            found = [channel for channel in shifted if channel[1].any()]
            proba = stage(*map(list, zip(*found, strict=True)))
        onsets = index * step + EPOCH_DURATION * np.arange(len(is_usable), dtype=float)
        parts.append((onsets, proba, is_usable))
    onsets, proba, is_usable = (
        np.concatenate(part) for part in zip(*parts, strict=True)
    )
    order = np.argsort(onsets)
    return onsets[order], proba[order], is_usable[order]


def _shift(
    signals: NDArray[np.float32], usable: NDArray[np.bool_], seconds: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Let the epochs begin later; the last one, which is incomplete, is dropped."""
    n_times = round(seconds * SFREQ)
    if not n_times:
        return signals, usable
    moved = np.concatenate([signals[:-1, n_times:], signals[1:, :n_times]], axis=1)
    return moved, usable[:-1] & usable[1:]
