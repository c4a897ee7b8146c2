"""Figures of the agreement with an expert and of the calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix

from .._constants import STAGES, UNSCORED
from ..metrics import (
    as_stages,
    expected_calibration_error,
    reliability_bins,
    risk_coverage,
    score_stages,
)
from ._style import BLUE, GREY, VERMILION, finish, get_axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray
    from pandas import DataFrame
    from yasa import Hypnogram

_MAX_AREA = 150.0  # of the marker of the fullest bin, in points squared


def plot_confusion_matrix(
    reference: Hypnogram | ArrayLike,
    predicted: Hypnogram | ArrayLike,
    *,
    axes: Axes | None = None,
    show: bool = True,
) -> Figure:
    """Plot a confusion matrix of an expert and a stager.

    Parameters
    ----------
    reference, predicted : yasa.Hypnogram | array-like of shape (n_epochs,)
        The stages of the expert and of the stager, as YASA's integers, names or
        hypnograms; several nights concatenated, to pool them. They are compared by
        position. Epochs without a stage in either do not count.
    axes, show
        As in `plot_hypnogram`, with one axes.

    Returns
    -------
    fig : Figure
        The figure: in each cell the percentage of the row, so that the diagonal is the
        recall, and the number of epochs.
    """
    reference, predicted = as_stages(reference), as_stages(predicted)
    scores = score_stages(reference, predicted)
    scored = (reference != UNSCORED) & (predicted != UNSCORED)
    counts = confusion_matrix(
        reference[scored], predicted[scored], labels=range(len(STAGES))
    )
    totals = counts.sum(axis=1, keepdims=True)
    shares = 100 * counts / totals.clip(min=1)
    (ax,) = rows = get_axes(axes, 1, (5.5, 5))
    display = ConfusionMatrixDisplay(shares, display_labels=STAGES)
    limits = {"vmin": 0, "vmax": 100}
    display.plot(cmap="Blues", colorbar=False, im_kw=limits, ax=ax)
    for place, text in np.ndenumerate(display.text_):
        text.set_text(f"{shares[place]:.0f} %\n{counts[place]}")
    names = [f"{s}\n({n})" for s, n in zip(STAGES, totals[:, 0], strict=True)]
    ax.set_yticks(range(len(STAGES)), names)
    title = "{n_epochs} epochs, accuracy {accuracy:.1%}, kappa {kappa:.2f}"
    ax.set(xlabel="Predicted", ylabel="Reference (epochs)")
    ax.set_title(title.format(**scores))
    return finish(rows, show)


def plot_reliability(
    probabilities: DataFrame | NDArray,
    reference: Any,
    *,
    n_bins: int = 15,
    axes: Sequence[Axes] | None = None,
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
        The figure. The area of a marker is proportional to the epochs of its bin. On
        the diagonal, a confidence of 80 % is right in 80 % of the epochs; below it, the
        stager is overconfident.
    """
    bins = reliability_bins(probabilities, reference, n_bins)
    error = expected_calibration_error(probabilities, reference, n_bins)
    ratios = {"height_ratios": (3, 1)}
    rows = get_axes(axes, 2, (5, 6), sharex=True, gridspec_kw=ratios)
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
    probabilities: DataFrame | NDArray,
    reference: Any,
    *,
    axes: Axes | None = None,
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
        The figure.
    """
    curve = risk_coverage(probabilities, reference)
    (ax,) = rows = get_axes(axes, 1, (6, 4))
    everything = 100 * curve["accuracy"].iloc[-1]
    ax.plot(100 * (1 - curve["coverage"]), 100 * curve["accuracy"], color=BLUE)
    ax.axhline(everything, ls="--", color=GREY, label=f"all epochs: {everything:.1f} %")
    ax.set(xlabel="Least certain epochs scored by a human (%)", xlim=(0, 100))
    ax.set_ylabel("Accuracy of the others (%)")
    ax.legend(frameon=False, loc="upper left")
    return finish(rows, show)
