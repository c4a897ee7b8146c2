"""Files of prepared nights: precise, read in parts, checked as far as they are read."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from mne_mc2sleep._constants import N_TIMES
from mne_mc2sleep.data.night_files import open_night, write_night

N_EPOCHS = 12
RECORD = 4 + 4 + 2 * N_TIMES  # bytes of an epoch: checksum, scale, signal


def make_signals(seed=0):
    """Return noise with an artefact in epoch 3 and nothing in epoch 4."""
    signals = np.random.default_rng(seed).normal(0, 30, (N_EPOCHS, N_TIMES))
    signals[3, 100] = 1e5
    signals[4] = 0
    return signals.astype(np.float32)


@pytest.fixture
def fname(tmp_path):
    """Write a night; return its file."""
    stages = np.arange(N_EPOCHS, dtype=np.int8) % 6 - 1
    usable = np.arange(N_EPOCHS) != 4
    write_night(tmp_path / "night", "source", make_signals(), stages, usable)
    return tmp_path / "night"


def flip(fname, position):
    """Flip a bit of the byte at ``position``, counted from the end if negative."""
    content = bytearray(fname.read_bytes())
    content[position] ^= 1
    fname.write_bytes(content)


def test_what_was_written_is_read(fname):
    """Stages and usable come back as they were."""
    night = open_night(fname, "source")
    np.testing.assert_array_equal(night.stages, np.arange(N_EPOCHS) % 6 - 1)
    np.testing.assert_array_equal(night.usable, np.arange(N_EPOCHS) != 4)


@pytest.mark.parametrize("amplitude", [1e-12, 1.0, 1e12])
def test_a_sample_is_off_by_half_a_level_of_its_epoch(tmp_path, amplitude):
    """An artefact costs its own epoch precision only, whatever the unit."""
    signals = make_signals() * np.float32(amplitude)
    ones = np.ones(N_EPOCHS, dtype=np.int8)
    write_night(tmp_path / "night", "source", signals, ones, ones == 1)
    found = open_night(tmp_path / "night", "source").signals[:].numpy()
    peaks = np.abs(signals).max(axis=1)
    # A little more than a half for the rounding of single precision.
    assert (np.abs(found - signals).max(axis=1) <= 0.51 * peaks / 32767).all()


@pytest.mark.parametrize(
    "part",
    [slice(2, 5), slice(10, 99), slice(None), np.array([7, 0, 7]), np.array([], int)],
    ids=str,
)
def test_signals_are_indexed_like_a_tensor(fname, part):
    """A slice or an index array gives what it gives of the whole night in memory."""
    signals = open_night(fname, "source").signals
    whole = signals[:]
    assert signals.shape == whole.shape == (N_EPOCHS, N_TIMES)
    assert signals.dtype == whole.dtype == torch.float32
    assert len(signals) == N_EPOCHS
    assert torch.equal(signals[part], whole[part])


def test_an_epoch_takes_6010_bytes(fname):
    """Beyond its header, a night takes 6,010 bytes per epoch."""
    content = fname.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    assert len(content) == header + N_EPOCHS * 6010


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")
def test_no_file_stays_open(fname):
    """Nights that were read hold no file: there may be thousands of them."""
    n_before = len(os.listdir("/proc/self/fd"))
    nights = [open_night(fname, "source") for _ in range(5)]
    parts = [night.signals[:2] for night in nights]
    assert len(os.listdir("/proc/self/fd")) == n_before
    assert len(parts) == 5


def test_what_is_read_outlives_the_file(fname):
    """What was read is in memory of its own."""
    part = open_night(fname, "source").signals[:2]
    before = part.clone()
    fname.unlink()
    assert torch.equal(part, before)


def test_a_night_of_another_source_is_none(fname):
    """A file that was made from something else is not taken."""
    assert open_night(fname, "another source") is None


def test_a_missing_night_is_none(tmp_path):
    """There is nothing to open."""
    assert open_night(tmp_path / "night", "source") is None


@pytest.mark.parametrize("n_bytes", [0, 5, 100, -1])
def test_a_file_cut_short_is_damaged(fname, training_log, n_bytes):
    """A file that is too short is told as damaged when it is opened."""
    fname.write_bytes(fname.read_bytes()[:n_bytes])
    assert open_night(fname, "source") is None
    assert "night is damaged" in training_log.text


@pytest.mark.parametrize("tensor", ["stages", "usable", "header"])
def test_damage_outside_the_signals_is_found_when_opened(fname, tensor):
    """Stages, usable and header are checked at once."""
    content = fname.read_bytes()
    night = open_night(fname, "source")
    place = {
        "stages": content.index(night.stages.tobytes()),
        "usable": content.index(night.usable.tobytes()),
        "header": content.index(b"source"),
    }[tensor]
    flip(fname, place)
    assert open_night(fname, "source") is None


@pytest.mark.parametrize("byte", [0, 4, 8, RECORD - 1])
def test_a_damaged_epoch_is_found_when_it_is_read(fname, byte):
    """Checksum, scale or signal: the epoch is an error, the others are read."""
    signals = open_night(fname, "source").signals
    flip(fname, signals.offset + 5 * RECORD + byte)
    assert len(open_night(fname, "source").signals[6:]) == N_EPOCHS - 6
    with pytest.raises(ValueError, match="damaged: an epoch does not match"):
        signals[np.array([2, 5])]


def test_verify_finds_a_damaged_epoch(fname):
    """With verify, opening reads and checks all epochs."""
    offset = open_night(fname, "source", verify=True).signals.offset
    flip(fname, offset + 5 * RECORD + 8)
    assert open_night(fname, "source", verify=True) is None


@pytest.mark.parametrize("harm", [Path.unlink, lambda fname: os.truncate(fname, 9000)])
def test_a_file_that_is_gone_or_cut_short_later_is_an_error(fname, harm):
    """What happens to the file between two reads is told, with what to do."""
    signals = open_night(fname, "source").signals
    harm(fname)
    with pytest.raises(ValueError, match=r"gone or damaged: .* Call prepare_cohort"):
        signals[:2]


def test_a_night_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    """On a full disk there is one clear error and no file."""

    def fill(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fill)
    stages = np.zeros(N_EPOCHS, np.int8)
    with pytest.raises(OSError, match=r"0\.1 MB cannot .* No space left .* make room"):
        write_night(tmp_path / "night", "", make_signals(), stages, stages == 0)
    assert not list(tmp_path.iterdir())


def test_a_cropped_night_is_a_part_of_the_whole(fname):
    """Cropping gives what slicing the whole night in memory gives."""
    signals = open_night(fname, "source").signals
    cropped = signals.crop(3, 7)
    assert cropped.shape == (4, N_TIMES)
    assert torch.equal(cropped[1:], signals[:][4:7])
