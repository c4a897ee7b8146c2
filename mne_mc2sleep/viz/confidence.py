"""Calibration of the confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..metrics import expected_calibration_error, reliability_bins, risk_coverage
from ._style import BLUE, GREY, VERMILION, finish, get_axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from pandas import DataFrame

_MAX_AREA = 150.0  # of the marker of the fullest bin, in points squared


def plot_reliability(
    probabilities: DataFrame | NDArray,
    reference: Any,
    *,
    n_bins: int = 15,
    axes: Sequence[Axes] | None = None,
    show: bool = True,
) -> Figure:
    """Plot accuracy against confidence, with the number of epochs of each bin.

    Parameters
    ----------
    probabilities, reference, n_bins
        As in `reliability_bins`.
    axes : sequence of Axes | None
        Two axes to draw into; None makes a figure.
    show : bool
        Whether to show the figure.

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
    """Plot the accuracy of what remains if a human scores the least certain epochs.

    Parameters
    ----------
    probabilities, reference
        As in `risk_coverage`.
    axes : Axes | None
        The axes to draw into; None makes a figure.
    show : bool
        Whether to show the figure.

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
