"""Figures of one night."""

import os
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import mne
import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, DateFormatter, date2num
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pandas import DataFrame
from yasa import Hypnogram

from .. import metrics
from .._constants import EPOCH_DURATION, SFREQ, STAGES, UNSCORED
from ..data.reading import read_stages
from ..io.hypnograms import stages_on_grid
from ..io.recordings import Recording, read_recording
from . import _style
from ._style import BLACK, BLUE, GREY, ORANGE, STAGE_COLORS, VERMILION, add_legend

_DAY = 86_400.0  # Matplotlib's dates are days
# From top to bottom, as sleep laboratories draw it.
_LEVELS = ("WAKE", "REM", "N1", "N2", "N3")
# All of these are our choice. Spindles are up to 16 Hz; above 25 Hz is mostly muscle.
_BAND = (0.5, 25.0)
_BANDWIDTH = 1.0  # Hz, of the tapers
_WINDOW = 5.0  # seconds, averaged over an epoch
_PERCENTILES = (5, 99)  # colours that a few extreme epochs do not wash out
_LIGHTS = re.compile(r"lights?[ _-]*(off|out|on)\b", re.IGNORECASE)


def plot_hypnogram(hypno: Hypnogram, *, axes: Any = None, show: bool = True) -> Figure:
    """Plot a hypnogram above its hypnodensity, on one time axis.

    Parameters
    ----------
    hypno : yasa.Hypnogram
        A hypnogram with ``proba``, from `MC2SleepClassifier.predict`.
    axes : sequence of Axes | None
        Two axes to draw into; None makes a figure.
    show : bool
        Show the figure.

    Returns
    -------
    fig : Figure
    """
    metrics.check_proba(hypno)
    stages = metrics.as_stages(hypno)
    rows = _style.get_axes(axes, 2, (10, 5))
    edges = _share_time(rows, len(hypno), hypno.start)
    _draw_stages(rows[0], stages, edges, "Stage")
    _draw_density(rows[1], hypno.proba, edges)
    return _style.finish(rows, show)


def plot_night(
    raw: mne.io.BaseRaw | str | os.PathLike | Recording,
    hypno: Hypnogram,
    reference: Any = None,
    *,
    picks: str | list[str] | None = None,
    proba: DataFrame | None = None,
    review: float = 0.1,
    title: str | None = None,
    axes: Any = None,
    show: bool = True,
) -> Figure:
    """Plot hypnogram, hypnodensity, spectrogram and confidence on one time axis.

    Parameters
    ----------
    raw : Raw | path-like
    hypno : yasa.Hypnogram
        Its hypnogram, from `MC2SleepClassifier.predict`.
    reference : Hypnogram | Annotations | path-like | array | None
        An expert's hypnogram, to draw above with the epochs in which the two disagree.
    picks : str | list of str | None
        The channel of the spectrogram, as in `MC2SleepClassifier`.
    proba : DataFrame | None
        Hypnodensity with a finer step, from `MC2SleepClassifier.predict_proba`.
    review : float
        Share of the epochs to mark, see `epochs_to_review`.
    title : str | None
        None names recording, channel and scorer.
    axes, show
        As in `plot_hypnogram`, with four axes, or five if ``reference`` is given.

    Returns
    -------
    fig : Figure

    Notes
    -----
    The confidence is the highest probability of an epoch. The spectrogram is the
    multitaper spectrum of each epoch minus the 1/f part of the night's median,
    so that spindles stand out at 11-16 Hz. Epochs without usable EEG are grey, and
    annotations such as "Lights off" are lines.
    """
    recording = raw if isinstance(raw, Recording) else read_recording(raw, picks)
    n_epochs = recording.n_epochs
    if len(hypno) != n_epochs:
        raise ValueError(
            f"The hypnogram has {len(hypno)} epochs and the recording {n_epochs}. Pass "
            "the hypnogram of this recording."
        )
    metrics.check_proba(hypno)
    if title is None:
        name = Path(raw).name if isinstance(raw, str | os.PathLike) else None
        title = ", ".join(filter(None, (name, recording.ch_name, hypno.scorer)))
    ratios = [3] * (reference is not None) + [3, 3, 3, 2]
    rows = _style.get_axes(axes, len(ratios), (11, 9), height_ratios=ratios)
    *above, stage_ax, density_ax, spectrogram_ax, confidence_ax = rows
    edges = _share_time(rows, n_epochs, recording.start)
    stages = stages_on_grid(hypno, n_epochs, recording.start)
    _draw_stages(stage_ax, stages, edges, "Stage")
    if reference is not None:
        expert = read_stages(recording, reference)
        _draw_stages(above[0], expert, edges, "Expert")
        stage_ax.set_ylabel("Stager")
        _mark_differing(stage_ax, expert, stages, edges)
    windows = edges if proba is None else edges[0] + _window_edges(proba)
    _draw_density(density_ax, hypno.proba if proba is None else proba, windows)
    _draw_spectrogram(spectrogram_ax, recording, edges)
    _draw_confidence(confidence_ax, hypno, stages, edges, review)
    for ax in rows:
        whole = {"transform": ax.get_xaxis_transform(), "alpha": 0.3}
        _draw_bars(ax, stages == UNSCORED, edges, (0, 1), color=GREY, **whole)
    _draw_lights(rows, recording.annotations, edges[0])
    # Names of files may hold dollar signs.
    rows[0].set_title(title, fontsize="medium", parse_math=False)
    return _style.finish(rows, show)


