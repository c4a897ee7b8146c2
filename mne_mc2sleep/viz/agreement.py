"""Agreement of a stager and an expert."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import confusion_matrix

from .._constants import STAGES, UNSCORED
from ..metrics import as_stages, score_stages
from ._style import finish, get_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike
    from yasa import Hypnogram


def plot_confusion_matrix(
    reference: Hypnogram | ArrayLike,
    predicted: Hypnogram | ArrayLike,
    *,
    axes: Axes | None = None,
    show: bool = True,
) -> Figure:
    """Plot which stages a stager gives to the epochs of each stage of an expert.

    Parameters
    ----------
    reference, predicted : yasa.Hypnogram | array-like of shape (n_epochs,)
        The stages of the expert and of the stager, as YASA's integers, names or
        hypnograms; several nights concatenated, to pool them. They are compared by
        position. Epochs without a stage in either do not count.
    axes : Axes | None
        The axes to draw into; None makes a figure.
    show : bool
        Whether to show the figure.

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
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for (row, column), share in np.ndenumerate(shares):
        text = f"{share:.0f} %\n{counts[row, column]}"
        color = "white" if share > 50 else "black"
        ax.text(column, row, text, ha="center", va="center", color=color)
    ax.set_xticks(range(len(STAGES)), STAGES)
    names = [f"{s}\n({n})" for s, n in zip(STAGES, totals[:, 0], strict=True)]
    ax.set_yticks(range(len(STAGES)), names)
    title = "{n_epochs} epochs, accuracy {accuracy:.1%}, kappa {kappa:.2f}"
    ax.set(xlabel="Predicted", ylabel="Reference (epochs)")
    ax.set_title(title.format(**scores))
    return finish(rows, show)
