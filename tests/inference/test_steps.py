"""Windows that begin more often than epochs do."""

import numpy as np
import pytest

from mne_mc2sleep.inference.steps import stage_in_steps


def first_sample(signals, usable):
    """Return the time of the first sample of each epoch of the first channel."""
    return np.repeat(signals[0][:, :1], 5, axis=1).astype(float)


@pytest.fixture
def seconds():
    """Return a channel of four epochs that holds the time in seconds."""
    return (np.arange(12_000) / 100).reshape(4, 3000)


@pytest.mark.parametrize("step", [1, 2.5, 5, 30])
def test_a_window_begins_at_its_onset(seconds, step):
    """There is one every ``step`` seconds until the last whole one."""
    usable = np.ones(4, dtype=bool)
    onsets, proba, is_usable = stage_in_steps(first_sample, [seconds], [usable], step)
    np.testing.assert_allclose(onsets, np.arange(0, 90.001, step))
    np.testing.assert_allclose(proba[:, 0], onsets)
    assert is_usable.all()


def test_a_window_is_usable_if_what_it_touches_is(seconds):
    """On any channel; the probabilities of others are uniform."""
    masks = [np.array([1, 1, 0, 1], dtype=bool), np.array([0, 0, 0, 1], dtype=bool)]
    result = stage_in_steps(first_sample, [seconds] * 2, masks, 10)
    assert result[2].tolist() == [True] * 4 + [False] * 5 + [True]


def test_a_single_epoch_has_one_window(seconds):
    """There is nothing to shift into."""
    onsets, _, _ = stage_in_steps(first_sample, [seconds[:1]], [np.ones(1, bool)], 5)
    assert onsets.tolist() == [0]


@pytest.mark.parametrize("step", [0, -5, 7, 60])
def test_other_steps_are_an_error(seconds, step):
    """The windows would not be spaced evenly."""
    with pytest.raises(ValueError, match="'step' must divide 30 s"):
        stage_in_steps(first_sample, [seconds], [np.ones(4, bool)], step)


def test_predict_proba_has_a_row_for_each_window(fitted, raw):
    """Every sixth is that of an epoch."""
    fine = fitted.predict_proba(raw, step=5)
    coarse = fitted.predict_proba(raw)
    np.testing.assert_allclose(fine.index, np.arange(0, 2400 - 29, 5))
    np.testing.assert_allclose(fine.iloc[::6], coarse)
    (again,) = fitted.predict_proba([raw], step=30, picks="EEG Fpz-Cz")
    np.testing.assert_allclose(again, coarse)
