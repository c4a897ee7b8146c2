"""Recordings other than EEG of a sleeping human, for tests and benchmarks."""

import numpy as np
from scipy.signal import lfilter, square

SFREQ = 100.0


def make_white_noise(n_times, rng):
    """Make white noise of the amplitude of EEG."""
    return rng.normal(0, 30, n_times)


def make_square_wave(n_times, rng):
    """Make the calibration signal of an amplifier: 1 Hz, 100 µV from peak to peak."""
    times = np.arange(n_times) / SFREQ
    return 50 * square(2 * np.pi * times) + rng.normal(0, 0.5, n_times)


def make_ecg(n_times, rng):
    """Make heart beats: R and T waves, 1.1 per second with a variability of 5 %."""
    beats = np.cumsum(rng.normal(1 / 1.1, 0.05, int(1.3 * n_times / SFREQ)))
    steps = np.zeros(n_times)
    beats = (beats * SFREQ).astype(int)
    steps[beats[beats < n_times]] = 1
    times = np.arange(-20, 60) / SFREQ
    beat = 800 * np.exp(-0.5 * (times / 0.012) ** 2)
    beat += 150 * np.exp(-0.5 * ((times - 0.28) / 0.05) ** 2)
    return np.convolve(steps, beat, "same") + rng.normal(0, 5, n_times)


def make_mains(n_times, rng):
    """Make the hum of the mains, 50 Hz as sampling at 128 Hz without a filter folds it.

    Below 35 Hz only a trace of it, its subharmonics and the noise remain.
    """
    times = np.arange(n_times) / SFREQ
    hum = 100 * np.sin(2 * np.pi * 49.97 * times) + 3 * np.sin(2 * np.pi * 25 * times)
    return hum + rng.normal(0, 1, n_times)


def make_empty_room(n_times, rng):
    """Make the noise of an amplifier without a head: 1/f, 0.5 µV, and a drift."""
    noise = _pink(n_times, rng, exponent=1.0)
    drift = lfilter([1], [1, -0.9999], rng.standard_normal(n_times))
    return 0.5 * noise / noise.std() + 20 * drift / drift.std()


def make_mouse(n_times, rng):
    """Make EEG of a mouse: theta at 7 Hz in REM and wake, states of 10-120 s."""
    states = np.repeat(
        rng.integers(0, 3, n_times // 1000 + 1),
        rng.integers(1000, 12_000, n_times // 1000 + 1),
    )[:n_times]
    theta = _around(7.0, 0.5, n_times, rng)
    delta = _around(2.5, 1.0, n_times, rng)
    background = _pink(n_times, rng, exponent=1.0)
    gains = np.array([[70, 10], [110, 10], [15, 110]])[states]  # wake, REM, NREM
    return gains[:, 0] * theta + gains[:, 1] * delta + 20 * background


def shuffle_within_epochs(signal, rng):
    """Permute the samples of each epoch of a recording."""
    epochs = signal[: signal.size // 3000 * 3000].reshape(-1, 3000)
    return rng.permuted(epochs, axis=1).ravel()


def _pink(n_times, rng, exponent):
    """Make noise of a power that falls as 1 / f to an exponent; deviation 1."""
    spectrum = np.fft.rfft(rng.standard_normal(n_times))
    freqs = np.fft.rfftfreq(n_times, 1 / SFREQ).clip(0.1)
    noise = np.fft.irfft(spectrum * freqs ** (-exponent / 2), n_times)
    return noise / noise.std()


def _around(frequency, width, n_times, rng):
    """Make narrow-band noise of deviation 1."""
    spectrum = np.fft.rfft(rng.standard_normal(n_times))
    freqs = np.fft.rfftfreq(n_times, 1 / SFREQ)
    gain = np.exp(-0.5 * ((freqs - frequency) / width) ** 2)
    noise = np.fft.irfft(spectrum * gain, n_times)
    return noise / noise.std()


FOREIGN = {
    "white noise": make_white_noise,
    "square wave of 1 Hz": make_square_wave,
    "ECG-like, 1.1 Hz": make_ecg,
    "mains alone": make_mains,
    "empty room, 0.5 µV": make_empty_room,
    "mouse-like EEG": make_mouse,
}
"""Signals in µV at 100 Hz, by functions of the number of samples and a Generator."""
