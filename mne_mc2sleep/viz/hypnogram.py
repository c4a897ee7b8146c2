"""The hypnogram and its hypnodensity on one time axis."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FuncFormatter, MultipleLocator

from .._constants import EPOCH_DURATION, STAGES
from ..io.hypnograms import stages_on_grid
from ._style import BLACK, STAGE_COLORS, add_legend, finish, get_axes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from pandas import DataFrame
    from yasa import Hypnogram

HOUR = 3600.0
_TICKS = (1 / 60, 1 / 12, 1 / 4, 1, 2, 4, 12, 24)  # hours between ticks
_MAX_TICKS = 12
# From top to bottom, as sleep laboratories draw it.
_LEVELS = ("WAKE", "REM", "N1", "N2", "N3")


def plot_hypnogram(
    hypno: Hypnogram, *, axes: Sequence[Axes] | None = None, show: bool = True
) -> Figure:
    """Plot a hypnogram above its hypnodensity, on one time axis.

    Parameters
    ----------
    hypno : yasa.Hypnogram
        A hypnogram with ``proba``, from `MC2SleepClassifier.predict`.
    axes : sequence of Axes | None
        Two axes to draw into; None makes a figure.
    show : bool
        Whether to show the figure.

    Returns
    -------
    fig : Figure
        The figure.
    """
    check_proba(hypno)
    rows = get_axes(axes, 2, (10, 5))
    stages = stages_on_grid(hypno.as_int().to_numpy(), len(hypno))
    draw_stages(rows[0], stages, "Stage")
    draw_density(rows[1], hypno.proba, epoch_edges(len(hypno)))
    share_time(rows, len(hypno), hypno.start)
    return finish(rows, show)


def check_proba(hypno: Hypnogram) -> None:
    """Raise if a hypnogram has no probabilities."""
    if hypno.proba is None:
        raise ValueError(
            "The hypnogram has no probabilities to plot. Pass one from "
            "MC2SleepClassifier.predict, or use its own plot_hypnogram()."
        )


def epoch_edges(n_epochs: int) -> NDArray[np.float64]:
    """Return the edges of epochs in hours from the start (n_epochs + 1,)."""
    return np.arange(n_epochs + 1, dtype=np.float64) * (EPOCH_DURATION / HOUR)


def runs(mask: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """Return begin and duration, in hours, of each run of True epochs."""
    change = np.diff(mask.astype(np.int8), prepend=0, append=0)
    begin, end = np.flatnonzero(change == 1), np.flatnonzero(change == -1)
    hours = EPOCH_DURATION / HOUR
    return list(zip(begin * hours, (end - begin) * hours, strict=True))


def draw_stages(ax: Axes, stages: NDArray[np.int8], label: str) -> None:
    """Draw stages (positions in ``STAGES``, -1 for none) as a line of steps."""
    # Unscored epochs, -1, take the last value.
    heights = np.array([-_LEVELS.index(stage) for stage in STAGES] + [np.nan])
    values = heights[stages]
    ax.stairs(values, epoch_edges(len(stages)), baseline=None, color=BLACK)
    rem = STAGES.index("REM")
    for begin, duration in runs(stages == rem):
        x = (begin, begin + duration)
        ax.plot(x, (heights[rem],) * 2, color=STAGE_COLORS["REM"], lw=3)
    ax.set_yticks(-np.arange(len(_LEVELS)), _LEVELS)
    ax.set(ylim=(0.6 - len(_LEVELS), 0.4), ylabel=label)
    ax.spines[["right", "top"]].set_visible(False)


def draw_density(ax: Axes, proba: DataFrame, edges: NDArray[np.float64]) -> None:
    """Draw probabilities as bands above each other, the unscored epochs as ``UNS``."""
    values = np.cumsum(proba.to_numpy(), axis=1)
    # The last value is repeated: a step is drawn between two edges.
    bands = np.column_stack([np.zeros(len(proba)), values])[[*range(len(proba)), -1]].T
    for stage, bottom, top in zip(map(str, proba), bands[:-1], bands[1:], strict=True):
        color = STAGE_COLORS[stage]
        ax.fill_between(edges, bottom, top, step="post", lw=0, color=color, label=stage)
    ax.set(ylim=(0, 1), ylabel="Probability")
    add_legend(ax)


def share_time(axes: Sequence[Axes], n_epochs: int, start: datetime | None) -> None:
    """Give all rows one time axis, with the clock below the last if it is known."""
    duration = n_epochs * EPOCH_DURATION / HOUR
    step = next((s for s in _TICKS if duration / s <= _MAX_TICKS), _TICKS[-1])
    offset = 0.0
    if start is not None:
        offset = (start.hour + start.minute / 60 + start.second / HOUR) % step

    def name(hours: float, _position: int | None = None) -> str:
        if start is None:
            return f"{hours:.3g}"
        return (start + timedelta(hours=hours, seconds=0.5)).strftime("%H:%M")

    for ax in axes:
        is_last = ax is axes[-1]
        ax.set_xlim(0, duration)
        ax.xaxis.set_major_locator(MultipleLocator(step, offset=-offset))
        ax.xaxis.set_major_formatter(FuncFormatter(name) if is_last else "")
        label = "Time (h)" if start is None else "Clock of the recorder"
        ax.set_xlabel(label if is_last else "")
