"""Signals and recordings that several tests are made of."""

from datetime import UTC, datetime

import mne
import numpy as np

MEAS_DATE = datetime(2024, 2, 28, 23, 15, 30, 250000, tzinfo=UTC)


def make_noise(n_times, amplitude=30.0, seed=0):
    """Return white noise in µV."""
    return np.random.default_rng(seed).normal(0, amplitude, n_times)


def make_raw(signal, sfreq=100.0, first_samp=0, ch_name="C4-M1"):
    """Return a recording of one channel whose signal is given in µV."""
    info = mne.create_info([ch_name], sfreq, "eeg")
    info.set_meas_date(MEAS_DATE)
    data = np.atleast_2d(signal) * 1e-6
    return mne.io.RawArray(data, info, first_samp, verbose=False)


def make_wavelet(times, centre, frequency=10.0, duration=0.2):
    """Return a burst of 10 Hz in µV that peaks at a given second."""
    envelope = np.exp(-0.5 * ((times - centre) / duration) ** 2)
    return 1000 * envelope * np.cos(2 * np.pi * frequency * (times - centre))
