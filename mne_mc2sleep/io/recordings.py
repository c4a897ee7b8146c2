"""Turn a recording into scoring epochs of one EEG channel."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import mne
import numpy as np
from mne.io import BaseRaw
from mne.utils import logger
from numpy.lib.stride_tricks import sliding_window_view
from scipy.signal import butter, resample_poly, sosfiltfilt

from .._constants import BAND, EPOCH_DURATION, FILTER_ORDER, N_TIMES, SFREQ
from .._utils import warn
from .bad_epochs import (
    FLAT,
    NOT_FINITE,
    bridge,
    count_reasons,
    find_bad,
    find_near_flat,
    find_unusable,
)
from .channels import pick_channel
from .edf_header import read_edf_header

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

# All of these are our choice.
FILTER_PADDING = 10.0  # seconds; the 0.3 Hz edge has died away after that
MAX_DENOMINATOR = 10_000  # of the resampling ratio: exact for rates with two decimals

MIN_SFREQ = 40.0  # Hz; below, the band does not even hold sleep spindles safely
FULL_SFREQ = 2 * BAND[1]  # Hz; below, the band does not reach its upper edge
MIN_LOWPASS = 30.0  # Hz
MAX_HIGHPASS = 1.0  # Hz
_ANNOTATION_CHANNELS = ("EDF Annotations", "BDF Annotations")
AMPLITUDE_RANGE = (1.0, 500.0)  # µV, median over epochs of the standard deviation


@dataclass(frozen=True, eq=False)
class Recording:
    """One channel of a recording on its grid of scoring epochs.

    Epoch ``i`` starts ``30 * i`` seconds after the recording's first sample, whatever
    the recording holds.
    """

    signals: NDArray[np.float32]
    """Array of shape (n_epochs, 3000), in µV at 100 Hz, band-passed, always finite."""
    reasons: NDArray[np.str_]
    """Why each epoch is unusable: ``"not finite"``, ``"flat"``, ``"clipped"`` or
    ``"bad annotation"`` (the first that applies), ``""`` for usable epochs."""
    ch_name: str
    """The channel, as the recording names it."""
    start: datetime | None
    """Time of the first sample in UTC (``meas_date + first_time``), None if unknown."""
    annotations: mne.Annotations
    """The recording's annotations, onsets in seconds from its first sample."""

    @property
    def n_epochs(self) -> int:
        """Number of epochs, unusable ones included."""
        return len(self.signals)

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Array of shape (n_epochs,): whether the epoch's signal can be staged."""
        return self.reasons == ""


def read_recording(
    raw: BaseRaw | str | os.PathLike, picks: str | list[str] | None = None
) -> Recording:
    """Read one EEG channel of a recording as scoring epochs.

    The channel is resampled to 100 Hz, band-passed at 0.3-35 Hz (zero-phase Butterworth
    filter; band and order are our choice) as a whole, and cut into epochs of 30 s.

    Parameters
    ----------
    raw : Raw | path-like
        The recording, or a file that :func:`mne.io.read_raw` can read. A Raw is not
        modified; of a file, only the chosen channel is read, of an EDF or BDF file at
        that channel's own sampling rate.
    picks : str | list of str | None
        The channel: a name, several names of which the first that exists is taken, or
        None to choose by the order of preference that the Notes tell.

    Returns
    -------
    recording : Recording
        The epochs, with the reason why for each that is unusable. An incomplete last
        epoch is dropped.

    Raises
    ------
    TypeError
        If ``raw`` is neither a Raw nor a path, or ``picks`` no name.
    FileNotFoundError
        If there is no such file.
    ValueError
        If MNE cannot read the file, the channel does not exist, is bad or not EEG, the
        recording is shorter than one epoch, sampled below 40 Hz or complex, a BAD
        annotation has no valid time, or no epoch is usable.

    Warns
    -----
    RuntimeWarning
        If the amplitude is not that of EEG in volts, if the sampling rate is below
        70 Hz, or if the recording was filtered to less than 1-30 Hz before.

    Notes
    -----
    An epoch is unusable if it holds a NaN, an Inf or a value beyond any voltage; if
    more than half of it is constant, or its amplitude is under 1 % of the median
    epoch's; if more than 10 % of it sits on the recording's extreme values; or if more
    than half of it is annotated as BAD for this channel. These limits are our choice.
    What is missing or constant is bridged by a line before filtering, so that the
    neighbouring epochs come out as without it.

    Without ``picks``, the channel is the first of: Fpz-Cz; Fz; C4-M1; C3-M2; Cz; F4-M1;
    F3-M2; C4, C3, F4, F3, Fpz, Fp1, Fp2; Pz-Oz; O2-M1; O1-M2; Pz, Oz, O1, O2; "EEG"
    (our choice); it is logged.
    """
    raw, ch_name, filters_known = _open(raw, picks)
    sfreq = raw.info["sfreq"]
    _check_rate(sfreq)
    edges = _epoch_edges(raw.n_times, sfreq)
    if filters_known:
        _check_filters(raw.info)
    annotations = _relative_annotations(raw)
    # An index, because MNE takes names such as "eeg" for all channels of that type.
    try:
        signal = raw.get_data(picks=[raw.ch_names.index(ch_name)], units="uV")[0]
    except (ValueError, OSError) as error:
        raise ValueError(
            f"The data of channel {ch_name!r} cannot be read ({error}): the file may "
            "be damaged or cut short. Get it anew."
        ) from error
    if np.iscomplexobj(signal):
        raise ValueError(
            f"Channel {ch_name!r} holds complex numbers, as Raw.apply_hilbert makes "
            "them; pass the recording as it was measured."
        )

    bad = find_bad(annotations, ch_name, sfreq, signal.size)
    reasons, gaps = find_unusable(signal, sfreq, edges, bad)
    if (reasons != "").all():
        raise ValueError(
            f"Channel {ch_name!r} cannot be staged. Unusable: "
            f"{count_reasons(reasons)}. Pass another channel as 'picks'."
        )
    bridge(signal, gaps)
    signals = _make_epochs(signal, sfreq, len(reasons))
    _check_amplitudes(signals, reasons, ch_name)
    start = raw.info["meas_date"]
    if start is not None:
        start += timedelta(seconds=raw.first_time)
    return Recording(signals, reasons, ch_name, start, annotations)


