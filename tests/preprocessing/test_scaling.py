"""Tests of the scaling that brings recordings closer to each other."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.signal import butter, sosfilt, welch

from mne_mc2sleep._constants import N_TIMES, SFREQ
from mne_mc2sleep.preprocessing.scaling import (
    ROBUST_IQR,
    SCALINGS,
    NoScaling,
    scale_signals,
)


def make_signals(n_epochs=40, gain=1.0, seed=0):
    """Make noise that falls with frequency, like EEG, in µV."""
    rng = np.random.default_rng(seed)
    sos = butter(1, 2, fs=SFREQ, output="sos")
    noise = sosfilt(sos, rng.standard_normal(n_epochs * N_TIMES))
    return (60 * gain * noise).reshape(n_epochs, N_TIMES).astype(np.float32)


def log_spectrum(signals):
    """Measure the mean log density in octaves from 1 to 32 Hz."""
    freqs, density = welch(signals.ravel(), SFREQ, nperseg=512)
    edges = 2.0 ** np.arange(6)
    octaves = [(freqs >= low) & (freqs < 2 * low) for low in edges[:-1]]
    return np.array([np.log(density[octave].mean()) for octave in octaves])


def everywhere(signals):
    """Return that all epochs are usable."""
    return np.ones(len(signals), dtype=bool)


@pytest.mark.parametrize("scaling", [None, "none"])
def test_none_changes_nothing(scaling):
    """Without a scaling µV stay µV."""
    signals = make_signals()
    assert scale_signals(signals, everywhere(signals), scaling) is signals


def test_a_new_scaling_is_a_row_in_the_registry(monkeypatch):
    """It is fitted to the usable epochs, and applied to all."""

    class HalfScaling(NoScaling):
        def fit(self, signals, usable):
            self.gain = 0.5 / signals[usable].std()
            return self

        def transform(self, signals):
            return signals * self.gain

    monkeypatch.setitem(SCALINGS, "half", HalfScaling)
    signals = make_signals()
    scaled = scale_signals(signals, everywhere(signals), "half")
    assert scaled.std() == pytest.approx(0.5)


def test_robust_brings_the_interquartile_range():
    """The range is the stated one at any gain."""
    for gain in (0.1, 3.0):
        signals = make_signals(gain=gain)
        scaled = scale_signals(signals, everywhere(signals), "robust")
        lower, upper = np.percentile(scaled, [25, 75])
        assert_allclose(upper - lower, ROBUST_IQR, rtol=1e-4)


def test_spectrum_takes_away_most_of_a_difference_of_gain():
    """Three quarters of it in decibels: a factor of 4 becomes the fourth root."""
    signals = make_signals()
    low, high = (
        scale_signals(gain * signals, everywhere(signals), "spectrum").std()
        for gain in (0.5, 2.0)
    )
    assert_allclose(high / low, 4**0.25, rtol=0.05)


def test_spectrum_takes_away_most_of_a_difference_of_colour():
    """Of what a recorder does to single octaves, a quarter stays."""
    signals = make_signals()
    sos = butter(1, 12, fs=SFREQ, output="sos")
    dull = sosfilt(sos, signals.ravel()).reshape(signals.shape).astype(np.float32)
    before = log_spectrum(dull) - log_spectrum(signals)
    usable = everywhere(signals)
    dull, signals = (scale_signals(s, usable, "spectrum") for s in (dull, signals))
    after = log_spectrum(dull) - log_spectrum(signals)
    assert before[-1] < -1
    assert_allclose(after, before / 4, atol=0.2)


def test_spectrum_keeps_times():
    """The filter shifts nothing: an event stays where it is."""
    signals = make_signals()
    signals[20, 1500] += 5000
    scaled = scale_signals(signals, everywhere(signals), "spectrum")
    assert np.abs(scaled).argmax() == 20 * N_TIMES + 1500


def test_spectrum_leaves_out_unusable_epochs():
    """An artefact in epochs that do not count changes the others' scale not at all."""
    signals = make_signals()
    usable = everywhere(signals)
    usable[10:13] = False
    loud = signals.copy()
    loud[11] *= 1000
    scaled, with_artefact = (
        scale_signals(s, usable, "spectrum") for s in (signals, loud)
    )
    assert_allclose(with_artefact[20:], scaled[20:], rtol=1e-3, atol=1e-3)


# What is recorded, and a filter for the rest.
BANDS = [
    ("lowpass", 15, butter(4, (22, 30), "bandpass", fs=SFREQ, output="sos")),
    ("highpass", 4, butter(2, (0.6, 1.5), "bandpass", fs=SFREQ, output="sos")),
]


def cut_off(signals, freq):
    """Record nothing above a frequency."""
    sos = butter(12, freq, fs=SFREQ, output="sos")
    return sosfilt(sos, signals.ravel()).reshape(signals.shape).astype(np.float32)


def test_a_missing_band_is_filled_by_the_reference():
    """Above 15 Hz, where nothing was recorded, the power is about that of EEG."""
    signals = make_signals()
    cut = cut_off(signals, 15)
    usable = everywhere(signals)
    assert (log_spectrum(cut) - log_spectrum(signals))[-1] < -4
    filled, whole = (scale_signals(s, usable, "spectrum") for s in (cut, signals))
    assert_allclose(log_spectrum(filled)[-1], log_spectrum(whole)[-1], atol=1.0)


def test_filling_is_the_same_each_time():
    """Equal recordings stay equal."""
    cut = cut_off(make_signals(), 15)
    first, second = (scale_signals(cut, everywhere(cut), "spectrum") for _ in range(2))
    assert_array_equal(first, second)


@pytest.mark.parametrize(("kind", "corner", "missing"), BANDS)
def test_filling_is_as_strong_as_what_is_beside_it(kind, corner, missing):
    """Epochs of three times the amplitude get three times the noise."""
    signals = make_signals()
    sos = butter(12, corner, kind, fs=SFREQ, output="sos")
    signals = sosfilt(sos, signals.ravel()).reshape(signals.shape).astype(np.float32)
    louder = signals.copy()
    louder[-5:] *= 3
    filled, other = (
        sosfilt(missing, scale_signals(s, everywhere(s), "spectrum"), axis=1)[:, 300:]
        for s in (signals, louder)
    )
    ratios = other.std(axis=1) / filled.std(axis=1)
    assert_allclose(ratios[-4:], 3, rtol=0.1)
    assert_allclose(ratios[:-6], 1, rtol=0.1)


def test_a_weak_recording_is_not_taken_for_a_missing_band():
    """A gain of a tenth is a gain: nothing is filled in."""
    signals = make_signals()
    usable = everywhere(signals)
    weak, strong = (scale_signals(g * signals, usable, "spectrum") for g in (0.1, 1))
    assert_allclose(np.corrcoef(weak.ravel(), strong.ravel())[0, 1], 1, atol=1e-3)


@pytest.mark.parametrize("scaling", ["robust", "spectrum"])
@pytest.mark.parametrize("n_epochs", [1, 2, 700])
def test_any_length_keeps_shape_and_input(scaling, n_epochs):
    """One epoch is enough; the shape and type stay, and so do the caller's signals."""
    signals = make_signals(n_epochs)
    before = signals.copy()
    scaled = scale_signals(signals, everywhere(signals), scaling)
    assert (scaled.shape, scaled.dtype) == (signals.shape, np.float32)
    assert np.isfinite(scaled).all()
    assert_array_equal(signals, before)
