"""Tests of how short recordings are scaled anew by the stages found in them."""

from __future__ import annotations

import copy
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.signal import butter, sosfilt

from mne_mc2sleep._constants import N_TIMES, SFREQ
from mne_mc2sleep.data.nights import Night
from mne_mc2sleep.inference.sliding_window import (
    calibrate,
    encode_epochs,
    log_posteriors,
)
from mne_mc2sleep.preprocessing.scaling import (
    band_distances,
    median_distances,
    scale_signals,
)
from mne_mc2sleep.preprocessing.short_recordings import (
    check_levels,
    fit_levels,
    scale_anew,
    temperature_factor,
)
from mne_mc2sleep.stager import Stager

N_EPOCHS = 800
HALF_AN_HOUR = 60
# The amplitudes of N3 and of wake are far from that of the rest of the night.
GAINS = np.array([0.5, 1.0, 1.0, 3.0, 0.9])
STAGES = np.repeat([0, 1, 2, 3, 4], [160, 60, 280, 160, 140])


def make_signals(stages=STAGES, seed=0):
    """Make noise that falls with frequency, louder or softer by stage, in µV."""
    rng = np.random.default_rng(seed)
    sos = butter(1, 2, fs=SFREQ, output="sos")
    noise = sosfilt(sos, rng.standard_normal((len(stages), N_TIMES)))
    return (60 * GAINS[stages][:, None] * noise).astype(np.float32)


def scale(signals):
    """Scale epochs that are all usable."""
    return scale_signals(signals, everywhere(signals), "spectrum")


def everywhere(signals):
    """Return that all epochs are usable."""
    return np.ones(len(signals), dtype=bool)


def as_night(signals, stages=STAGES, usable=None):
    """Make a night of scaled signals."""
    usable = everywhere(signals) if usable is None else usable
    return Night(torch.from_numpy(signals), stages.astype(np.int8), usable, "subject")


@pytest.fixture(scope="module")
def night():
    """Return a scaled night of 800 epochs."""
    return as_night(scale(make_signals()))


@pytest.fixture(scope="module")
def levels(night):
    """Return what is learnt from the night."""
    return fit_levels([night])


def test_levels_are_how_far_a_stage_lies_from_the_night(levels):
    """Where half of the night has a gain of 1, another gain is its log power."""
    expected = 2 * np.log(GAINS)[:, None].repeat(13, axis=1)
    assert_allclose(levels, expected, atol=0.3)
    assert check_levels(levels)


@pytest.mark.parametrize("stage", range(5))
def test_a_cut_of_one_stage_is_scaled_as_its_night(night, levels, stage):
    """By its own median, N3 would be brought down and wake up."""
    start = np.flatnonzero(STAGES == stage)[0]
    cut = slice(start, start + HALF_AN_HOUR)
    in_night = band_distances(night.inputs[cut].numpy()).mean(axis=0)
    alone = scale(make_signals()[cut])
    proba = np.eye(5)[STAGES[cut]]
    anew = scale_anew(alone, everywhere(alone), proba, levels)
    assert_allclose(band_distances(anew).mean(axis=0), in_night, atol=0.3)
    if GAINS[stage] in (0.5, 3.0):
        off = band_distances(alone).mean(axis=0) - in_night
        assert np.abs(off).min() > 0.5


def test_whole_nights_are_not_scaled_anew(levels):
    """From six hours on, the median is that of a night."""
    signals = make_signals(np.full(720, 3))
    assert (
        scale_anew(signals, everywhere(signals), np.eye(5)[[3] * 720], levels) is None
    )


def test_the_longer_the_less(levels):
    """Between two and six hours, the filter comes about in part."""
    shifts = []
    for n_epochs in (240, 480, 700):
        signals = scale(make_signals(np.full(n_epochs, 3)))
        proba = np.eye(5)[[3] * n_epochs]
        anew = scale_anew(signals, everywhere(signals), proba, levels)
        shifts.append(np.mean(median_distances(anew) - median_distances(signals)))
    assert_allclose(np.array(shifts[1:]) / shifts[0], [0.5, 20 / 480], atol=0.03)


def test_unusable_epochs_do_not_count(levels):
    """What they hold changes no other epoch but at its edge."""
    stages = np.full(HALF_AN_HOUR, 3)
    signals = scale(make_signals(stages))
    usable = everywhere(signals)
    usable[:10] = False
    proba = np.eye(5)[stages]
    expected = scale_anew(signals, usable, proba, levels)
    changed, proba[:10] = signals.copy(), np.eye(5)[0]
    changed[:10] *= 50
    found = scale_anew(changed, usable, proba, levels)
    assert_allclose(found[11:], expected[11:], atol=1e-3)


def test_artefacts_do_not_drive_the_filter_far(levels):
    """However far the mean is from the median, no band changes by more than so much."""
    signals = scale(make_signals(np.full(HALF_AN_HOUR, 2)))
    signals[:25] *= 1e5
    proba = np.eye(5)[np.full(HALF_AN_HOUR, 2)]
    anew = scale_anew(signals, everywhere(signals), proba, levels)
    shift = np.log(anew[40:].var() / signals[40:].var())
    assert shift == pytest.approx(-0.75 * 3, abs=0.1)


