"""Attention between the two modalities of a recording."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.reading import read_channel
from ..network import Embeddings, cross_attention_maps
from .sliding_window import encode_epochs


class AttentionMaps(NamedTuple):
    """The weights of the cross-attention in one sequence of epochs.

    They have the shape (n_layers, n_heads, n_epochs, n_epochs). Rows are the attending
    epochs and sum to 1; columns are those of the other modality, 0 if not usable.
    """

    signal: NDArray[np.float32]  # to spectrogram
    spectrogram: NDArray[np.float32]  # to signal
    first_epoch: int  # of the sequence in the recording


def attention_maps(
    clf, raw, first_epoch: int = 0, *, picks: str | list[str] | None = None
) -> AttentionMaps:
    """Return the cross-attention of one sequence of a recording.

    Parameters
    ----------
    clf : MC2SleepClassifier
        A trained stager.
    raw : Raw | path-like
        The recording.
    first_epoch : int
        The first epoch of the sequence, which has the ``sequence_length`` of the
        weights, or the length of a shorter recording.
    picks
        As in `MC2SleepClassifier.predict`.

    Returns
    -------
    maps : AttentionMaps
        For `plot_attention`.
    """
    clf._check_is_fitted(can_stage=False)
    net = clf.stager_.net
    picks = clf.picks if picks is None else picks
    recording = read_channel(raw, picks, clf.stager_.scaling)
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
    sequence = Embeddings(*encoded[None].unbind(dim=2))
    maps = cross_attention_maps(net, sequence, usable[None])
    signal, spectrogram = (part[0].cpu().numpy() for part in maps)
    return AttentionMaps(signal, spectrogram, first_epoch)