def _open(raw: BaseRaw | str | os.PathLike, picks) -> tuple[BaseRaw, str, bool]:
    """Return the recording, its channel, and whether info tells of earlier filters."""
    if isinstance(raw, BaseRaw):
        return raw, pick_channel(raw, picks), True
    if not isinstance(raw, str | os.PathLike):
        raise TypeError(
            "A recording must be a mne.io.Raw or the path of a file that MNE can read; "
            f"got {type(raw)}. An array becomes a Raw by mne.io.RawArray."
        )
    path = Path(raw).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"There is no recording {str(path)!r}.")
    if path.suffix.lower() not in (".edf", ".bdf"):
        raw = _read(path)
        return raw, pick_channel(raw, picks), True
    # MNE brings all channels that it reads to the highest of their rates, so the one is
    # chosen on the header (in silence: other channels do not matter) and read alone.
    header = _read(path, exclude_after_unique=True, verbose="ERROR")
    ch_name = pick_channel(header, picks)
    index, is_only = header.ch_names.index(ch_name), len(header.ch_names) == 1
    if (is_only or index > 0) and _is_read_as_stored(path, header, index):
        return header, ch_name, is_only
    # Annotations of other channels can only be told apart where those are known.
    raw = _read(path, header, include=[ch_name], exclude_after_unique=True)
    # With `include`, MNE (1.13) puts the filters of the file's first channel into info.
    return raw, ch_name, ch_name == header.ch_names[0]


def _is_read_as_stored(path: Path, raw: BaseRaw, index: int) -> bool:
    """Return whether MNE has nothing to warn of, and leaves a channel at its rate."""
    header = read_edf_header(path)
    n_samples = [
        n
        for name, n in zip(header.ch_names, header.n_samples, strict=True)
        if name not in _ANNOTATION_CHANNELS
    ]
    return (
        header.n_bytes == path.stat().st_size
        and len(n_samples) == len(raw.ch_names)
        and n_samples[index] == max(n_samples)
    )


def _read(path: Path, header: BaseRaw | None = None, **kwargs) -> BaseRaw:
    """Open a recording, without its data, with the annotations of ``header`` if any."""
    try:
        raw = mne.io.read_raw(path, **kwargs)
        if header is not None:
            annotations = header.annotations
            raw.set_annotations(annotations, emit_warning=False, on_missing="ignore")
        return raw
    except Exception as error:
        raise ValueError(
            f"MNE cannot read {str(path)!r} as a recording: {error} Pass a file that "
            "mne.io.read_raw can read, or a Raw."
        ) from error


