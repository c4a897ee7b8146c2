"""Figures of a stager: its agreement, confidence, attention and training."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from pandas import DataFrame
from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix
from yasa import Hypnogram

from .. import metrics
from .._constants import STAGES, UNSCORED
from ..inference.attention import AttentionMaps
from ._style import BLACK, BLUE, COLORS, GREY, VERMILION, add_legend, finish, get_axes

_MAX_AREA = 150.0  # of the marker of the fullest bin, in points squared
_MAX_LABELS = 25  # more would overlap
# The columns of the history in each row of the figure.
_LOSSES = r"^(loss|contrastive|reconstruction|stage_.*)$"
_SCORES = r"^validation_(macro_f1|negative_loss)$"


def plot_confusion_matrix(
    reference: metrics.AnyStages,
    predicted: metrics.AnyStages,
    *,
    axes: Any = None,
    show: bool = True,
) -> Figure:
    """Plot a confusion matrix of an expert and a stager.

    Parameters
    ----------
    reference, predicted
        As in `score_stages`.
    axes, show
        As in `plot_hypnogram`, with one axes.

    Returns
    -------
    fig : Figure
        Each cell has its percentage of the row (the recall) and its number of epochs.
    """
    reference, predicted = metrics.as_stages(reference), metrics.as_stages(predicted)
    scores = metrics.score_stages(reference, predicted)
    scored = (reference != UNSCORED) & (predicted != UNSCORED)
    every = range(len(STAGES))
    counts = confusion_matrix(reference[scored], predicted[scored], labels=every)
    totals = counts.sum(axis=1, keepdims=True)
    shares = 100 * counts / totals.clip(min=1)
    (ax,) = rows = get_axes(axes, 1, (5.5, 5))
    limits = {"vmin": 0, "vmax": 100}
    display = ConfusionMatrixDisplay(shares, display_labels=STAGES)
    display.plot(cmap="Blues", colorbar=False, im_kw=limits, ax=ax)
    for place, text in np.ndenumerate(display.text_):
        text.set_text(f"{shares[place]:.0f} %\n{counts[place]}")
    names = [f"{s}\n({n})" for s, n in zip(STAGES, totals[:, 0], strict=True)]
    ax.set_yticks(every, names)
    title = "{n_epochs} epochs, accuracy {accuracy:.1%}, kappa {kappa:.2f}"
    ax.set(xlabel="Predicted", ylabel="Reference (epochs)")
    ax.set_title(title.format(**scores))
    return finish(rows, show)


def plot_reliability(
    probabilities: metrics.Probabilities,
    reference: metrics.AnyStages,
    *,
    n_bins: int = 15,
    axes: Any = None,
    show: bool = True,
) -> Figure:
    """Plot a reliability diagram: accuracy against confidence, and epochs by bin.

    Parameters
    ----------
    probabilities, reference, n_bins
        As in `reliability_bins`.
    axes, show
        As in `plot_hypnogram`, with two axes.

    Returns
    -------
    fig : Figure
        The area of a marker is proportional to the epochs of its bin. On the diagonal,
        a confidence of 80 % is right in 80 % of the epochs; below, it is too high.
    """
    bins = metrics.reliability_bins(probabilities, reference, n_bins)
    error = metrics.expected_calibration_error(probabilities, reference, n_bins)
    rows = get_axes(axes, 2, (5, 6), sharex=True, height_ratios=(3, 1))
    found = bins.dropna()
    x, y, n_epochs = found["confidence"], found["accuracy"], found["n_epochs"]
    sizes = _MAX_AREA * n_epochs / n_epochs.max()
    rows[0].plot([0, 1], [0, 1], "--", color=GREY, label="perfect calibration")
    rows[0].vlines(x, x, y, color=VERMILION, label="calibration gap")
    rows[0].plot(x, y, color=BLUE, lw=0.8)
    rows[0].scatter(x, y, sizes, color=BLUE, label="bin (area: epochs)")
    rows[0].set(ylabel="Accuracy", xlim=(0, 1), ylim=(0, 1.02))
    rows[0].set_title(f"Expected calibration error {error:.3f}")
    rows[0].legend(frameon=False, loc="upper left")
    edges = [*bins["lower"], bins["upper"].iloc[-1]]
    rows[1].stairs(bins["n_epochs"], edges, fill=True, fc=BLUE)
    rows[1].set(ylabel="Epochs", xlabel="Confidence")
    return finish(rows, show)


def plot_risk_coverage(
    probabilities: metrics.Probabilities,
    reference: metrics.AnyStages,
    *,
    axes: Any = None,
    show: bool = True,
) -> Figure:
    """Plot the accuracy of the other epochs if a human scores the least certain ones.

    Parameters
    ----------
    probabilities, reference
        As in `risk_coverage`.
    axes, show
        As in `plot_hypnogram`, with one axes.

    Returns
    -------
    fig : Figure
    """
    curve = 100 * metrics.risk_coverage(probabilities, reference)
    (ax,) = rows = get_axes(axes, 1, (6, 4))
    everything = curve["accuracy"].iloc[-1]
    ax.plot(100 - curve["coverage"], curve["accuracy"], color=BLUE)
    ax.axhline(everything, ls="--", color=GREY, label=f"all epochs: {everything:.1f} %")
    ax.set(xlabel="Least certain epochs scored by a human (%)", xlim=(0, 100))
    ax.set_ylabel("Accuracy of the others (%)")
    ax.legend(frameon=False, loc="upper left")
    return finish(rows, show)


def plot_attention(
    maps: AttentionMaps,
    hypno: Hypnogram | None = None,
    *,
    axes: Any = None,
    show: bool = True,
) -> Figure:
    """Plot the attention of each epoch to the epochs of the other modality.

    Parameters
    ----------
    maps : AttentionMaps
        From `attention_maps`.
    hypno : yasa.Hypnogram | None
        The hypnogram of the recording, to label each epoch with its stage.
    axes, show
        As in `plot_hypnogram`, with two axes.

    Returns
    -------
    fig : Figure
        The mean over layers and heads, each row of which sums to 1. On the left the
        signal attends to the spectrogram, on the right the reverse.
    """
    n_epochs = maps.signal.shape[-1]
    epochs = maps.first_epoch + np.arange(n_epochs)
    labels = [str(epoch) for epoch in epochs]
    if hypno is not None:
        if len(hypno) <= epochs[-1]:
            raise ValueError(
                f"The hypnogram has {len(hypno)} epochs, but the sequence ends with "
                f"epoch {epochs[-1]}. Pass the hypnogram of the same recording."
            )
        labels = [f"{epoch} {hypno.hypno.iloc[epoch]}" for epoch in epochs]
    rows = get_axes(axes, 2, (11, 5.2), nrows=1, ncols=2)
    weights = np.mean([maps.signal, maps.spectrogram], axis=(1, 2))
    names = ("signal", "spectrogram"), ("spectrogram", "signal")
    step = -(-n_epochs // _MAX_LABELS)
    for ax, weight, (own, other) in zip(rows, weights, names, strict=True):
        image = ax.imshow(weight, vmin=0, vmax=weights.max())
        ax.set_xticks(range(0, n_epochs, step), labels[::step], rotation=90)
        ax.set_yticks(range(0, n_epochs, step), labels[::step])
        ax.set(xlabel=f"Epoch of the {other}", ylabel=f"Epoch of the {own}")
        ax.set_title(f"{own.capitalize()} attends to {other}")
    rows[1].figure.colorbar(image, ax=list(rows), label="Weight", shrink=0.8)
    return finish(rows, show)


def plot_history(
    history: DataFrame | Any, *, axes: Any = None, show: bool = True
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
        Weighted losses above, named as in ``history_``, and the validation score below,
        with a dot on the pass whose weights were kept. Lines separate the phases.
    """
    history = getattr(history, "history_", history)
    if history.empty:
        raise ValueError(
            "The history is empty: these weights were not trained in this session."
        )
    rows = get_axes(axes, 2, (9, 6), sharex=True)
    history = history.set_axis(range(1, len(history) + 1))
    known = history.dropna(axis=1, how="all")
    losses, scores = known.filter(regex=_LOSSES), known.filter(regex=_SCORES)
    # A second fit counts its passes from 1 again.
    for _, run in history.groupby((history["train_epoch"] == 1).cumsum()):
        first, last = run.index[[0, -1]]
        for ax, table in zip(rows, (losses, scores), strict=True):
            columns = table.loc[first:last].items()
            for (name, values), color in zip(columns, COLORS, strict=False):
                label = name if first == 1 else None
                ax.plot(values, ".-", color=color, label=label)
            if first > 1:
                ax.axvline(first - 0.5, color=GREY, linewidth=1)
        for _, values in scores.loc[first:last].items():
            rows[1].plot(values.nlargest(1), "o", color=BLACK)
        phase, place = run["phase"].iloc[0], ((first + last) / 2, 1.02)
        rows[0].annotate(phase, place, xycoords=("data", "axes fraction"), ha="center")
    for ax in rows:
        if ax.get_legend_handles_labels()[0]:
            add_legend(ax)
    rows[0].set(ylabel="Loss (log scale)", yscale="log")
    rows[1].set(ylabel="Validation score", xlabel="Pass over the nights")
    rows[1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return finish(rows, show)
