"""Recordings are prepared once, completely or not at all, and read back in parts."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import mne
import numpy as np
import pytest
import torch
from signals import make_noise, make_raw
from stagers import QUICK, is_equal, learnt

from mne_mc2sleep import MC2SleepClassifier
from mne_mc2sleep._constants import N_TIMES
from mne_mc2sleep.data import cohort_cache
from mne_mc2sleep.data.cohort_cache import open_night, prepare_cohort, write_night
from mne_mc2sleep.data.reading import read_nights

N_EPOCHS = 10
N_NIGHTS = 3
STAGES = np.array([0, 1, 2, 3, 4, 4, 3, -2, 1, 0])


@pytest.fixture(scope="session")
def source_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    for i in range(N_NIGHTS):
        raw = make_raw(make_noise(N_EPOCHS * N_TIMES, seed=i))
        raw.save(folder / f"{i}_raw.fif", verbose="error")
    return folder


@pytest.fixture
def fnames(source_folder):
    return [source_folder / f"{i}_raw.fif" for i in range(N_NIGHTS)]


@pytest.fixture
def reads(monkeypatch):
    """Count the recordings that are read; return the list of them."""
    reads, read = [], cohort_cache.read_channel

    def count(fname, *args):
        reads.append(os.path.basename(fname))
        return read(fname, *args)

    monkeypatch.setattr(cohort_cache, "read_channel", count)
    return reads


@pytest.mark.parametrize("scaling", ["none", "robust"])
def test_nights_are_those_that_are_read_into_memory(fnames, tmp_path, scaling):
    """But for 16 bits, nights in the cache are those of ``MC2SleepClassifier.fit``."""
    hypnos, groups = [STAGES] * N_NIGHTS, ["a", "b", "a"]
    expected = read_nights(fnames, hypnos, groups, None, scaling, need_stages=True)
    found = prepare_cohort(fnames, tmp_path, hypnos, groups, scaling=scaling)
    for night, other in zip(found, expected, strict=True):
        torch.testing.assert_close(night.signals[:], other.signals, atol=0.005, rtol=0)
        np.testing.assert_array_equal(night.stages, other.stages)
        np.testing.assert_array_equal(night.usable, other.usable)
        assert night.subject == other.subject


def test_training_reads_them_like_nights_in_memory(fnames, tmp_path, tiny_small):
    """Both phases, whose embeddings are on the disk meanwhile, and calibration."""
    nights = prepare_cohort(fnames, tmp_path, [STAGES] * N_NIGHTS, ["a", "b", "c"])
    in_memory = [replace(night, inputs=night.signals[:]) for night in nights]
    results = []
    for cohort in (nights, in_memory):
        clf = MC2SleepClassifier(**QUICK).fit(cohort)
        assert set(clf.stager_.provenance[-1]["subjects"]) < {"a", "b", "c"}
        results.append(learnt(clf))
    assert is_equal(*results)
    with pytest.raises(ValueError, match="scaling='none', but the stager needs 'rob"):
        MC2SleepClassifier(**QUICK, scaling="robust").fit(nights)


def test_a_second_call_with_other_subjects_reads_no_recording(fnames, tmp_path, reads):
    first = prepare_cohort(fnames, tmp_path, groups=["a", "b", ("c", 1)])
    second = prepare_cohort(fnames, tmp_path)
    assert len(reads) == N_NIGHTS
    assert [night.signals for night in first] == [night.signals for night in second]
    assert [night.subject for night in second] == [0, 1, 2]


@pytest.mark.parametrize(
    "changed",
    [
        {"picks": "C4-M1"},
        {"scaling": "robust"},
        {"hypnos": [None]},
        {"hypnos": [np.roll(STAGES, 1)]},
        {"hypnos": [mne.Annotations([0, 30], [30, 270], ["N1", "N2"])]},
    ],
    ids=str,
)
def test_another_setting_or_hypnogram_makes_another_file(
    fnames, tmp_path, reads, changed
):
    settings = {"hypnos": [STAGES], "picks": None, "scaling": "none"}
    prepare_cohort(fnames[:1], tmp_path, **settings)
    prepare_cohort(fnames[:1], tmp_path, **settings | changed)
    prepare_cohort(fnames[:1], tmp_path, **settings)
    assert len(reads) == len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("which", ["recording", "hypnogram"])
def test_a_changed_file_is_prepared_again(fnames, tmp_path, reads, which):
    """A recording or hypnogram of another size or time of change is another."""
    recording, hypno = tmp_path / "a_raw.fif", tmp_path / "a.tsv"
    recording.write_bytes(fnames[0].read_bytes())
    hypno.write_text("onset\tduration\ttrial_type\n0\t60\tN2\n60\t240\tN1\n")
    for time in (1, 1, 2):
        os.utime(recording if which == "recording" else hypno, (time, time))
        nights = prepare_cohort([recording], tmp_path / "cache", [hypno])
    assert len(reads) == 2
    np.testing.assert_array_equal(nights[0].stages, [2, 2, *[1] * 8])


KILLED = """
import os, sys
from mne_mc2sleep.data.cohort_cache import prepare_cohort
calls = []
def kill(_):
    calls.append(1)
    if len(calls) == 2:
        os.kill(os.getpid(), 9)
