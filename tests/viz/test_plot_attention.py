"""The picture of cross-attention."""

import numpy as np
import pytest

from mne_mc2sleep.inference.attention import AttentionMaps
from mne_mc2sleep.viz import plot_attention


@pytest.fixture
def maps():
    """Return the maps of four epochs, two layers and three heads."""
    rng = np.random.default_rng(0)
    signal, spectrogram = rng.dirichlet(np.ones(4), size=(2, 2, 3, 4))
    return AttentionMaps(signal, spectrogram, first_epoch=2)


def test_the_picture_is_the_mean_over_layers_and_heads(maps):
    axes = plot_attention(maps, show=False).axes
    for ax, layers in zip(axes, maps[:2], strict=False):
        np.testing.assert_allclose(ax.images[0].get_array(), layers.mean(axis=(0, 1)))


def test_epochs_are_named_by_their_stage(maps, hypno):
    ax = plot_attention(maps, hypno, show=False).axes[0]
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["2 N1", "3 UNS", "4 N2", "5 N3"]


def test_a_hypnogram_that_is_too_short_is_an_error(maps, hypno):
    with pytest.raises(ValueError, match="has 10 epochs, but the sequence ends with"):
        plot_attention(maps._replace(first_epoch=7), hypno, show=False)
