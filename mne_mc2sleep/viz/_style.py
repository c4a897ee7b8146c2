"""Colours, axes and the display of figures."""

from typing import Any, cast

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito, "Color Universal Design" (2008), for any kind of colour vision.
BLACK, ORANGE, SKY_BLUE, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY = "#999999"
COLORS = (BLACK, ORANGE, SKY_BLUE, BLUE, VERMILION, GREEN, PURPLE, GREY)

# The deeper the sleep, the darker (our choice).
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
    axes: Any, n_axes: int, figsize: tuple[float, float], **options: Any
) -> list[Axes]:
    """Return the axes to draw into; if None, those of a new figure."""
    if axes is None:
        options.setdefault("nrows", n_axes)
        _, axes = plt.subplots(figsize=figsize, layout="constrained", **options)
    axes = np.ravel(axes).tolist()
    if len(axes) != n_axes:
        raise ValueError(f"'axes' must be {n_axes} axes, got {len(axes)} instead.")
    return axes


def finish(axes: list[Axes], show: bool) -> Figure:
    """Show the figure of ``axes`` if asked, and return it."""
    if show:
        plt.show()
    return cast("Figure", axes[0].figure)


def add_legend(ax: Axes) -> None:
    """Put the legend beside the axes, and remove the right and upper spines."""
    ax.legend(frameon=False, bbox_to_anchor=(1, 1), loc="upper left")
    ax.spines[["right", "top"]].set_visible(False)
