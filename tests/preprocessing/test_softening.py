"""How the probabilities of far epochs are lowered."""

import numpy as np
import pytest

from mne_mc2sleep.preprocessing.novelty import Familiarity, soften


def make_found(distances, is_far=True):
    """Return a finding."""
    return Familiarity(np.array(distances), is_far, "")


PROBA = np.array([[0.96, 0.01, 0.01, 0.01, 0.01], [0.1, 0.2, 0.5, 0.15, 0.05]])
USABLE = np.ones(2, dtype=bool)


@pytest.mark.parametrize("distance", [1.0, 2.0, 100.0])
def test_no_probability_of_a_far_epoch_exceeds_0_6(distance):
    """They sum to 1, and the stages keep their order."""
    proba = soften(PROBA, [make_found([distance, distance])], [USABLE])
    assert proba.max() <= 0.6
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_array_equal(proba[1].argsort(), PROBA[1].argsort())


def test_the_farther_the_less_sure():
    """The largest probability falls with the distance."""
    tops = [soften(PROBA, [make_found([d, d])], [USABLE])[0].max() for d in (1.1, 2, 9)]
    assert tops == sorted(tops, reverse=True)


@pytest.mark.parametrize("found", [[], [make_found([9, 9], is_far=False)]])
def test_a_recording_that_is_not_far_is_not_touched(found):
    """Not even in single far epochs, as every night has them."""
    assert soften(PROBA, found, [USABLE]) is PROBA


def test_in_a_far_recording_the_near_epochs_are_not_touched():
    """To the bit."""
    proba = soften(PROBA, [make_found([9, 0.5])], [USABLE])
    np.testing.assert_array_equal(proba[1], PROBA[1])


def test_of_several_channels_the_mean_share_is_kept():
    """Of those that are usable in the epoch."""
    found = [make_found([2, 2]), make_found([0.5, 0.5], is_far=False)]
    proba = soften(PROBA, found, [USABLE, np.array([True, False])])
    shares = (proba.max(axis=1) - 0.2) / (PROBA.max(axis=1) - 0.2)
    assert shares == pytest.approx([(0.25 + 1) / 2, 0.25])


def test_where_no_channel_is_usable_nothing_changes():
    """Nothing is known of such an epoch."""
    proba = soften(PROBA, [make_found([0, 9])], [np.array([False, True])])
    np.testing.assert_array_equal(proba[0], PROBA[0])