def _epoch_edges(n_times: int, sfreq: float) -> NDArray[np.intp]:
    """Return the samples at which epochs begin, then the end: n_epochs + 1 values."""
    n_exact = n_times / sfreq / EPOCH_DURATION
    # FIF files keep the rate in single precision, which changes no whole number.
    n_epochs = int(n_exact if sfreq % 1 == 0 else n_exact * (1 + 1e-7))
    if n_epochs < 1:
        raise ValueError(
            f"The recording lasts {n_times / sfreq:g} s; staging needs at least one "
            f"epoch of {EPOCH_DURATION:g} s."
        )
    if (rest := (n_exact - n_epochs) * EPOCH_DURATION) > 1 / sfreq:
        logger.info("Dropped the last %.2f s, an incomplete epoch.", rest)
    edges = np.rint(np.arange(n_epochs + 1) * EPOCH_DURATION * sfreq).astype(np.intp)
    return edges.clip(max=n_times)


def _check_rate(sfreq: float) -> None:
    """Refuse or warn about a sampling rate that the band does not fit into."""
    if sfreq < MIN_SFREQ:
        raise ValueError(
            f"The recording is sampled at {sfreq:g} Hz; staging needs at least "
            f"{MIN_SFREQ:g} Hz."
        )
    if sfreq < FULL_SFREQ:
        warn(
            f"The recording is sampled at {sfreq:g} Hz, so it holds nothing above "
            f"{sfreq / 2:g} Hz; the network expects EEG up to {BAND[1]:g} Hz."
        )


def _check_filters(info: mne.Info) -> None:
    """Warn about a recording that was filtered to less than the band before."""
    lowpass, highpass = info["lowpass"], info["highpass"]
    found = []
    # A low-pass near the Nyquist frequency comes with the rate, which warned already.
    if lowpass and lowpass < min(MIN_LOWPASS, 0.75 * info["sfreq"] / 2):
        found.append(f"low-pass filtered at {lowpass:g} Hz (under {MIN_LOWPASS:g})")
    if highpass and highpass > MAX_HIGHPASS:
        found.append(f"high-pass filtered at {highpass:g} Hz (over {MAX_HIGHPASS:g})")
    if found:
        warn(
            f"The recording was {' and '.join(found)} before; stage the unfiltered "
            "one if you can. MNE keeps one figure for all channels of a file, so the "
            "filter may be another channel's."
        )


def _relative_annotations(raw: BaseRaw) -> mne.Annotations:
    """Return the annotations with onsets in seconds from the first sample."""
    annotations = raw.annotations
    return mne.Annotations(
        annotations.onset - raw.first_time,
        annotations.duration,
        annotations.description,
        ch_names=annotations.ch_names,
    )


def _make_epochs(
    signal: NDArray[np.float64], sfreq: float, n_epochs: int
) -> NDArray[np.float32]:
    """Resample, band-pass and cut a signal; return (n_epochs, n_times)."""
    ratio = Fraction(SFREQ / sfreq).limit_denominator(MAX_DENOMINATOR)
    if ratio != 1:
        up, down = ratio.numerator, ratio.denominator
        # An electrode's offset can be thousands of times the EEG, and a window of less
        # than 80 dB would let images of its drift into the band.
        signal = signal - signal.mean()
        signal = resample_poly(signal, up, down, window=("kaiser", 8), padtype="edge")
    sos = butter(FILTER_ORDER, BAND, "bandpass", fs=SFREQ, output="sos")
    # Reflected evenly, because a turn about the last sample would shift the mean.
    padding = round(FILTER_PADDING * SFREQ)
    signal = sosfiltfilt(sos, signal, padtype="even", padlen=padding)
    signal = signal.astype(np.float32)
    # Where the ratio is only nearly exact, each epoch is looked up by its time, so that
    # the grid does not drift.
    starts = np.arange(n_epochs) * (EPOCH_DURATION * sfreq * float(ratio))
    starts = np.rint(starts).astype(np.intp)
    lacking = max(0, starts[-1] + N_TIMES - signal.size)
    signal = np.pad(signal, (0, lacking), "edge")
    return sliding_window_view(signal, N_TIMES)[starts]


def _check_amplitudes(
    signals: NDArray[np.float32], reasons: NDArray[np.str_], ch_name: str
) -> None:
    """Mark epochs that are flat but for noise, and warn if all amplitudes are odd."""
    reasons[find_near_flat(signals, reasons) & (reasons != NOT_FINITE)] = FLAT
    if (reasons != "").any():
        logger.info("Unusable epochs: %s.", count_reasons(reasons))
    typical = np.median(signals[reasons == ""].std(axis=1))
    if not AMPLITUDE_RANGE[0] <= typical <= AMPLITUDE_RANGE[1]:
        warn(
            f"Channel {ch_name!r} has an amplitude of {typical:.3g} µV (median over "
            "epochs of the standard deviation), but EEG in sleep has about 5-100 µV. "
            "MNE expects volts: check the unit of the recording."
        )
