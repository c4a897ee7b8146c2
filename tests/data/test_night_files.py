"""Nights on the disk: precise, read in parts, checked as far as they are read."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from mne_mc2sleep._constants import N_TIMES
from mne_mc2sleep.data.night_files import StoredEmbeddings, open_night, write_night

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
    write_night(tmp_path / "night", "source", make_signals(), STAGES, USABLE)
    return tmp_path / "night"


def read(fname, source="source", verify=False):
    """Open a night of subject 7."""
    return open_night(fname, source, 7, verify)


def flip(fname, content):
    """Flip a bit of the first place of ``content`` in a file."""
    whole = bytearray(fname.read_bytes())
    whole[whole.index(content)] ^= 1
    fname.write_bytes(whole)


@pytest.mark.parametrize("amplitude", [1e-12, 1.0, 1e12])
def test_a_sample_is_off_by_half_a_level_of_its_epoch(tmp_path, amplitude):
    """An artefact costs its own epoch precision only, regardless of the unit."""
    signals = make_signals() * np.float32(amplitude)
    write_night(tmp_path / "night", "source", signals, STAGES, USABLE)
    night = read(tmp_path / "night")
    peaks = np.abs(signals).max(axis=1)
    # A little more than a half for the rounding of single precision.
    errors = np.abs(night.signals[:].numpy() - signals).max(axis=1)
    assert (errors <= 0.51 * peaks / 32767).all()
    np.testing.assert_array_equal(night.stages, STAGES)
    np.testing.assert_array_equal(night.usable, USABLE)
    assert night.subject == 7


@pytest.mark.parametrize(
    "part",
    [slice(2, 5), slice(10, 99), slice(None), np.array([7, 0, 7]), np.array([], int)],
    ids=str,
)
def test_signals_are_indexed_like_a_tensor(fname, part):
    """A slice or an index array, of the whole night or of a part of it."""
    signals = read(fname).signals
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
    nights = [read(fname) for _ in range(5)]
    parts = [night.signals[:2] for night in nights]
    assert len(os.listdir("/proc/self/fd")) == n_before
    before = parts[0].clone()
    fname.unlink()
    assert torch.equal(parts[0], before)


@pytest.mark.parametrize("n_bytes", [0, 100, -1])
def test_a_truncated_file_is_damaged(fname, training_log, n_bytes):
    """It is found when it is opened, as is a file of another source."""
    assert read(fname, "another source") is None
    fname.write_bytes(fname.read_bytes()[:n_bytes])
    assert read(fname) is None
    assert "night is damaged" in training_log.text


@pytest.mark.parametrize(
    "content", [STAGES.tobytes(), USABLE.tobytes(), b"source"], ids=str
)
def test_damage_outside_the_signals_is_found_when_opened(fname, content):
    """Stages, usable epochs and header are checked at once."""
    flip(fname, content)
    assert read(fname) is None


@pytest.mark.parametrize("part", ["scales", "levels"])
def test_a_damaged_epoch_is_found_when_it_is_read(fname, part):
    """It is an error, the others are read; ``verify`` reads all."""
    assert read(fname, verify=True) is not None
    scale = np.abs(make_signals()[5]).max() / np.float32(32767)
    levels = np.rint(make_signals()[5] / scale).astype(np.int16)
    flip(fname, {"scales": scale, "levels": levels[:20]}[part].tobytes())
    signals = read(fname).signals
    assert len(signals[6:]) == N_EPOCHS - 6
    with pytest.raises(ValueError, match="damaged: an epoch does not match"):
        signals[np.array([2, 5])]
    assert read(fname, verify=True) is None


@pytest.mark.parametrize("harm", [Path.unlink, lambda fname: os.truncate(fname, 9000)])
def test_a_file_that_is_damaged_later_is_an_error(fname, harm):
    """The message names the file and the remedy."""
    signals = read(fname).signals
    harm(fname)
    with pytest.raises(ValueError, match=r"missing or damaged: .* Call prepare_cohort"):
        signals[:2]


def test_embeddings_are_read_back(tmp_path):
    """Those of several nights lie in one file."""
    nights = torch.randn(2, 9, 2, 4)
    first, second = (StoredEmbeddings.store(tmp_path / "e", e) for e in nights)
    assert torch.equal(first[:], nights[0])
    assert torch.equal(second[2:5], nights[1, 2:5])
    assert second.shape == (9, 2, 4)
