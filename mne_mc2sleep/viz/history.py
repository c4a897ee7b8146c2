"""The picture of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY_BLUE,
    VERMILION,
    finish,
    get_axes,
    tidy,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

# Column of the history: label, colour and line.
_LOSSES = {
    "loss": ("sum", BLACK, "-"),
    "stage_total": ("stages, both", BLUE, "-"),
    "stage_signal": ("stages, signal", VERMILION, "-"),
    "stage_spectrogram": ("stages, spectrogram", GREEN, "-"),
    "stage_signal_only": ("stages, signal alone", VERMILION, ":"),
    "stage_spectrogram_only": ("stages, spectrogram alone", GREEN, ":"),
    "contrastive": ("InfoNCE", ORANGE, "-"),
    "reconstruction": ("reconstruction", SKY_BLUE, "-"),
}
_SCORES = {
    "validation_macro_f1": ("macro-F1", BLUE, "-"),
    "validation_negative_loss": ("minus the loss", PURPLE, "-"),
}


def plot_history(
    history: DataFrame, *, axes: Sequence[Axes] | None = None, show: bool = True
) -> Figure:
    """Plot the losses and the validation score of each pass over the nights.

    Parameters
    ----------
    history : DataFrame
        ``history_`` of a `MC2SleepClassifier`.
    axes : sequence of Axes | None
        Two axes to draw into; None makes a figure.
    show : bool
        Whether to show the figure.

    Returns
    -------
    fig : Figure
        The figure: losses above, each with its weight, the score below with a dot on
        the pass whose weights were kept. A line parts the stages of the training.

    Raises
    ------
    ValueError
        If there is nothing to plot (weights from a file have no history), or ``axes``
        are not two.
    """
    if history.empty:
        raise ValueError(
            "The history is empty: these weights were not trained in this session."
        )
    axes = get_axes(axes, 2, (9, 6), sharex=True)
    passes = np.arange(1, len(history) + 1)
    # A second fit starts the count of a phase anew.
    is_start = history["train_epoch"].to_numpy() == 1
    runs = np.split(np.arange(len(history)), np.flatnonzero(is_start)[1:])
    for ax, lines in zip(axes, (_LOSSES, _SCORES), strict=True):
        _draw(ax, history, passes, lines, runs)
    for run in runs:
        _mark_best(axes[1], history, run)
        _name_run(axes, history, run)
    axes[0].set(ylabel="Loss (log scale)", yscale="log")
    axes[1].set(ylabel="Validation score", xlabel="Pass over the nights")
    axes[1].xaxis.get_major_locator().set_params(integer=True)
    return finish(axes, show)


def _draw(ax: Axes, history, passes, lines, runs) -> None:
    for column, (label, color, style) in lines.items():
        if column not in history or history[column].isna().all():
            continue
        for run in runs:
            # One entry of the legend for all runs.
            ax.plot(
                passes[run],
                history[column].to_numpy()[run],
                style,
                color=color,
                linewidth=2.5 if column == "loss" else 1.5,
                marker="." if len(run) == 1 else None,
                label=label if run is runs[0] else None,
            )
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False, bbox_to_anchor=(1, 1), loc="upper left")
    tidy(ax)


def _mark_best(ax: Axes, history: DataFrame, run) -> None:
    scores = [history[name].to_numpy()[run] for name in _SCORES if name in history]
    for score in scores:
        if not np.isnan(score).all():
            best = np.nanargmax(score)
            ax.plot(run[best] + 1, score[best], "o", color=BLACK)


def _name_run(axes, history: DataFrame, run) -> None:
    if run[0] > 0:
        for ax in axes:
            ax.axvline(run[0] + 0.5, color=GREY, linewidth=1)
    axes[0].annotate(
        history["phase"].iloc[run[0]],
        (run.mean() + 1, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 4),
        textcoords="offset points",
        ha="center",
    )
