"""Pictures of how far a stager's confidence can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..metrics import expected_calibration_error, reliability_bins, risk_coverage
from ._style import BLUE, GREY, finish, get_axes, tidy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from pandas import DataFrame


def plot_reliability(
    probabilities: DataFrame | NDArray,
    reference: NDArray,
    *,
    n_bins: int = 15,
    axes: Sequence[Axes] | None = None,
    show: bool = True,
) -> Figure:
    """Plot the accuracy of epochs of the same confidence, and how many these are.

    Parameters
    ----------
    probabilities, reference, n_bins
        As for `evaluation.reliability_bins`.
    axes : sequence of Axes | None
        Two axes to draw into; None makes a figure.
    show : bool
        Whether to show the figure.

    Returns
    -------
    fig : Figure
        The figure. On the diagonal, a confidence of 80 % is right in 80 % of the
        epochs; below it, the stager is too sure.

    Raises
    ------
    ValueError
        If there is nothing to compare, or ``axes`` are not two.
    """
    bins = reliability_bins(probabilities, reference, n_bins)
    error = expected_calibration_error(probabilities, reference, n_bins)
    ratios = {"height_ratios": (3, 1)}
    axes = get_axes(axes, 2, (5, 6), sharex=True, gridspec_kw=ratios)
    found = bins.dropna()
    axes[0].plot([0, 1], [0, 1], "--", color=GREY, label="as sure as right")
    axes[0].plot(found["confidence"], found["accuracy"], "o-", color=BLUE)
    axes[0].set(
        ylabel="Accuracy",
        xlim=(0, 1),
        ylim=(0, 1.02),
        title=f"Expected calibration error {error:.3f}",
    )
    axes[0].legend(frameon=False, loc="upper left")
    axes[1].stairs(
        bins["n_epochs"], [*bins["lower"], bins["upper"].iloc[-1]], fill=True, fc=BLUE
    )
    axes[1].set(ylabel="Epochs", xlabel="Confidence")
    for ax in axes:
        tidy(ax)
    return finish(axes, show)


def plot_risk_coverage(
    probabilities: DataFrame | NDArray,
    reference: NDArray,
    *,
    axes: Axes | None = None,
    show: bool = True,
) -> Figure:
    """Plot the accuracy if the least certain share of the epochs goes to a human.

    Parameters
    ----------
    probabilities, reference
        As for `evaluation.risk_coverage`.
    axes : Axes | None
        The axes to draw into; None makes a figure.
    show : bool
        Whether to show the figure.

    Returns
    -------
    fig : Figure
        The figure.

    Raises
    ------
    ValueError
        If there is nothing to compare.
    """
    curve = risk_coverage(probabilities, reference)
    (ax,) = axes = get_axes(axes, 1, (6, 4))
    everything = 100 * curve["accuracy"].iloc[-1]
    ax.plot(100 * (1 - curve["coverage"]), 100 * curve["accuracy"], color=BLUE)
    ax.axhline(everything, ls="--", color=GREY, label=f"all epochs: {everything:.1f} %")
    ax.set(
        xlabel="Least certain epochs left to a human (%)",
        ylabel="Accuracy of the others (%)",
        xlim=(0, 100),
    )
    ax.legend(frameon=False, loc="upper left")
    tidy(ax)
    return finish(axes, show)
