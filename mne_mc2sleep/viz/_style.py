"""Colours, axes and the showing of figures: what all plots share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

# The colours of Okabe and Ito, "Color Universal Design" (2008), which readers with any
# kind of colour vision tell apart.
BLACK, ORANGE, SKY_BLUE, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY = "#999999"

# The deeper the sleep, the darker (our choice); tests/viz/test_style.py measures how
# far apart they are for the colour-blind.
STAGE_COLORS = {
    "WAKE": YELLOW,
    "N1": SKY_BLUE,
    "N2": BLUE,
    "N3": BLACK,
    "REM": VERMILION,
    "ART": "#666666",
    "UNS": "#AAAAAA",
}


def get_axes(
    axes, n_axes: int, figsize: tuple[float, float], **options
) -> NDArray[np.object_]:
    """Return the axes to draw into, those of a new figure if there are none.

    Parameters
    ----------
    axes : Axes | sequence of Axes | None
        What the user passed.
    n_axes : int
        How many the plot needs.
    figsize : tuple of float
        Width and height in inches of a new figure.
    **options
        What else `matplotlib.pyplot.subplots` is told.

    Returns
    -------
    axes : array of Axes of shape (n_axes,)
        The axes.

    Raises
    ------
    ValueError
        If the user passed another number of them.
    """
    if axes is None:
        from matplotlib import pyplot as plt

        options = {"nrows": n_axes} | options
        _, axes = plt.subplots(
            figsize=figsize, layout="constrained", squeeze=False, **options
        )
    axes = np.atleast_1d(axes).ravel()
    if len(axes) != n_axes:
        raise ValueError(f"'axes' must be {n_axes} axes, not {len(axes)}.")
    return axes


def finish(axes: NDArray[np.object_], show: bool) -> Figure:
    """Show the figure of ``axes`` if asked, and return it."""
    if show:
        from matplotlib import pyplot as plt

        plt.show()
    return axes[0].figure


def tidy(ax: Axes) -> None:
    """Take the frame's upper and right line away, as YASA does."""
    ax.spines[["right", "top"]].set_visible(False)
