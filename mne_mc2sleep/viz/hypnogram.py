"""The picture of a hypnogram."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._style import STAGE_COLORS, finish, get_axes

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
    if hypno.proba is None:
        raise ValueError(
            "The hypnogram has no probabilities to plot; use its own plot_hypnogram()."
        )
    axes = get_axes(axes, 2, (10, 5))
    hypno.plot_hypnogram(ax=axes[0])
    # YASA draws REM in red, which some readers cannot tell from black.
    for line in axes[0].collections:
        line.set(color=STAGE_COLORS["REM"], linewidth=3)
    hypno.plot_hypnodensity(ax=axes[1], palette=STAGE_COLORS)
    axes[1].set_xlim(axes[0].get_xlim())
    # YASA's legend is larger than the axes of a figure with several rows.
    axes[1].legend(frameon=False, bbox_to_anchor=(1, 1), loc="upper left")
    return finish(axes, show)
