"""Tests of the scaling of short and unusual recordings by their stages."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.signal import butter, sosfilt

from mne_mc2sleep._constants import N_TIMES, SFREQ
from mne_mc2sleep.data.nights import Night
from mne_mc2sleep.inference import sliding_window
from mne_mc2sleep.preprocessing import scaling
from mne_mc2sleep.preprocessing.scaling import band_distances, median_distances
from mne_mc2sleep.preprocessing.short_recordings import fit_levels, rescale
from mne_mc2sleep.stager import Stager

HALF_AN_HOUR = 60
# The amplitudes of N3 and of wake differ from those of the rest of the night.
GAINS = np.array([0.5, 1.0, 1.0, 3.0, 0.9])
STAGES = np.repeat([0, 1, 2, 3, 4], [160, 60, 280, 160, 140])


def make_signals(stages=STAGES, seed=0):
    """Make noise that falls with frequency, with an amplitude by stage, in µV."""
    rng = np.random.default_rng(seed)
    sos = butter(1, 2, fs=SFREQ, output="sos")
    noise = sosfilt(sos, rng.standard_normal((len(stages), N_TIMES)))
    return (30 * GAINS[stages][:, None] * noise).astype(np.float32)


def everywhere(signals):
    return np.ones(len(signals), dtype=bool)


def scale(signals):
    return scaling.scale_signals(signals, everywhere(signals), "spectrum")


def as_night(signals, stages=STAGES, usable=None):
    usable = everywhere(signals) if usable is None else usable
    return Night(torch.from_numpy(signals), stages.astype(np.int8), usable, "subject")


@pytest.fixture(scope="module")
def night():
    return as_night(scale(make_signals()))


@pytest.fixture(scope="module")
def levels(night):
    return fit_levels([night])


def test_levels_are_the_differences_of_stages_from_the_night(levels):
    """Where half of the night has a gain of 1, another gain is its log power."""
    expected = 2 * np.log(GAINS)[:, None].repeat(13, axis=1)
    assert_allclose(levels, expected, atol=0.3)


@pytest.mark.parametrize("stage", [0, 2, 3])
def test_a_part_of_one_stage_is_scaled_like_its_night(night, levels, stage):
    """Scaled by its own median, N3 would be too small and wake too large."""
    start = np.flatnonzero(STAGES == stage)[0]
    part = slice(start, start + HALF_AN_HOUR)
    in_night = band_distances(night.signals[part].numpy()).mean(axis=0)
    alone = scale(make_signals()[part])
    found = rescale(alone, everywhere(alone), np.eye(5)[STAGES[part]], levels)
    # The shape of a short recording is trusted in part.
    assert_allclose(band_distances(found).mean(axis=0), in_night, atol=0.4)
    if stage != 2:
        off = band_distances(alone).mean(axis=0) - in_night
        assert np.abs(off).min() > 0.5


def test_the_filter_is_weaker_for_longer_recordings(levels):
    """If the stages are usual: between two and six hours in part, then not at all."""
    usual, shifts = np.array([0.2, 0.0, 0.62, 0.18, 0.0]), []
    for n_epochs in (240, 480):
        signals = scale(make_signals(np.full(n_epochs, 2)))
        proba = np.tile(usual, (n_epochs, 1))
        found = rescale(signals, everywhere(signals), proba, levels)
        shifts.append(np.mean(median_distances(found) - median_distances(signals)))
    assert shifts[1] / shifts[0] == pytest.approx(0.5, abs=0.1)
    signals = np.zeros((720, N_TIMES), np.float32)
    assert rescale(signals, everywhere(signals), None, levels) is None
    proba = np.tile(usual, (720, 1))
    assert rescale(signals, everywhere(signals), proba, levels) is None


def test_a_day_and_a_night_are_scaled_like_the_night(night, levels):
    stages = np.append(np.zeros(1200, int), STAGES)
    alone = scale(make_signals(stages))
    found = rescale(alone, everywhere(alone), np.eye(5)[stages], levels)
    means = [
        band_distances(x[-len(STAGES) :]).mean(axis=0)
        for x in (night.signals.numpy(), alone, found)
    ]
    assert np.abs(means[1] - means[0]).min() > 0.7
    assert_allclose(means[2], means[0], atol=0.2)


def test_unusable_epochs_do_not_count(levels):
    stages = np.full(HALF_AN_HOUR, 3)
    signals, usable = scale(make_signals(stages)), np.arange(HALF_AN_HOUR) >= 10
    expected = rescale(signals, usable, np.eye(5)[stages], levels)
    signals[:10] *= 50
    stages[:10] = 0
    found = rescale(signals, usable, np.eye(5)[stages], levels)
    assert_allclose(found[11:], expected[11:], atol=1e-3)


def test_half_an_hour_keeps_most_of_the_shape_of_its_spectrum(levels):
    """Before its stages are known, its gain is scaled, but hardly its shape."""
    signals = make_signals(np.full(HALF_AN_HOUR, 2))
    alone = scale(signals)
    found = rescale(alone, everywhere(alone), None, levels)
    shapes = [median_distances(x) for x in (signals, alone, found)]
    raw, scaled, kept = (np.ptp(shape - shape.mean()) for shape in shapes)
    assert scaled < 0.5 * raw
    assert kept > 0.7 * raw
    assert shapes[2].mean() == pytest.approx(shapes[1].mean(), abs=0.1)


def test_artefacts_have_a_bounded_effect(levels):
    """However far the mean is from the median; the input is not modified."""
    signals = scale(make_signals(np.full(HALF_AN_HOUR, 2)))
    signals[:25] *= 1e5
    before = signals.copy()
    proba = np.eye(5)[np.full(HALF_AN_HOUR, 2)]
    found = rescale(signals, everywhere(signals), proba, levels)
    shift = np.log(found[40:].var() / signals[40:].var())
    assert shift == pytest.approx(-0.75 * 3, abs=0.5)
    assert_array_equal(signals, before)


def test_levels_need_long_nights_with_every_stage(night, levels):
    """The median of some hours is not that of a night."""
    short = as_night(night.signals[:600].numpy(), STAGES[:600])
    usable = np.arange(len(STAGES)) < 600
    assert fit_levels([short]) is None
    assert fit_levels([as_night(night.signals.numpy(), STAGES, usable)]) is None
    assert fit_levels([]) is None
    without = [
        replace(night, stages=np.where(night.stages == s, -1, night.stages))
        for s in (1, 3)
    ]
    assert fit_levels(without[:1]) is None
    assert_allclose(fit_levels(without), levels, atol=1e-3)


@pytest.fixture
def stager(trained, levels):
    stager = copy.copy(trained)
    stager.levels = levels
    return stager


def test_a_stager_stages_a_short_recording_twice(stager, make_night, tmp_path):
    """Also if it was saved and loaded."""
    night = make_night(99)
    signals, proba = night.signals.numpy(), None
    for _ in range(2):
        scaled = rescale(signals, night.usable, proba, stager.levels)
        embeddings = sliding_window.encode_epochs(stager.net, scaled)
        found = sliding_window.log_posteriors(stager.net, embeddings, night.usable)
        proba = sliding_window.calibrate(found, stager.calibration_temperature)
    stager.save(tmp_path / "lab.safetensors", {})
    loaded, _ = Stager.load(tmp_path / "lab.safetensors", "cpu")
    for same in (stager, loaded):
        assert_array_equal(same.stage([night]), proba)


@pytest.mark.parametrize("name", ["robust", "spectrum"])
def test_levels_are_learnt_if_the_scaling_is_by_spectrum(
    net, night, options, levels, name
):
    stager = Stager(net, scaling=name)
    options = replace(options, finetune_train_epochs=1)
    stager.finetune([night], options)
    assert stager.levels == (levels if name == "spectrum" else None)
    stager.levels = [[1.0] * 13] * 5
    stager.finetune([night], options)
    assert stager.levels == [[1.0] * 13] * 5
