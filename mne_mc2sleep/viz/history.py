"""Figure of the history of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.ticker import MaxNLocator

from ._style import BLACK, COLORS, GREY, add_legend, finish, get_axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

# The columns of the history in each row of the figure.
_LOSSES = r"^(loss|contrastive|reconstruction|stage_.*)$"
_SCORES = r"^validation_(macro_f1|negative_loss)$"


def plot_history(
    history: DataFrame | Any,
    *,
    axes: Sequence[Axes] | None = None,
    show: bool = True,
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
        The figure: weighted losses above, named as in ``history_``, and the validation
        score below, with a dot on the pass whose weights were kept. A line separates
        the phases of the training.
    """
    history = getattr(history, "history_", history)
    if history.empty:
        raise ValueError(
            "The history is empty: these weights were not trained in this session."
        )
    rows = get_axes(axes, 2, (9, 6), sharex=True)
    history = history.set_axis(range(1, len(history) + 1))
    losses, scores = (
        history.filter(regex=names).dropna(axis=1, how="all")
        for names in (_LOSSES, _SCORES)
    )
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