def _mark_differing(ax: Axes, expert: NDArray, stages: NDArray, edges: NDArray) -> None:
    """Draw bars below the stages of the stager where the expert has others."""
    scored = (expert != UNSCORED) & (stages != UNSCORED)
    differs = scored & (expert != stages)
    share = differs.sum() / max(scored.sum(), 1)
    low = ax.get_ylim()[0] - 0.7
    label = f"disagree\n({share:.0%})"
    _draw_bars(ax, differs, edges, (low, 0.6), color=VERMILION, label=label)
    ax.set_ylim(bottom=low)
    add_legend(ax)


def _window_edges(proba: DataFrame) -> NDArray:
    """Return the edges of the steps around the centers of the windows."""
    onsets = proba.index.to_numpy(dtype=float)
    step = onsets[1] - onsets[0] if len(onsets) > 1 else EPOCH_DURATION
    centers = onsets + EPOCH_DURATION / 2
    return np.append(centers - step / 2, centers[-1] + step / 2) / _DAY


def _draw_spectrogram(ax: Axes, recording: Recording, edges: NDArray) -> None:
    """Draw the power of each epoch in dB above the 1/f part of the night's median."""
    parts = recording.signals.reshape(-1, round(_WINDOW * SFREQ))
    power, frequencies = mne.time_frequency.psd_array_multitaper(
        parts, SFREQ, *_BAND, bandwidth=_BANDWIDTH, verbose="ERROR"
    )
    power = power.reshape(recording.n_epochs, -1, frequencies.size).mean(axis=1)
    decibel, octaves = 10 * np.log10(power + 1e-12), np.log2(frequencies)
    median = np.median(decibel[recording.usable], axis=0)
    decibel -= np.polyval(np.polyfit(octaves, median, 1), octaves)
    low, high = np.percentile(decibel[recording.usable], _PERCENTILES)
    decibel[~recording.usable] = np.nan
    rows = np.append(frequencies, frequencies[-1] + 1 / _WINDOW) - 0.5 / _WINDOW
    mesh = ax.pcolormesh(edges, rows, decibel.T, vmin=low, vmax=high, rasterized=True)
    # Beside the axes, so that all rows keep the same width.
    bar = ax.figure.colorbar(mesh, cax=ax.inset_axes((1.01, 0, 0.015, 1)))
    bar.set_label("Power above 1/f (dB)")
    ax.set_ylabel(f"{recording.ch_name}\nFrequency (Hz)")


