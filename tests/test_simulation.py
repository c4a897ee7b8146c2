"""Tests of the simulated signals and nights."""

from __future__ import annotations

import inspect
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.signal import welch

from mne_mc2sleep import simulation
from mne_mc2sleep._constants import N_TIMES, SFREQ
from mne_mc2sleep.simulation import BANDS, make_raw, resynthesize, simulate_night

ROOT = Path(__file__).parents[1]
NIGHTS = ROOT.parent / "shared" / "data" / "sleep_edf" / "band_power_nights.npz"
DECIBEL = 10 / np.log(10)


def make_powers(n_epochs, n_channels=2, spread=0.0, seed=0):
    """Make log powers of a plausible N2, each epoch's astray by ``spread``."""
    rng = np.random.default_rng(seed)
    bands = np.array([3.4, 1.3, 0.2, -1.3, -2.6])
    log_band_power = bands + spread * rng.standard_normal((n_epochs, n_channels, 5))
    widths = [high - low for low, high in BANDS.values()]
    in_bands = np.log(np.exp(log_band_power) @ widths)
    return log_band_power, in_bands + 0.3


def measure(signals):
    """Measure the log band powers and log variances of each epoch."""
    epochs = signals.reshape(len(signals), -1, N_TIMES).swapaxes(0, 1)
    freqs, density = welch(epochs, SFREQ, nperseg=256)
    bands = [
        density[..., (freqs >= low) & (freqs <= high)].mean(axis=-1)
        for low, high in BANDS.values()
    ]
    return np.log(np.stack(bands, axis=-1)), np.log(epochs.var(axis=-1))


def test_constant_powers_are_kept_on_average():
    """An hour of constant powers has them within 0.5 dB on average."""
    asked = make_powers(120)
    measured = measure(resynthesize(*asked, random_state=0))
    for found, wanted in zip(measured, asked, strict=True):
        bias = DECIBEL * (found - wanted).mean(axis=0)
        assert np.abs(bias).max() < 0.5


def test_varying_powers_are_kept_epoch_by_epoch():
    """Powers that change in every epoch are met within 1 dB in the median."""
    asked = make_powers(120, spread=0.6)
    measured = measure(resynthesize(*asked, random_state=0))
    for found, wanted in zip(measured, asked, strict=True):
        error = DECIBEL * np.median(np.abs(found - wanted), axis=0)
        assert error.max() < 1


def test_variance_beyond_the_bands_is_drift():
    """More variance with equal bands adds power below 0.5 Hz only."""
    log_band_power, log_variance = make_powers(60)
    freqs, little = welch(
        resynthesize(log_band_power, log_variance, random_state=0), SFREQ, nperseg=3000
    )
    _, much = welch(
        resynthesize(log_band_power, log_variance + 1, random_state=0),
        SFREQ,
        nperseg=3000,
    )
    ratio = (much / little).mean(axis=0)
    assert ratio[(freqs > 0.05) & (freqs < 0.4)].mean() > 2
    # The delta of the bands makes room for what the drift leaks into Welch's segments.
    assert_allclose(ratio[freqs > 4].mean(), 1, atol=0.1)


def test_variance_below_the_bands_is_ignored():
    """Where the bands alone exceed the variance, they are met and nothing is NaN."""
    log_band_power, log_variance = make_powers(60)
    signals = resynthesize(log_band_power, log_variance - 3, random_state=0)
    bands, _ = measure(signals)
    assert np.abs(DECIBEL * (bands - log_band_power).mean(axis=0)).max() < 0.5


def test_drift_that_would_fill_delta_stays_finite():
    """A variance a thousand times that of the bands gives a finite signal."""
    log_band_power, log_variance = make_powers(4)
    assert np.isfinite(resynthesize(log_band_power, log_variance + 7)).all()


def test_borders_of_epochs_have_no_click():
    """The largest step at epochs' borders is not above those within epochs."""
    log_band_power, log_variance = make_powers(200, n_channels=1)
    steps = np.abs(np.diff(resynthesize(log_band_power, log_variance, random_state=0)))
    at_borders = steps[0, N_TIMES - 1 :: N_TIMES]
    assert at_borders.mean() < 1.2 * steps.mean()


def test_fade_keeps_the_power():
    """The mean power around epochs' borders is that of their middle."""
    log_band_power, log_variance = make_powers(400, n_channels=1)
    power = resynthesize(log_band_power, log_variance, random_state=0)[0] ** 2
    course = power.reshape(-1, N_TIMES).mean(axis=0)
    border = np.r_[course[:100], course[-100:]].mean()
    assert_allclose(border, course.mean(), rtol=0.15)


def test_channels_share_a_part_of_their_noise():
    """Two channels of equal powers correlate by the stated 0.3."""
    signals = resynthesize(*make_powers(200), random_state=0)
    assert_allclose(np.corrcoef(signals)[0, 1], 0.3, atol=0.05)


def test_resynthesize_takes_no_stage():
    """There is no parameter by which a stage could enter the signal."""
    names = list(inspect.signature(resynthesize).parameters)
    assert names == ["log_band_power", "log_variance", "random_state"]


