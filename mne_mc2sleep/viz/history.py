"""Figure of the history of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from ._style import BLACK, COLORS, GREY, add_legend, finish, get_axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from pandas import DataFrame

_LOSSES = (
    "loss",
    "contrastive",
    "reconstruction",
    "stage_total",
    "stage_signal",
    "stage_spectrogram",
    "stage_signal_only",
    "stage_spectrogram_only",
)
_SCORES = ("validation_macro_f1", "validation_negative_loss")


def plot_history(
    history: DataFrame | Any,
    *,
    axes: Sequence[Axes] | None = None,
    show: bool = True,
) -> Figure:
    """Plot the losses and the validation score of each pass over the nights.

    Parameters
    ----------
    history : MC2SleepClassifier | DataFrame
        A stager that was trained in this session, or its ``history_``.
    axes, show
        As in `plot_hypnogram`, with two axes.

    Returns
    -------
    fig : Figure
        The figure: weighted losses above, named as in ``history_``, and the validation
        score below, with a dot on the pass whose weights were kept. A line separates
        the phases of the training.
    """
    history = getattr(history, "history_", history)
    if history.empty:
        raise ValueError(
            "The history is empty: these weights were not trained in this session."
        )
    rows = get_axes(axes, 2, (9, 6), sharex=True)
    # A second fit counts its passes from 1 again.
    starts = np.flatnonzero(history["train_epoch"].to_numpy() == 1)
    runs = np.split(np.arange(len(history)), starts[starts > 0])
    _draw(rows[0], history, _LOSSES, runs)
    _draw(rows[1], history, _SCORES, runs)
    for run in runs:
        for score in (history[s].to_numpy()[run] for s in _SCORES if s in history):
            if not np.isnan(score).all():
                best = np.nanargmax(score)
                rows[1].plot(run[best] + 1, score[best], "o", color=BLACK)
        for ax in rows if run[0] else ():
            ax.axvline(run[0] + 0.5, color=GREY, linewidth=1)
        phase, place = history["phase"].iloc[run[0]], (run.mean() + 1, 1.02)
        rows[0].annotate(phase, place, xycoords=("data", "axes fraction"), ha="center")
    rows[0].set(ylabel="Loss (log scale)", yscale="log")
    rows[1].set(ylabel="Validation score", xlabel="Pass over the nights")
    rows[1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return finish(rows, show)


def _draw(
    ax: Axes, history: DataFrame, columns: Sequence[str], runs: list[NDArray[np.intp]]
) -> None:
    """Draw each column of the history as a line that is interrupted between runs."""
    for index, column in enumerate(columns):
        if column not in history or history[column].isna().all():
            continue
        values, width = history[column].to_numpy(), 2.5 if column == "loss" else 1.5
        for run in runs:
            marker = "." if len(run) == 1 else None
            (line,) = ax.plot(run + 1, values[run], marker=marker, lw=width)
            line.set(color=COLORS[index], label=column if run is runs[0] else None)
    if ax.get_legend_handles_labels()[0]:
        add_legend(ax)