os.fsync = kill
prepare_cohort(sys.argv[2:], sys.argv[1])
"""


def test_after_kill_9_the_next_call_prepares_what_is_missing(fnames, tmp_path, reads):
    command = [sys.executable, "-W", "ignore", "-c", KILLED, tmp_path, *fnames]
    # -9: killed, not failed before.
    assert subprocess.run(command, check=False).returncode == -9
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    assert len(prepare_cohort(fnames, tmp_path)) == N_NIGHTS
    assert reads == ["1_raw.fif", "2_raw.fif"]


def test_jobs_that_prepare_the_same_night_do_no_harm(fnames, tmp_path):
    nights = prepare_cohort(fnames * 4, tmp_path, n_jobs=2)
    again = prepare_cohort(fnames * 4, tmp_path)
    assert [n.signals for n in nights] == [n.signals for n in again]
    assert len(list(tmp_path.iterdir())) == N_NIGHTS


@pytest.mark.parametrize("n_bytes", [0, 100, -1])
def test_a_truncated_night_is_prepared_again(
    fnames, tmp_path, reads, training_log, n_bytes
):
    signals = prepare_cohort(fnames, tmp_path)[1].signals
    before = signals[:]
    signals.fname.write_bytes(signals.fname.read_bytes()[:n_bytes])
    prepare_cohort(fnames, tmp_path)
    assert "is damaged" in training_log.text
    assert reads[N_NIGHTS:] == ["1_raw.fif"]
    assert torch.equal(signals[:], before)


def test_a_full_disk_is_an_error_that_keeps_earlier_nights(
    fnames, tmp_path, monkeypatch
):
    outcomes = [None, OSError(28, "No space left on device")]
    monkeypatch.setattr(os, "fsync", Mock(side_effect=outcomes))
    with pytest.raises(OSError, match=r"Recording 2 of 3 .* No space left"):
        prepare_cohort(fnames, tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


def test_recordings_that_cannot_be_prepared_are_left_out(fnames, tmp_path):
    """They are named with the reason; the others keep their subjects."""
    malformed = tmp_path / "malformed.edf"
    malformed.write_bytes(b"0" * 300)
    recordings = [fnames[0], tmp_path / "missing.edf", malformed, fnames[1]]
    pattern = r"(?s)^2 of 4 .*missing\.edf: .*There is no file .*malformed\.edf: "
    with pytest.warns(RuntimeWarning, match=pattern):
        nights = prepare_cohort(recordings, tmp_path / "cache")
    assert [night.subject for night in nights] == [0, 3]


@pytest.mark.parametrize(
    ("recording", "hypno", "message"),
    [
        ("missing.edf", None, "There is no file"),
        (make_raw(make_noise(6000)), None, "prepared from files, got .*RawArray"),
        ("0_raw.fif", "missing.csv", r"There is no file .*missing\.csv"),
        ("0_raw.fif", [9], "0_raw.fif: "),
        ("0_raw.fif", object(), "A hypnogram must be"),
    ],
)
def test_a_cohort_of_nothing_is_an_error(
    source_folder, tmp_path, recording, hypno, message
):
    if isinstance(recording, str):
        recording = source_folder / recording
    with pytest.raises(ValueError, match=rf"(?s)1 of 1 recordings .*{message}"):
        prepare_cohort([recording], tmp_path, [hypno])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scaling": "standard"}, "'scaling' must be one of .* got 'standard'"),
        ({"hypnos": [STAGES]}, "3 recordings but 1 hypnograms"),
        ({"groups": [1, 2]}, "3 recordings but 2 groups"),
        ({"groups": ["a", None, "b"]}, "'groups' has missing values"),
    ],
)
def test_wrong_arguments_are_an_error_before_the_work(
    fnames, tmp_path, settings, message
):
    with pytest.raises(ValueError, match=message):
        prepare_cohort(fnames, tmp_path, **settings)
    assert not list(tmp_path.iterdir())


LABELS = np.arange(12, dtype=np.int8) % 6 - 1
USABLE = np.arange(12) != 4


def make_signals():
    """Return noise with an artefact in epoch 3 and nothing in epoch 4."""
    signals = np.random.default_rng(0).normal(0, 30, (12, N_TIMES))
    signals[3, 100] = 1e5
    signals[4] = 0
    return signals.astype(np.float32)


@pytest.fixture
def fname(tmp_path):
    """Write a night; return its file."""
    write_night(tmp_path / "night", make_signals(), LABELS, USABLE)
    return tmp_path / "night"


@pytest.mark.parametrize("amplitude", [1e-12, 1.0, 1e12])
def test_a_sample_is_off_by_half_a_level_of_its_epoch(tmp_path, amplitude):
    """An artefact costs its own epoch precision only, regardless of the unit."""
    signals = make_signals() * np.float32(amplitude)
    write_night(tmp_path / "night", signals, LABELS, USABLE)
    night = open_night(tmp_path / "night", subject=7)
    peaks = np.abs(signals).max(axis=1)
    # A little more than a half for the rounding of single precision.
    errors = np.abs(night.signals[:].numpy() - signals).max(axis=1)
    assert (errors <= 0.51 * peaks / 32767).all()
    np.testing.assert_array_equal(night.stages, LABELS)
    np.testing.assert_array_equal(night.usable, USABLE)
    assert night.subject == 7


@pytest.mark.parametrize("part", [slice(2, 5), slice(10, 99), slice(None)], ids=str)
def test_parts_are_read_of_nights_and_of_cropped_nights(fname, part):
    signals = open_night(fname, 7).signals
    whole = signals[:]
    assert signals.shape == whole.shape == (12, N_TIMES)
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


@pytest.mark.parametrize("harm", [Path.unlink, lambda fname: os.truncate(fname, 9000)])
def test_a_file_that_is_damaged_later_is_an_error(fname, harm):
    signals = open_night(fname, 7).signals
    harm(fname)
    with pytest.raises(ValueError, match=r"missing or damaged: .* Call prepare_cohort"):
        signals[:2]
