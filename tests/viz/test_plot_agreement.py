"""The picture of a confusion matrix."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from yasa import Hypnogram

from mne_mc2sleep.viz import plot_confusion_matrix


def cells(fig):
    """Return the texts of the cells, by row and column."""
    texts = [text.get_text() for text in fig.axes[0].texts]
    return np.array(texts).reshape(5, 5)


def test_a_cell_has_the_share_of_its_row_and_the_count():
    """Of three epochs of N2 two are found."""
    fig = plot_confusion_matrix([0, 2, 2, 2], [0, 2, 2, 3], show=False)
    assert cells(fig)[2].tolist() == [
        "0 %\n0",
        "0 %\n0",
        "67 %\n2",
        "33 %\n1",
        "0 %\n0",
    ]


def test_the_colours_are_the_shares():
    """In percent; a stage that the expert lacks has zeros."""
    fig = plot_confusion_matrix([0, 2, 2, 2], [0, 2, 2, 3], show=False)
    shares = fig.axes[0].images[0].get_array()
    np.testing.assert_allclose(shares[2], [0, 0, 200 / 3, 100 / 3, 0])
    np.testing.assert_array_equal(shares[4], 0)


def test_the_title_tells_the_scores():
    """With the count of the epochs that were compared."""
    fig = plot_confusion_matrix([0, 0, 2, 2, -1], [0, 2, 2, 2, 0], show=False)
    title = fig.axes[0].get_title()
    assert title == "4 epochs, accuracy 75.0%, kappa 0.50"


def test_a_hypnogram_is_compared_by_position(hypno, stages):
    """Its start does not matter, and epochs without EEG do not count."""
    other = Hypnogram.from_integers(stages, start="2024-01-01 22:00")
    fig = plot_confusion_matrix(other, hypno, show=False)
    assert fig.axes[0].get_title().startswith("9 epochs, accuracy 100.0%")


def test_axes_can_be_given():
    """One axes of the user's."""
    fig = Figure()
    assert plot_confusion_matrix([0], [0], axes=fig.subplots(), show=False) is fig


def test_lengths_must_match():
    """They must be of one recording."""
    with pytest.raises(ValueError, match="has 2 epochs and the prediction 1"):
        plot_confusion_matrix([0, 1], [0], show=False)
