"""Plots of what YASA does not show by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from yasa import Hypnogram


def plot_hypnogram(
    hypno: Hypnogram, *, axes: Sequence[Axes] | None = None, show: bool = True
) -> Figure:
    """Plot a hypnogram above its hypnodensity, on one time axis.

    Parameters
    ----------
    hypno : yasa.Hypnogram
        A hypnogram with ``proba``, as `MC2SleepClassifier.predict` gives it.
    axes : sequence of Axes | None
        Two axes to draw into; None makes a figure.
    show : bool
        Whether to show the figure.

    Returns
    -------
    fig : Figure
        The figure.

    Raises
    ------
    ValueError
        If the hypnogram has no probabilities, or ``axes`` are not two.
    """
    from matplotlib import pyplot as plt

    if hypno.proba is None:
        raise ValueError(
            "The hypnogram has no probabilities to plot; use its own plot_hypnogram()."
        )
    if axes is None:
        _, axes = plt.subplots(2, 1, figsize=(10, 5), layout="constrained")
    if len(axes) != 2:
        raise ValueError(f"'axes' must be two axes, not {len(axes)}.")
    hypno.plot_hypnogram(ax=axes[0])
    hypno.plot_hypnodensity(ax=axes[1])
    axes[1].set_xlim(axes[0].get_xlim())
    if show:
        plt.show()
    return axes[0].figure
