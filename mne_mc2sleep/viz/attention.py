"""Figure of the cross-attention between the modalities."""

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

_MAX_LABELS = 25  # more would overlap


def plot_attention(
    maps: AttentionMaps,
    hypno: Hypnogram | None = None,
    *,
    axes: Sequence[Axes] | None = None,
    show: bool = True,
) -> Figure:
    """Plot the attention of each epoch to the epochs of the other modality.

    Parameters
    ----------
    maps : AttentionMaps
        From `attention_maps`.
    hypno : yasa.Hypnogram | None
        The hypnogram of the recording, to label each epoch with its stage.
    axes, show
        As in `plot_hypnogram`, with two axes.

    Returns
    -------
    fig : Figure
        The figure: the mean over layers and heads, each row of which sums to 1. On the
        left the signal attends to the spectrogram, on the right the reverse.
    """
    n_epochs = maps.signal.shape[-1]
    epochs = maps.first_epoch + np.arange(n_epochs)
    labels = [str(epoch) for epoch in epochs]
    if hypno is not None:
        if len(hypno) <= epochs[-1]:
            raise ValueError(
                f"The hypnogram has {len(hypno)} epochs, but the sequence ends with "
                f"epoch {epochs[-1]}. Pass the hypnogram of the same recording."
            )
        labels = [f"{epoch} {hypno.hypno.iloc[epoch]}" for epoch in epochs]
    rows = get_axes(axes, 2, (11, 5.2), nrows=1, ncols=2)
    weights = [part.mean(axis=(0, 1)) for part in (maps.signal, maps.spectrogram)]
    highest = max(map(np.max, weights))
    names = ("signal", "spectrogram"), ("spectrogram", "signal")
    step = -(-n_epochs // _MAX_LABELS)
    for ax, weight, (own, other) in zip(rows, weights, names, strict=True):
        image = ax.imshow(weight, vmin=0, vmax=highest)
        ax.set_xticks(range(0, n_epochs, step), labels[::step], rotation=90)
        ax.set_yticks(range(0, n_epochs, step), labels[::step])
        ax.set(xlabel=f"Epoch of the {other}", ylabel=f"Epoch of the {own}")
        ax.set_title(f"{own.capitalize()} attends to {other}")
    rows[1].figure.colorbar(image, ax=list(rows), label="Weight", shrink=0.8)
    return finish(rows, show)
