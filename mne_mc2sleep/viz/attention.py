"""The picture of what the modalities look at in each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._style import finish, get_axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from yasa import Hypnogram

    from ..inference.attention import AttentionMaps

# More labels than this would touch each other.
_MAX_LABELS = 25


def plot_attention(
    maps: AttentionMaps,
    hypno: Hypnogram | None = None,
    *,
    axes: Sequence[Axes] | None = None,
    show: bool = True,
) -> Figure:
    """Plot which epochs of the other modality each epoch of a sequence looks at.

    Parameters
    ----------
    maps : AttentionMaps
        From `attention_maps`.
    hypno : yasa.Hypnogram | None
        The hypnogram of the recording, to name the stage of each epoch.
    axes : sequence of Axes | None
        Two axes to draw into; None makes a figure.
    show : bool
        Whether to show the figure.

    Returns
    -------
    fig : Figure
        The figure: the mean over layers and heads, each row of which sums to 1. Left
        the signal looks at the spectrogram, right the other way round.

    Raises
    ------
    ValueError
        If the hypnogram ends before the sequence, or ``axes`` are not two.
    """
    n_epochs = maps.signal.shape[-1]
    epochs = maps.first_epoch + np.arange(n_epochs)
    labels = [str(epoch) for epoch in epochs]
    if hypno is not None:
        if len(hypno) <= epochs[-1]:
            raise ValueError(
                f"The hypnogram has {len(hypno)} epochs, but the sequence ends with "
                f"epoch {epochs[-1]}; pass the hypnogram of the same recording."
            )
        labels = [f"{epoch} {hypno.hypno.iloc[epoch]}" for epoch in epochs]
    axes = get_axes(axes, 2, (11, 5.2), nrows=1, ncols=2)
    weights = [
        modality.mean(axis=(0, 1)) for modality in (maps.signal, maps.spectrogram)
    ]
    highest = max(map(np.max, weights))
    names = ("Signal", "spectrogram"), ("Spectrogram", "signal")
    step = -(-n_epochs // _MAX_LABELS)
    for ax, weight, (own, other) in zip(axes, weights, names, strict=True):
        image = ax.imshow(weight, vmin=0, vmax=highest)
        ax.set_xticks(range(0, n_epochs, step), labels[::step], rotation=90)
        ax.set_yticks(range(0, n_epochs, step), labels[::step])
        ax.set(
            title=f"{own} looks at {other}",
            xlabel=f"Epoch of the {other}",
            ylabel=f"Epoch of the {own.lower()}",
        )
    axes[1].figure.colorbar(image, ax=list(axes), label="Weight", shrink=0.8)
    return finish(axes, show)