def test_stages_shape_a_night_through_its_powers_alone(monkeypatch):
    """Other stages with equal powers give the equal night."""
    powers = make_powers(20)
    monkeypatch.setattr(simulation, "_simulate_powers", lambda stages, rng: powers)
    draw = simulation.resynthesize
    monkeypatch.setattr(
        simulation,
        "resynthesize",
        lambda *args, random_state: draw(*args, random_state=0),
    )
    (first, stages), (second, others) = (
        simulate_night(600, random_state=seed) for seed in (0, 1)
    )
    assert stages.as_int().tolist() != others.as_int().tolist()
    assert_array_equal(first.get_data(), second.get_data())


@pytest.mark.parametrize(
    "make_state", [int, np.random.default_rng, np.random.RandomState]
)
def test_equal_random_states_give_equal_signals(make_state):
    """An int, a Generator and a RandomState each reproduce the signal."""
    powers = make_powers(3)
    first = resynthesize(*powers, random_state=make_state(5))
    assert_array_equal(first, resynthesize(*powers, random_state=make_state(5)))


def test_other_random_states_give_other_signals():
    """The seed matters."""
    powers = make_powers(3)
    first = resynthesize(*powers, random_state=0)
    assert not np.allclose(first, resynthesize(*powers, random_state=1))


def test_random_generator_moves_on():
    """Two calls with one RandomState give two signals."""
    powers, random_state = make_powers(3), np.random.RandomState(0)
    first = resynthesize(*powers, random_state=random_state)
    assert not np.allclose(first, resynthesize(*powers, random_state=random_state))


def test_half_precision_is_accepted():
    """Powers in float16, as they are stored, give a float32 signal of all epochs."""
    powers = [array.astype(np.float16) for array in make_powers(7)]
    signals = resynthesize(*powers)
    assert (signals.shape, signals.dtype) == ((2, 7 * N_TIMES), np.float32)


def test_inputs_are_not_modified():
    """The caller's float32 arrays stay as they were."""
    powers = [array.astype(np.float32) for array in make_powers(7)]
    copies = [array.copy() for array in powers]
    resynthesize(*powers)
    for array, copy in zip(powers, copies, strict=True):
        assert_array_equal(array, copy)


@pytest.mark.parametrize("n_channels", [1, 3])
def test_any_number_of_channels(n_channels):
    """One channel, or more than two, work alike."""
    signals = resynthesize(*make_powers(2, n_channels))
    assert signals.shape == (n_channels, 2 * N_TIMES)


def test_error_names_the_rows_that_are_not_finite():
    """NaN in a power and Inf in a variance are reported by their rows."""
    log_band_power, log_variance = make_powers(10)
    log_band_power[3, 0, 0] = np.nan
    log_variance[7, 1] = np.inf
    with pytest.raises(ValueError, match=r"2 of 10 epochs .* rows 3, 7\."):
        resynthesize(log_band_power, log_variance)


def test_error_of_many_rows_stays_short():
    """Beyond ten rows the message is cut."""
    log_band_power, log_variance = make_powers(30)
    with pytest.raises(ValueError, match=r"30 of 30 .* 8, 9, \.\.\."):
        resynthesize(log_band_power, log_variance * np.nan)


@pytest.mark.parametrize(
    ("bands", "variances", "message"),
    [
        ((4, 5), (4,), "'log_band_power' must have"),
        ((4, 2, 4), (4, 2), "'log_band_power' must have"),
        ((4, 2, 5), (4,), "'log_variance' must have"),
        ((4, 2, 5), (3, 2), "'log_variance' must have"),
        ((0, 2, 5), (0, 2), "one epoch or more"),
    ],
)
def test_error_of_wrong_shapes(bands, variances, message):
    """Shapes that do not fit are a clear error."""
    with pytest.raises(ValueError, match=message):
        resynthesize(np.zeros(bands), np.zeros(variances))


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
    bands, _ = simulation._simulate_powers(stages, np.random.default_rng(0))
    delta = bands[:, 0, 0]
    assert delta[:200].mean() > delta[200:].mean() + 1


def test_powers_have_the_moments_of_their_stage():
    """Over many subjects, means and deviations are the constants."""
    stages, constants = np.repeat(2, 50), simulation.constants
    rng = np.random.default_rng(0)
    nights = [simulation._simulate_powers(stages, rng) for _ in range(400)]
    features = np.array([np.dstack(night).reshape(50, -1) for night in nights])
    stds = np.hypot(constants.STAGE_STDS[2], constants.SUBJECT_STDS)
    assert_allclose(features.mean(axis=(0, 1)), constants.STAGE_MEANS[2], atol=0.2)
    assert_allclose(features.std(axis=(0, 1)), stds, rtol=0.15)


def test_powers_of_neighbours_are_alike():
    """Within a stage, successive deviations correlate as in the data."""
    stages = np.repeat(2, 4000)
    bands, _ = simulation._simulate_powers(stages, np.random.default_rng(0))
    correlation = np.corrcoef(bands[:-1, 0, 0], bands[1:, 0, 0])[0, 1]
    assert_allclose(correlation, simulation.constants.AUTOCORRELATION, atol=0.05)


def test_resynthesis_needs_only_numpy_and_scipy():
    """Importing the module loads neither MNE nor YASA nor torch."""
    code = (
        "import sys, mne_mc2sleep.simulation; "
        "assert not {'mne', 'yasa', 'torch', 'pandas', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


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
        assert_allclose(made[name], getattr(simulation.constants, name), atol=0.011)
