"""Tests of simulated nights."""

from datetime import UTC, datetime

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mne_mc2sleep import simulate_night
from mne_mc2sleep._constants import N_TIMES


def test_night_agrees_with_its_hypnogram():
    raw, hypno = simulate_night(1800, random_state=0)
    assert raw.ch_names == ["EEG Fpz-Cz", "EEG Pz-Oz"]
    assert (raw.n_times, raw.info["sfreq"]) == (180_000, 100)
    assert (hypno.n_epochs, hypno.scorer) == (60, "Simulation")
    assert hypno.start == raw.info["meas_date"] == datetime(2000, 1, 1, 22, tzinfo=UTC)
    raw, hypno = simulate_night(60, meas_date=None)
    assert (raw.info["meas_date"], hypno.start) == (None, None)


@pytest.mark.parametrize(
    "make_state", [int, np.random.default_rng, np.random.RandomState]
)
def test_nights_are_reproducible(make_state):
    (first, stages), (again, same), (other, _) = (
        simulate_night(600, random_state=make_state(seed)) for seed in (3, 3, 4)
    )
    assert_array_equal(first.get_data(), again.get_data())
    assert_array_equal(stages.as_int(), same.as_int())
    assert not np.allclose(first.get_data(), other.get_data())


def test_incomplete_last_epoch_is_recorded_but_not_scored():
    raw, hypno = simulate_night(100.5, random_state=0)
    assert (raw.n_times, hypno.n_epochs) == (10_050, 3)


@pytest.mark.parametrize("sfreq", [50, 512.5])
def test_night_at_another_sampling_frequency(sfreq):
    raw, _ = simulate_night(300, sfreq=sfreq, random_state=0)
    reference, _ = simulate_night(300, random_state=0)
    assert (raw.info["sfreq"], raw.n_times) == (sfreq, round(300 * sfreq))
    ratio = raw.get_data().std(axis=1) / reference.get_data().std(axis=1)
    assert_allclose(ratio, 1, atol=0.2)


@pytest.mark.parametrize("ch_names", ["EEG Cz", ["EEG Cz"]])
def test_night_of_one_channel(ch_names):
    raw, _ = simulate_night(60, ch_names=ch_names)
    assert raw.ch_names == ["EEG Cz"]


@pytest.mark.parametrize(
    ("duration", "ch_names", "match"),
    [
        (60, (), "one or two channels"),
        (60, ("A", "B", "C"), "one or two channels"),
        (29, "A", "at least 30 s, got 29 s"),
    ],
)
def test_error_of_nights_that_cannot_be_simulated(duration, ch_names, match):
    with pytest.raises(ValueError, match=match):
        simulate_night(duration, ch_names=ch_names)


def test_epochs_have_the_amplitude_and_spectrum_of_their_stage():
    """Amplitudes are those of EEG, N3 has slow waves, and borders do not click."""
    raw, hypno = simulate_night(4 * 3600, random_state=0)
    signal = raw.get_data(picks=[0], units="uV")[0]
    epochs = signal.reshape(-1, N_TIMES)
    stds = epochs.std(axis=1)
    assert 5 < np.median(stds) < 100
    assert stds.max() < 500
    power = np.abs(np.fft.rfft(epochs))[:, 15:120].mean(axis=1)  # 0.5-4 Hz
    stages = hypno.as_int().to_numpy()
    assert power[stages == 3].mean() > 1.5 * power[stages == 4].mean()
    steps = np.abs(np.diff(signal))
    assert steps[N_TIMES - 1 :: N_TIMES].mean() < 1.2 * steps.mean()