def _draw_confidence(
    ax: Axes, hypno: Hypnogram, stages: NDArray, edges: NDArray, review: float
) -> None:
    """Draw the highest probability of each epoch, and mark epochs to review."""
    confidence = hypno.proba[list(STAGES)].to_numpy().max(axis=1)
    confidence[stages == UNSCORED] = np.nan
    ax.stairs(confidence, edges, baseline=None, color=BLUE, linewidth=0.8)
    listed = np.zeros(len(stages), dtype=bool)
    listed[metrics.epochs_to_review(hypno, review)["epoch"]] = True
    if listed.any():
        label = f"review\n({listed.sum()})"
        _draw_bars(ax, listed, edges, (0, 0.15), color=ORANGE, label=label)
        add_legend(ax)
    ax.set(ylim=(0, 1), ylabel="Confidence")


def _draw_lights(rows: list[Axes], annotations: mne.Annotations, begin: float) -> None:
    for onset, text in zip(annotations.onset, annotations.description, strict=True):
        if found := _LIGHTS.search(text):
            time, name = begin + onset / _DAY, f"lights {found[1].lower()}"
            rows[0].annotate(name, (time, 1), xycoords=("data", "axes fraction"))
            for ax in rows:
                ax.axvline(time, color=VERMILION, ls="--", lw=1)


def _draw_bars(ax: Axes, mask: NDArray, edges: NDArray, rows: tuple, **style) -> None:
    """Draw a bar over each run of True epochs; ``rows`` are its bottom and height."""
    change = np.diff(mask.astype(np.int8), prepend=0, append=0)
    begin, end = edges[change == 1], edges[change == -1]
    ax.broken_barh(list(zip(begin, end - begin, strict=True)), rows, lw=0, **style)


def _draw_stages(ax: Axes, stages: NDArray, edges: NDArray, label: str) -> None:
    """Draw stages (positions in ``STAGES``, -1 for none) as a line of steps."""
    # Unscored epochs, -1, take the last value.
    values = np.array([-_LEVELS.index(stage) for stage in STAGES] + [np.nan])[stages]
    ax.stairs(values, edges, baseline=None, color=BLACK)
    rem = np.where(stages == STAGES.index("REM"), values, np.nan)
    ax.stairs(rem, edges, baseline=None, color=STAGE_COLORS["REM"], lw=3)
    ax.set_yticks(-np.arange(len(_LEVELS)), _LEVELS)
    ax.set(ylim=(0.6 - len(_LEVELS), 0.4), ylabel=label)
    ax.spines[["right", "top"]].set_visible(False)


def _draw_density(ax: Axes, proba: DataFrame, edges: NDArray) -> None:
    """Draw probabilities as bands above each other, the unscored epochs as ``UNS``."""
    values = np.cumsum(proba.to_numpy(), axis=1)
    # The last value is repeated: a step is drawn between two edges.
    bands = np.column_stack([np.zeros(len(proba)), values])[[*range(len(proba)), -1]].T
    for stage, bottom, top in zip(map(str, proba), bands[:-1], bands[1:], strict=True):
        color = STAGE_COLORS[stage]
        ax.fill_between(edges, bottom, top, step="post", lw=0, color=color, label=stage)
    ax.set(ylim=(0, 1), ylabel="Probability")
    add_legend(ax)


def _share_time(rows: list[Axes], n_epochs: int, start: datetime | None) -> NDArray:
    """Give all rows the same time axis; return the edges of the epochs on it."""
    # Without a start, the clock starts at 0.
    begin = 0.0 if start is None else date2num(start.replace(tzinfo=None))
    edges = begin + EPOCH_DURATION / _DAY * np.arange(n_epochs + 1, dtype=np.float64)
    for ax in rows:
        ax.set_xlim(edges[0], edges[-1])
        ax.xaxis.set_major_locator(AutoDateLocator(maxticks=12))
        ax.xaxis.set_major_formatter("")
    rows[-1].xaxis.set_major_formatter(DateFormatter("%H:%M"))
    rows[-1].set_xlabel("Time (h:min)" if start is None else "Clock of the recorder")
    return edges
