"""Attention between the two modalities of a recording."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from ..data.reading import read_channel
from ..network import Embeddings, cross_attention_maps
from .sliding_window import encode_epochs

if TYPE_CHECKING:
    import os

    import numpy as np
    from mne.io import BaseRaw
    from numpy.typing import NDArray


class AttentionMaps(NamedTuple):
    """The weights of the cross-attention in one sequence of epochs.

    A row is the epoch that looks, a column the epoch of the other modality that it
    looks at; each row sums to 1, and an epoch that holds no EEG is not looked at.
    """

    signal: NDArray[np.float32]
    """Signal to spectrogram, of shape (n_layers, n_heads, n_epochs, n_epochs)."""
    spectrogram: NDArray[np.float32]
    """Spectrogram to signal, of the same shape."""
    first_epoch: int
    """The first epoch of the sequence in the recording."""


def attention_maps(
    clf,
    raw: BaseRaw | str | os.PathLike,
    first_epoch: int = 0,
    *,
    picks: str | list[str] | None = None,
) -> AttentionMaps:
    """Read the cross-attention of one sequence of a recording.

    Parameters
    ----------
    clf : MC2SleepClassifier
        A trained stager.
    raw : Raw | path-like
        The recording; it is not modified.
    first_epoch : int
        The epoch that the sequence begins with. It has the ``sequence_length`` of
        the weights, or that of the night if that is shorter.
    picks : str | list of str | None
        The channel, if it is not the one of ``clf``; of a list the first there is.

    Returns
    -------
    maps : AttentionMaps
        To be drawn by `plot_attention`.

    Raises
    ------
    NotFittedError
        If ``clf`` has no weights.
    ValueError
        If the recording cannot be read, or no whole sequence begins there.
    """
    clf._check_is_fitted(can_stage=False)
    net = clf.stager_.net
    recording = read_channel(
        raw, clf.picks if picks is None else picks, clf.stager_.scaling
    )
    length = min(net.config.sequence_length, recording.n_epochs)
    last = recording.n_epochs - length
    if not 0 <= first_epoch <= last:
        raise ValueError(
            f"'first_epoch' is {first_epoch}, but a sequence of {length} epochs begins "
            f"between 0 and {last} in a recording of {recording.n_epochs}."
        )
    epochs = slice(first_epoch, first_epoch + length)
    device = next(net.parameters()).device
    encoded = encode_epochs(net, recording.signals[epochs]).to(device)
    usable = torch.from_numpy(recording.usable[epochs]).to(device)
    maps = cross_attention_maps(
        net, Embeddings(*encoded[None].unbind(dim=2)), usable[None]
    )
    signal, spectrogram = (m[0].cpu().numpy() for m in maps)
    return AttentionMaps(signal, spectrogram, first_epoch)
