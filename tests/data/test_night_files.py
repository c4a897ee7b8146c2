"""Nights on the disk: precise, read in parts, refused if damaged."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from mne_mc2sleep._constants import N_TIMES
from mne_mc2sleep.data.cohort_cache import open_night, write_night

N_EPOCHS = 12
STAGES = np.arange(N_EPOCHS, dtype=np.int8) % 6 - 1
USABLE = np.arange(N_EPOCHS) != 4


def make_signals():
    """Return noise with an artefact in epoch 3 and nothing in epoch 4."""
    signals = np.random.default_rng(0).normal(0, 30, (N_EPOCHS, N_TIMES))
    signals[3, 100] = 1e5
    signals[4] = 0
    return signals.astype(np.float32)


@pytest.fixture
def fname(tmp_path):
    """Write a night; return its file."""
    write_night(tmp_path / "night", make_signals(), STAGES, USABLE)
    return tmp_path / "night"


@pytest.mark.parametrize("amplitude", [1e-12, 1.0, 1e12])
def test_a_sample_is_off_by_half_a_level_of_its_epoch(tmp_path, amplitude):
    """An artefact costs its own epoch precision only, regardless of the unit."""
    signals = make_signals() * np.float32(amplitude)
    write_night(tmp_path / "night", signals, STAGES, USABLE)
    night = open_night(tmp_path / "night", subject=7)
    peaks = np.abs(signals).max(axis=1)
    # A little more than a half for the rounding of single precision.
    errors = np.abs(night.signals[:].numpy() - signals).max(axis=1)
    assert (errors <= 0.51 * peaks / 32767).all()
    np.testing.assert_array_equal(night.stages, STAGES)
    np.testing.assert_array_equal(night.usable, USABLE)
    assert night.subject == 7


@pytest.mark.parametrize("part", [slice(2, 5), slice(10, 99), slice(None)], ids=str)
def test_parts_are_read_of_nights_and_of_cropped_nights(fname, part):
    signals = open_night(fname, 7).signals
    whole = signals[:]
    assert signals.shape == whole.shape == (N_EPOCHS, N_TIMES)
    assert whole.dtype == torch.float32
    assert torch.equal(signals[part], whole[part])
    cropped = signals.crop(2, 11)
    assert cropped.shape == (9, N_TIMES)
    assert torch.equal(cropped[part], whole[2:11][part])


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")
def test_no_file_stays_open(fname):
    """There may be thousands of nights; what was read outlives the file."""
    n_before = len(os.listdir("/proc/self/fd"))
    parts = [open_night(fname, i).signals[:2] for i in range(5)]
    assert len(os.listdir("/proc/self/fd")) == n_before
    before = parts[0].clone()
    fname.unlink()
    assert torch.equal(parts[0], before)


@pytest.mark.parametrize("n_bytes", [0, 100, -1])
def test_a_truncated_file_is_not_opened(fname, training_log, n_bytes):
    fname.write_bytes(fname.read_bytes()[:n_bytes])
    assert open_night(fname, 7) is None
    assert "night is damaged" in training_log.text


@pytest.mark.parametrize("harm", [Path.unlink, lambda fname: os.truncate(fname, 9000)])
def test_a_file_that_is_damaged_later_is_an_error(fname, harm):
    signals = open_night(fname, 7).signals
    harm(fname)
    with pytest.raises(ValueError, match=r"missing or damaged: .* Call prepare_cohort"):
        signals[:2]
