"""Tests of the scaling that brings recordings closer to each other."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.signal import butter, sosfilt, welch

from mne_mc2sleep._constants import N_TIMES, SFREQ
from mne_mc2sleep.preprocessing.scaling import ROBUST_IQR, scale_signals


def filter_(signals, order, freq, kind="lowpass"):
    """Filter epochs as one signal."""
    sos = butter(order, freq, kind, fs=SFREQ, output="sos")
    return sosfilt(sos, signals.ravel()).reshape(signals.shape).astype(np.float32)


def make_signals(n_epochs=40, gain=1.0):
    """Make noise that falls with frequency, like EEG, in µV."""
    noise = np.random.default_rng(0).standard_normal((n_epochs, N_TIMES))
    return filter_(60 * gain * noise, 1, 2)


def log_spectrum(signals):
    """Measure the mean log density in octaves from 1 to 32 Hz."""
    freqs, density = welch(signals.ravel(), SFREQ, nperseg=512)
    edges = 2.0 ** np.arange(6)
    octaves = [(freqs >= low) & (freqs < 2 * low) for low in edges[:-1]]
    return np.array([np.log(density[octave].mean()) for octave in octaves])


def scale(signals, scaling="spectrum", usable=None):
    """Scale epochs, all of which are usable unless told otherwise."""
    usable = np.ones(len(signals), bool) if usable is None else usable
    return scale_signals(signals, usable, scaling)


@pytest.mark.parametrize("scaling", [None, "none"])
def test_without_a_scaling_microvolts_are_kept(scaling):
    signals = make_signals()
    assert scale(signals, scaling) is signals


@pytest.mark.parametrize("gain", [0.1, 3.0])
def test_robust_sets_the_interquartile_range(gain):
    lower, upper = np.percentile(scale(make_signals(gain=gain), "robust"), [25, 75])
    assert_allclose(upper - lower, ROBUST_IQR, rtol=1e-4)


def test_spectrum_removes_three_quarters_of_a_difference():
    """In decibels, of the gain and of the colour."""
    signals = make_signals()
    dull = 0.5 * filter_(signals, 1, 12)
    before = log_spectrum(dull) - log_spectrum(signals)
    after = log_spectrum(scale(dull)) - log_spectrum(scale(signals))
    assert before[-1] < -1
    assert_allclose(after, before / 4, atol=0.2)


@pytest.mark.parametrize("gains", [(0.2, 0.1), (2.0, 4.0)])
def test_spectrum_removes_an_unusual_gain_entirely(gains):
    usual, unusual = (scale(make_signals(gain=gain)) for gain in gains)
    assert_allclose(unusual, usual, atol=1e-3)
    assert 0.5 < usual.std() / scale(make_signals()).std() < 2


def test_spectrum_keeps_times():
    signals = make_signals()
    signals[20, 1500] += 5000
    assert np.abs(scale(signals)).argmax() == 20 * N_TIMES + 1500


def test_spectrum_is_not_fitted_to_unusable_epochs():
    signals = make_signals()
    usable = np.ones(len(signals), bool)
    usable[10:13] = False
    loud = signals.copy()
    loud[11] *= 1000
    scaled, with_artefact = (scale(s, usable=usable) for s in (signals, loud))
    assert_allclose(with_artefact[20:], scaled[20:], rtol=1e-3, atol=1e-3)


def test_a_missing_band_is_filled_with_the_power_of_eeg():
    """And with the same noise each time."""
    signals = make_signals()
    cut = filter_(signals, 12, 15)
    assert (log_spectrum(cut) - log_spectrum(signals))[-1] < -4
    filled = scale(cut)
    found, expected = (log_spectrum(s)[-1] for s in (filled, scale(signals)))
    assert_allclose(found, expected, atol=1.0)
    assert_array_equal(filled, scale(cut))


@pytest.mark.parametrize(
    ("kind", "corner", "missing"),
    [("lowpass", 15, (4, (22, 30))), ("highpass", 4, (2, (0.6, 1.5)))],
)
def test_filling_is_as_strong_as_the_bands_beside_it(kind, corner, missing):
    """Epochs of three times the amplitude get three times the noise."""
    signals = filter_(make_signals(), 12, corner, kind)
    louder = signals.copy()
    louder[-5:] *= 3
    sos = butter(*missing, "bandpass", fs=SFREQ, output="sos")
    filled, other = (
        sosfilt(sos, scale(s), axis=1)[:, 300:].std(axis=1) for s in (signals, louder)
    )
    assert_allclose((other / filled)[-4:], 3, rtol=0.1)
    assert_allclose((other / filled)[:-6], 1, rtol=0.1)


def test_a_weak_recording_is_not_taken_for_a_missing_band():
    weak, strong = (scale(make_signals(gain=gain)).ravel() for gain in (0.1, 1))
    assert_allclose(np.corrcoef(weak, strong)[0, 1], 1, atol=1e-3)


@pytest.mark.parametrize("scaling", ["robust", "spectrum"])
@pytest.mark.parametrize("n_epochs", [1, 2, 700])
def test_any_length_keeps_shape_and_input(scaling, n_epochs):
    signals = make_signals(n_epochs)
    before = signals.copy()
    scaled = scale(signals, scaling)
    assert (scaled.shape, scaled.dtype) == (signals.shape, np.float32)
    assert np.isfinite(scaled).all()
    assert_array_equal(signals, before)
