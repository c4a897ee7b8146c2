"""Tests of the simulated recordings and nights."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mne_mc2sleep._constants import N_TIMES
from mne_mc2sleep.simulation import make_raw, nights, simulate_night

ROOT = Path(__file__).parents[2]
NIGHTS = ROOT.parent / "shared" / "data" / "sleep_edf" / "band_power_nights.npz"


def test_stages_shape_a_night_through_its_powers_alone(monkeypatch):
    """Other stages with equal powers give the equal night."""
    powers = np.full((20, 2, 5), 1.0), np.full((20, 2), 4.0)
    monkeypatch.setattr(nights, "_simulate_powers", lambda stages, rng: powers)
    draw = nights.resynthesize
    monkeypatch.setattr(
        nights,
        "resynthesize",
        lambda *args, random_state: draw(*args, random_state=0),
    )
    (first, stages), (second, others) = (
        simulate_night(600, random_state=seed) for seed in (0, 1)
    )
    assert stages.as_int().tolist() != others.as_int().tolist()
    assert_array_equal(first.get_data(), second.get_data())


def test_make_raw_turns_microvolts_into_volts():
    """A signal in µV comes back in µV, from an EEG channel in volts."""
    signals = np.arange(200.0).reshape(2, 100)
    raw = make_raw(signals, ["Fpz", "Cz"])
    assert raw.get_channel_types() == ["eeg", "eeg"]
    assert_allclose(raw.get_data(units="uV"), signals)
    assert_allclose(raw.get_data(), signals * 1e-6)


def test_make_raw_keeps_rate_and_date():
    """The recording has the given sampling frequency and start."""
    meas_date = datetime(2020, 2, 3, 4, 5, tzinfo=UTC)
    raw = make_raw(np.zeros((1, 100)), ["Cz"], sfreq=128, meas_date=meas_date)
    assert (raw.info["sfreq"], raw.info["meas_date"]) == (128, meas_date)


def test_night_agrees_with_its_hypnogram():
    """A simulated night has its channels, length, start, scorer and stages."""
    raw, hypno = simulate_night(1800, random_state=0)
    assert raw.ch_names == ["EEG Fpz-Cz", "EEG Pz-Oz"]
    assert (raw.n_times, raw.info["sfreq"]) == (180_000, 100)
    assert (hypno.n_epochs, hypno.scorer) == (60, "Simulation")
    assert hypno.start == raw.info["meas_date"] == datetime(2000, 1, 1, 22, tzinfo=UTC)


def test_night_without_a_date():
    """An anonymous night has neither start."""
    raw, hypno = simulate_night(60, meas_date=None)
    assert raw.info["meas_date"] is None
    assert hypno.start is None


def test_nights_are_reproducible():
    """The same seed gives the same night, another seed another."""
    (first, stages), (again, same), (other, _) = (
        simulate_night(3600, random_state=seed) for seed in (3, 3, 4)
    )
    assert_array_equal(first.get_data(), again.get_data())
    assert_array_equal(stages.as_int(), same.as_int())
    assert not np.allclose(first.get_data(), other.get_data())


def test_tail_is_recorded_but_not_scored():
    """What exceeds a multiple of 30 s is in the recording alone."""
    raw, hypno = simulate_night(100.5, random_state=0)
    assert (raw.n_times, hypno.n_epochs) == (10_050, 3)


@pytest.mark.parametrize("sfreq", [50, 256, 512.5])
def test_night_at_another_sampling_frequency(sfreq):
    """The recording has the rate, the length and about the amplitude."""
    raw, _ = simulate_night(300, sfreq=sfreq, random_state=0)
    reference, _ = simulate_night(300, random_state=0)
    assert (raw.info["sfreq"], raw.n_times) == (sfreq, round(300 * sfreq))
    ratio = raw.get_data().std(axis=1) / reference.get_data().std(axis=1)
    # At 50 Hz the muscle of wakefulness, above 25 Hz, is lost.
    assert_allclose(ratio, 1, atol=0.2 if sfreq == 50 else 0.05)


@pytest.mark.parametrize("ch_names", ["EEG Cz", ["EEG Cz"]])
def test_night_of_one_channel(ch_names):
    """One name gives one channel."""
    raw, _ = simulate_night(60, ch_names=ch_names)
    assert raw.ch_names == ["EEG Cz"]


@pytest.mark.parametrize("ch_names", [(), ("A", "B", "C")])
def test_error_of_channels_that_cannot_be_simulated(ch_names):
    """No name or more than two are refused."""
    with pytest.raises(ValueError, match="one or two channels"):
        simulate_night(60, ch_names=ch_names)


def test_error_of_a_night_under_one_epoch():
    """Under 30 s there is nothing to score."""
    with pytest.raises(ValueError, match=r"at least one epoch of 30 s.* is 29 s"):
        simulate_night(29)


@pytest.mark.parametrize("seed", range(4))
def test_amplitudes_are_plausible(seed):
    """The median epoch's standard deviation is as in real nights."""
    raw, _ = simulate_night(4 * 3600, random_state=seed)
    epochs = raw.get_data(picks=[0], units="uV").reshape(-1, N_TIMES)
    stds = epochs.std(axis=1)
    assert 5 < np.median(stds) < 100
    assert stds.max() < 500


def test_stages_can_be_told_from_the_powers():
    """In N3 a night has more delta than in REM, by far."""
    stages = np.repeat([3, 4], 200)
    bands, _ = nights._simulate_powers(stages, np.random.default_rng(0))
    delta = bands[:, 0, 0]
    assert delta[:200].mean() > delta[200:].mean() + 1


def test_powers_have_the_moments_of_their_stage():
    """Over many subjects, means and deviations are the constants."""
    stages, constants = np.repeat(2, 50), nights.constants
    rng = np.random.default_rng(0)
    drawn = [nights._simulate_powers(stages, rng) for _ in range(400)]
    features = np.array([np.dstack(night).reshape(50, -1) for night in drawn])
    stds = np.hypot(constants.STAGE_STDS[2], constants.SUBJECT_STDS)
    assert_allclose(features.mean(axis=(0, 1)), constants.STAGE_MEANS[2], atol=0.2)
    assert_allclose(features.std(axis=(0, 1)), stds, rtol=0.15)


def test_powers_of_neighbours_are_alike():
    """Within a stage, successive deviations correlate as in the data."""
    stages = np.repeat(2, 4000)
    bands, _ = nights._simulate_powers(stages, np.random.default_rng(0))
    correlation = np.corrcoef(bands[:-1, 0, 0], bands[1:, 0, 0])[0, 1]
    assert_allclose(correlation, nights.constants.AUTOCORRELATION, atol=0.05)


def test_constants_are_those_of_the_data():
    """The script that made the constants makes them again."""
    if not NIGHTS.exists():
        pytest.skip(f"{NIGHTS} is missing")
    script = ROOT / "training_scripts" / "fit_simulation_constants.py"
    output = subprocess.run(
        [sys.executable, script, NIGHTS], check=True, capture_output=True
    ).stdout.decode()
    made = {}
    exec(output, made)
    for name in ("STAGE_MEANS", "STAGE_STDS", "STAGE_CORRELATIONS", "SUBJECT_STDS"):
        assert_allclose(made[name], getattr(nights.constants, name), atol=0.011)
