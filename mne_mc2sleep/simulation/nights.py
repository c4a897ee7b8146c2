"""Simulated recordings, and scored nights that need no data."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from scipy.signal import lfilter, resample_poly

from .._constants import EPOCH_DURATION, SFREQ
from . import constants
from .resynthesis import check_random_state, resynthesize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mne.io import RawArray
    from numpy.typing import ArrayLike
    from yasa import Hypnogram

    from .resynthesis import RandomState

# Our choice: beyond it a Gaussian path has amplitudes that no night has.
_MAX_DEVIATION = 2.5
_MEAS_DATE = datetime(2000, 1, 1, 22, tzinfo=UTC)


def make_raw(
    signals: ArrayLike,
    ch_names: Sequence[str],
    *,
    sfreq: float = SFREQ,
    meas_date: datetime | None = None,
) -> RawArray:
    """Wrap EEG signals in a recording.

    Parameters
    ----------
    signals : array of shape (n_channels, n_times)
        In µV.
    ch_names : sequence of str
        One name per channel.
    sfreq : float
        The sampling frequency of ``signals`` in Hz.
    meas_date : datetime | None
        When the recording starts, in UTC.

    Returns
    -------
    raw : RawArray
        The recording, of EEG channels in volts.

    Raises
    ------
    ValueError
        If there is not one name per channel.
    """
    import mne

    info = mne.create_info(list(ch_names), sfreq, "eeg")
    info.set_meas_date(meas_date)
    volts = np.asarray(signals, dtype=np.float64) * 1e-6
    return mne.io.RawArray(volts, info, verbose="WARNING")


def simulate_night(
    duration: float = 8 * 3600.0,
    *,
    ch_names: Sequence[str] = ("EEG Fpz-Cz", "EEG Pz-Oz"),
    sfreq: float = SFREQ,
    meas_date: datetime | None = _MEAS_DATE,
    random_state: RandomState = None,
) -> tuple[RawArray, Hypnogram]:
    """Simulate a scored night without any data.

    Parameters
    ----------
    duration : float
        The recording's length in seconds. What exceeds a multiple of 30 s is part of
        the recording, but not of the hypnogram.
    ch_names : sequence of str
        One or two names. The first channel is like EEG Fpz-Cz, the second like Pz-Oz.
    sfreq : float
        The recording's sampling frequency in Hz. There is no power above 50 Hz.
    meas_date : datetime | None
        When the recording and the hypnogram start, in UTC. By default 10 p.m. on the
        first of January 2000.
    random_state : int | Generator | RandomState | None
        Seeds the stages and the noise. The same number gives the same night.

    Returns
    -------
    raw : RawArray
        The recording.
    hypno : yasa.Hypnogram
        Its stages, by the scorer ``"Simulation"``.

    Raises
    ------
    ValueError
        If ``duration`` is under one epoch or there are not one or two names.

    Notes
    -----
    The stages are YASA's Markov chain (transitions of Metzner et al. 2021,
    https://doi.org/10.1038/s42003-021-02912-6). The powers of an epoch are the mean of
    its stage + an offset of the subject, drawn once + a deviation that follows an
    autoregressive path. Their moments are those of real nights (131 nights of the
    Sleep-EDF Database Expanded; see ``simulation/constants.py``). From the powers,
    :func:`resynthesize` makes the signal. Such nights serve tests and examples: a
    stager's score on them says nothing about people.
    """
    import yasa

    ch_names = [ch_names] if isinstance(ch_names, str) else list(ch_names)
    if len(ch_names) not in (1, 2):
        raise ValueError(
            "A simulated night has one or two channels, but 'ch_names' names "
            f"{len(ch_names)}: {ch_names}."
        )
    if duration < EPOCH_DURATION:
        raise ValueError(
            f"A simulated night has at least one epoch of {EPOCH_DURATION:g} s, but "
            f"'duration' is {duration:g} s."
        )
    rng = check_random_state(random_state)
    # The unscored tail has a stage too: one epoch more is simulated, then cut.
    n_epochs = int(np.ceil(duration / EPOCH_DURATION))
    seed = int(rng.integers(2**31))
    hypno = yasa.simulate_hypnogram(n_epochs * EPOCH_DURATION / 60, seed=seed)
    log_band_power, log_variance = _simulate_powers(hypno.as_int().to_numpy(), rng)
    signals = resynthesize(
        log_band_power[:, : len(ch_names)],
        log_variance[:, : len(ch_names)],
        random_state=rng,
    )
    ratio = Fraction(sfreq / SFREQ).limit_denominator(1000)
    if ratio != 1:
        signals = resample_poly(signals, ratio.numerator, ratio.denominator, axis=1)
    signals = signals[:, : round(duration * sfreq)]
    raw = make_raw(signals, ch_names, sfreq=sfreq, meas_date=meas_date)
    stages = hypno.hypno.to_numpy()[: int(duration // EPOCH_DURATION)]
    return raw, yasa.Hypnogram(stages, start=meas_date, scorer="Simulation")


def _simulate_powers(stages, rng):
    """Draw log band powers (n_epochs, 2, 5) and log variances (n_epochs, 2)."""
    n_features = constants.STAGE_MEANS.shape[1]
    persistence = constants.AUTOCORRELATION
    path, _ = lfilter(
        [np.sqrt(1 - persistence**2)],
        [1, -persistence],
        rng.standard_normal((stages.size, n_features)),
        axis=0,
        zi=persistence * rng.standard_normal((1, n_features)),
    )
    path = np.clip(path, -_MAX_DEVIATION, _MAX_DEVIATION)
    roots = _covariance_root(constants.STAGE_STDS, constants.STAGE_CORRELATIONS)
    deviations = np.einsum("eij,ej->ei", roots[stages], path)
    offset = np.clip(rng.standard_normal(n_features), -_MAX_DEVIATION, _MAX_DEVIATION)
    root = _covariance_root(constants.SUBJECT_STDS, constants.SUBJECT_CORRELATIONS)
    features = constants.STAGE_MEANS[stages] + root @ offset + deviations
    features = features.reshape(stages.size, 2, -1)
    return features[..., :-1], features[..., -1]


def _covariance_root(stds, correlations):
    """Take the symmetric square root of covariances, so that features keep their own.

    The path of one feature must stay with it when the stage changes, which the
    triangular root of Cholesky would not do.
    """
    covariances = stds[..., :, np.newaxis] * correlations * stds[..., np.newaxis, :]
    values, vectors = np.linalg.eigh(covariances)
    # Rounding may have pushed the smallest eigenvalues below zero.
    scaled = vectors * np.sqrt(np.maximum(values, 1e-6))[..., np.newaxis, :]
    return scaled @ np.swapaxes(vectors, -1, -2)
