"""The picture of a whole night."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.signal import welch

from .._constants import SFREQ, STAGES
from ..io.recordings import read_recording
from ._style import BLUE, finish, get_axes, tidy
from .hypnogram import plot_hypnogram

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from mne.io import BaseRaw
    from numpy.typing import NDArray
    from yasa import Hypnogram

    from ..io.recordings import Recording

# Our choices: half a hertz of resolution, the band in which sleep differs, and colours
# that a few extreme epochs do not wash out.
_N_WINDOW = round(2 * SFREQ)
_MAX_FREQUENCY = 30.0
_PERCENTILES = (2, 98)


def plot_night(
    raw: BaseRaw | str | os.PathLike,
    hypno: Hypnogram,
    *,
    picks: str | list[str] | None = None,
    axes: Sequence[Axes] | None = None,
    show: bool = True,
) -> Figure:
    """Plot hypnogram, hypnodensity, spectrogram and confidence on one time axis.

    Parameters
    ----------
    raw : Raw | path-like
        The recording; it is not modified.
    hypno : yasa.Hypnogram
        Its hypnogram, as `MC2SleepClassifier.predict` gives it.
    picks : str | list of str | None
        The channel of the spectrogram, chosen as by `MC2SleepClassifier`.
    axes : sequence of Axes | None
        Four axes to draw into; None makes a figure.
    show : bool
        Whether to show the figure.

    Returns
    -------
    fig : Figure
        The figure.

    Raises
    ------
    ValueError
        If the hypnogram has no probabilities or not one epoch for each of the
        recording, the recording cannot be read, or ``axes`` are not four.

    Notes
    -----
    The spectrogram is the power density of each epoch (Welch, windows of 2 s) of the
    signal that the stager sees, so it has been filtered to 0.3-35 Hz. The confidence is
    the highest probability of the epoch. Epochs that hold no EEG are left blank.
    """
    recording = read_recording(raw, picks)
    if len(hypno) != recording.n_epochs:
        raise ValueError(
            f"The hypnogram has {len(hypno)} epochs and the recording "
            f"{recording.n_epochs}; pass the hypnogram of this recording."
        )
    ratios = {"height_ratios": (3, 3, 3, 2)}
    axes = get_axes(axes, 4, (11, 8), gridspec_kw=ratios)
    plot_hypnogram(hypno, axes=axes[:2], show=False)
    edges = np.linspace(*axes[0].get_xlim(), len(hypno) + 1)
    _draw_spectrogram(axes[2], recording, edges)
    _draw_confidence(axes[3], hypno, edges)
    _share_time(axes)
    return finish(axes, show)


def _draw_spectrogram(
    ax: Axes, recording: Recording, edges: NDArray[np.float64]
) -> None:
    frequencies, power = welch(recording.signals, SFREQ, nperseg=_N_WINDOW)
    shown = (frequencies > 0) & (frequencies <= _MAX_FREQUENCY)
    decibel = 10 * np.log10(power[:, shown] + 1e-12)
    lowest, highest = np.percentile(decibel[recording.usable], _PERCENTILES)
    decibel[~recording.usable] = np.nan
    half_bin = frequencies[1] / 2
    bins = np.append(frequencies[shown] - half_bin, frequencies[shown][-1] + half_bin)
    mesh = ax.pcolormesh(
        edges, bins, decibel.T, vmin=lowest, vmax=highest, rasterized=True
    )
    # Beside the axes, so that all rows keep one width and one time axis.
    bar = ax.figure.colorbar(mesh, cax=ax.inset_axes([1.01, 0, 0.015, 1]))
    bar.set_label("Power\n(dB re 1 µV²/Hz)")
    ax.set_ylabel(f"{recording.ch_name}\nFrequency (Hz)")


def _draw_confidence(ax: Axes, hypno: Hypnogram, edges: NDArray[np.float64]) -> None:
    confidence = hypno.proba[list(STAGES)].max(axis=1).to_numpy().copy()
    confidence[(hypno.hypno == "UNS").to_numpy()] = np.nan
    ax.stairs(confidence, edges, baseline=None, color=BLUE, linewidth=0.8)
    ax.set(ylim=(0, 1), ylabel="Confidence")
    tidy(ax)


def _share_time(axes: NDArray[np.object_]) -> None:
    """Give all rows the time axis of the hypnogram, with its labels below the last."""
    time = axes[0].xaxis
    ticks = axes[0].get_xticks()
    labels = time.get_major_formatter().format_ticks(ticks)
    limits, name = axes[0].get_xlim(), axes[0].get_xlabel()
    for ax in axes:
        is_last = ax is axes[-1]
        ax.set_xticks(ticks, labels if is_last else [])
        ax.set(xlim=limits, xlabel=name if is_last else "")