def test_the_signals_passed_are_not_changed(levels):
    """The filter makes new ones."""
    signals = scale(make_signals(np.full(HALF_AN_HOUR, 3)))
    before = signals.copy()
    scale_anew(signals, everywhere(signals), np.eye(5)[[3] * HALF_AN_HOUR], levels)
    assert_array_equal(signals, before)


def test_short_nights_teach_no_levels(night):
    """The median of some hours is not that of a night; nor are unusable epochs one."""
    short = as_night(night.inputs[:600].numpy(), STAGES[:600])
    usable = np.arange(N_EPOCHS) < 600
    assert fit_levels([short]) is None
    assert fit_levels([as_night(night.inputs.numpy(), STAGES, usable)]) is None
    assert fit_levels([]) is None


def test_a_stage_that_no_night_has_teaches_no_levels(night, levels):
    """But the nights together may have them all."""
    without = [
        replace(night, stages=np.where(night.stages == s, -1, night.stages))
        for s in (1, 3)
    ]
    assert fit_levels(without[:1]) is None
    assert_allclose(fit_levels(without), levels, atol=1e-3)


@pytest.mark.parametrize(
    "value",
    [
        [],
        "levels",
        3,
        {},
        [[0.0] * 13] * 4,
        [[0.0] * 12] * 5,
        [[float("nan")] * 13] * 5,
    ],
)
def test_unsound_levels_are_told(value):
    """Whatever a file may hold in their place."""
    assert not check_levels(value)


def test_it_needs_no_mne():
    """Weights are trained where only torch, NumPy, SciPy and scikit-learn are."""
    code = (
        "import sys; sys.modules['mne'] = None; "
        "import mne_mc2sleep.preprocessing.short_recordings"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def stager(trained, levels):
    """Return a trained stager that knows levels."""
    stager = copy.copy(trained)
    stager.levels = levels
    return stager


def test_a_stager_stages_a_short_recording_twice_more(stager, make_night):
    """Each time by what the time before has found."""
    night = make_night(99)
    signals = anew = night.inputs.numpy()
    for _ in range(3):
        found = log_posteriors(
            stager.net, encode_epochs(stager.net, anew), night.usable
        )
        proba = calibrate(found, stager.calibration_temperature)
        anew = scale_anew(signals, night.usable, proba, stager.levels)
    expected = calibrate(found, stager.calibration_temperature * temperature_factor(48))
    assert_array_equal(stager.probabilities([signals], [night.usable]), expected)


def test_the_shorter_a_recording_the_more_it_is_doubted():
    """A night is not, nor is one epoch more than a few; half an hour by a sixth."""
    factors = [temperature_factor(n) for n in (1, 15, 60, 240, 720, 2880)]
    assert_allclose(factors, [1.65, 1.65, 1.15, 1.03, 1, 1], atol=0.005)


def test_doubt_counts_the_epochs_that_any_channel_has(stager, make_night):
    """Stages are the same, the highest probabilities lower."""
    night = make_night(99)
    signals, usable = night.inputs.numpy(), np.arange(48) < 24
    both = stager.probabilities([signals, signals], [usable, ~usable])
    fused = np.where(
        usable[:, None],
        stager._posteriors(signals, usable),
        stager._posteriors(signals, ~usable),
    )
    expected = calibrate(fused, stager.calibration_temperature * temperature_factor(48))
    assert_allclose(both, expected, atol=1e-9)


def test_without_levels_nothing_is_scaled_anew(trained, make_night):
    """So it is with weights that were saved before levels were stored."""
    night = make_night(99)
    assert trained.levels is None
    embeddings = encode_epochs(trained.net, night.inputs)
    proba = calibrate(
        log_posteriors(trained.net, embeddings, night.usable),
        trained.calibration_temperature,
    )
    found = trained.probabilities([night.inputs.numpy()], [night.usable])
    assert_array_equal(found, proba)


@pytest.mark.parametrize("scaling", [None, "robust", "spectrum"])
def test_levels_are_learnt_where_the_scaling_is_by_spectrum(
    net, night, options, levels, scaling
):
    """In the first fine-tuning; they stay in the next one."""
    stager = Stager(net)
    options = replace(options, finetune_train_epochs=1, scaling=scaling)
    stager.finetune([night], options)
    assert stager.levels == (levels if scaling == "spectrum" else None)
    stager.levels = [[1.0] * 13] * 5
    stager.finetune([night], options)
    assert stager.levels == [[1.0] * 13] * 5


def test_levels_are_kept_in_files(stager, tmp_path):
    """From saving to loading, the same figures."""
    stager.save(tmp_path / "lab.safetensors", {})
    loaded, _ = Stager.load(tmp_path / "lab.safetensors", "cpu")
    assert loaded.levels == stager.levels


def test_weights_with_unsound_levels_are_refused(stager, tmp_path):
    """One sentence with the file's name."""
    stager.levels = [[1.0]]
    stager.save(tmp_path / "lab.safetensors", {})
    with pytest.raises(ValueError, match=r"metadata 'levels' in .*lab.safetensors"):
        Stager.load(tmp_path / "lab.safetensors", "cpu")
