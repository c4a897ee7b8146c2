"""Turn a recording into scoring epochs of one EEG channel."""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from fractions import Fraction
from io import FileIO
from pathlib import Path
from typing import Any

import mne
import numpy as np
from mne.io import BaseRaw
from mne.utils import logger
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.fft import rfftfreq
from scipy.signal import butter, freqz_sos, welch

from .._constants import BAND, EPOCH_DURATION, FILTER_ORDER, N_TIMES, SFREQ
from .._utils import collect_warnings, filter_signal, warn
from . import bad_epochs
from .channels import pick_channel, standard_name
from .edf_header import EdfHeader, header_of, read_annotations, read_edf_header
from .pauses import find_parts, insert_pauses

# All of these are our choice.
FILTER_MARGIN = 15.0  # seconds; the response to an impulse is below 2e-7 after that
MAX_DENOMINATOR = 10_000  # of the resampling ratio: exact for rates with two decimals

MIN_SFREQ = 40.0  # Hz; below, the band does not even hold sleep spindles safely
FULL_SFREQ = 2 * BAND[1]  # Hz; below, the band does not reach its upper edge
MIN_LOWPASS = 30.0  # Hz
# Log power at 16-22 Hz relative to 2-9 Hz: at least -3.8 in 35 nights of EEG, at most
# -5.5 in most of them after a low-pass of fourth order at 15 Hz.
_MIN_FAST_POWER = -5.0
MAX_HIGHPASS = 1.0  # Hz
_HYPNOGRAMS = (".csv", ".tsv", ".txt", ".xml", ".json", ".npy", ".hyp")
AMPLITUDE_RANGE = (1.0, 500.0)  # µV, median over epochs of the standard deviation


@dataclass(frozen=True, eq=False)
class Recording:
    """One channel of a recording on its grid of scoring epochs.

    Epoch ``i`` starts ``30 * i`` seconds after the recording's first sample. Unusable
    epochs keep their place.
    """

    signals: NDArray[np.float32]  # (n_epochs, 3000), µV, 100 Hz, band-passed, finite
    # Why each epoch is unusable: the first that applies of "pause", "not finite",
    # "flat", "clipped" and "bad annotation"; else "".
    reasons: NDArray[np.str_]
    ch_name: str  # as the recording names it
    start: datetime | None  # of the first sample in UTC (meas_date + first_time)
    annotations: mne.Annotations  # onsets in s from the first sample
    # The same as MNE holds them: without a date, cropping leaves their onsets.
    given_annotations: mne.Annotations | None = None

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
    filter; band and order are our choice) as a whole, and cut into epochs of 30 s; an
    incomplete last epoch is dropped. ``raw`` is a Raw, which is not modified, or a file
    for :func:`mne.io.read_raw`, of which only the chosen channel is read, in EDF and
    BDF at its own sampling rate. ``picks`` are as in `pick_channel`.

    Pauses are brought back, so that all times are true. What is missing or constant is
    bridged by a line before filtering, so that the neighbouring epochs come out as
    without it. A TypeError, FileNotFoundError or ValueError if ``raw`` is not a
    recording that can be read, or no epoch of the channel can be staged.
    """
    if isinstance(raw, BaseRaw):
        ch_name, header = pick_channel(raw, picks), header_of(raw)
        if header is not None:
            _check_file(header)
    else:
        raw, ch_name, header = _open(raw, picks)
    info, sfreq = raw.info, raw.info["sfreq"]
    _check_rate(sfreq)
    parts, first_time, annotations = find_parts(raw, header)
    start, given_annotations = info["meas_date"], raw.annotations
    if start and header and not header.has_standard_time and start.time() == time():
        start = header.start
    if start is not None:
        start += timedelta(seconds=first_time)
    signal = _read_signal(raw, ch_name)
    del raw  # it may hold the signals of a file, as large as what follows
    signal, is_pause = insert_pauses(signal, sfreq, parts)
    edges = _epoch_edges(signal.size, sfreq)

    bad = bad_epochs.find_bad(annotations, ch_name, sfreq, signal.size)
    reasons, gaps = bad_epochs.find_unusable(signal, sfreq, edges, bad, is_pause)
    if (reasons != "").all():
        raise ValueError(
            f"Channel {ch_name!r} cannot be staged. Unusable: "
            f"{bad_epochs.count_reasons(reasons)}. Pass another channel as 'picks'."
        )
    if faults := bad_epochs.find_faults(signal, sfreq, edges, reasons == ""):
        warn(
            f"Channel {ch_name!r} was {' and '.join(faults)} by its recorder, so its "
            "stages may be wrong; stage another channel if you can."
        )
    bad_epochs.bridge(signal, gaps)
    signals = _make_epochs(signal, sfreq, len(reasons))
    del signal
    bad_epochs.mark_near_flat(signals, reasons)
    usable = np.flatnonzero(reasons == "")
    sample = signals[usable[:: -(-usable.size // 60)]]  # enough for the checks
    _check_filters(info, ch_name, header, sample)
    _check_amplitude(sample, ch_name)
    return Recording(signals, reasons, ch_name, start, annotations, given_annotations)


def _open(
    fname: str | os.PathLike, picks: Any
) -> tuple[BaseRaw, str, EdfHeader | None]:
    """Open a file; return the recording, its channel, and its header if it is EDF."""
    if not isinstance(fname, str | os.PathLike):
        raise TypeError(
            "A recording must be a mne.io.Raw or the path of a file that MNE can read, "
            f"got {type(fname)} instead. To stage an array, pass mne.io.RawArray."
        )
    path = Path(fname).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"There is no recording {str(path)!r}.")
    if path.suffix.lower() not in (".edf", ".bdf"):
        if (first := first_part(path)) is not None:
            raise ValueError(
                f"{str(path)!r} is a part of {first.name}, with which it is read. Pass "
                "that file instead."
            )
        raw = _read(path)
        return raw, pick_channel(raw, picks), None
    try:
        header = read_edf_header(path)
        _check_file(header)
    except ValueError as error:
        raise ValueError(
            f"Cannot read {str(path)!r} as a recording: {error}"
        ) from error
    # The one channel is chosen on the header, because MNE brings all channels that it
    # reads to the highest of their rates. It numbers names that are there twice.
    with collect_warnings():
        info = mne.create_info(header.signal_names, sfreq=1.0, ch_types="eeg")
    channels = mne.io.RawArray(np.zeros((len(info.ch_names), 1)), info, verbose="error")
    raw = _read(path, header, pick_channel(channels, picks))
    # MNE knows the names of triggers.
    return raw, pick_channel(raw, raw.ch_names[0]), header


class _Signals(FileIO):
    """An EDF file for MNE whose annotation channels have another name.

    MNE would read the file twice, and take longer for the time of each data record than
    for all signals.
    """

    def read(self, size: int | None = -1) -> bytes:
        return super().read(size).replace(b"DF Annotations ", b"DF annotations ")


def first_part(path: Path) -> Path | None:
    """Return the FIF file that MNE has split if this is a later part, else None."""
    name = re.sub(r"-\d+(?=\.fif)", "", path.name)
    name = re.sub(r"(?<=_split-)\d+", lambda number: "1".zfill(len(number[0])), name)
    first = path.with_name(name)
    if name == path.name or ".fif" not in name or not first.is_file():
        return None
    with suppress(ValueError), collect_warnings():
        parts = _read(first).filenames
        return first if path.name in [part.name for part in parts] else None
    return None


def _check_file(header: EdfHeader) -> None:
    """Refuse an EDF file without signals, and warn about one that is cut short."""
    if not header.signal_names:
        raise ValueError(
            "It holds annotations but no signals, as hypnograms do. Pass the recording "
            "that it belongs to, and this file as its hypnogram."
        )
    n_records = header.n_data_bytes // max(header.record_bytes, 1)
    if n_records < 1:
        raise ValueError("It has a header but no data. Copy or download it again.")
    name = header.path.name
    found, stated, missing = (
        _in_words(n * header.record_duration)
        for n in (n_records, header.n_records, header.n_records - n_records)
    )
    if header.n_records < 0:
        warn(
            f"{name} was not closed properly by its recorder, so its header does not "
            f"state its length; {found} of signals were found."
        )
    elif n_records < header.n_records:
        warn(
            f"{name} is cut short: {missing} of the {stated} that its header states "
            "are missing. Copy or download it again."
        )
    elif n_records > header.n_records:
        warn(f"{name} holds {found} of signals, but its header states {stated}.")


def _in_words(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"


def _read(
    path: Path, header: EdfHeader | None = None, ch_name: str | None = None
) -> BaseRaw:
    """Open a recording; of an EDF file, read one channel and the annotations."""
    try:
        if header is None:
            return mne.io.read_raw(path)
        is_edf = path.suffix.lower() == ".edf"
        read = mne.io.read_raw_edf if is_edf else mne.io.read_raw_bdf
        options = {"exclude_after_unique": True, "preload": True, "verbose": "WARNING"}
        # The warnings of MNE are about other channels, or about what is checked here.
        # The level "ERROR" would be that of all threads, and silence theirs too.
        with collect_warnings(), _Signals(path) as file:
            raw = read(file, include=[ch_name], **options)
        annotations = read_annotations(header)
        return raw.set_annotations(annotations, emit_warning=False, on_missing="ignore")
    except Exception as error:
        if path.suffix.lower() in _HYPNOGRAMS:
            raise ValueError(
                f"{str(path)!r} is not a recording. If it is a hypnogram, pass the "
                "recording that it belongs to, and this file as its hypnogram."
            ) from error
        advice = "Pass a file that mne.io.read_raw can read, or a Raw."
        if "must be in" in str(error):
            advice = (
                "The start time in its header does not exist. Correct it in the header."
            )
        raise ValueError(
            f"MNE cannot read {str(path)!r} as a recording: {error} {advice}"
        ) from error


def _read_signal(raw: BaseRaw, ch_name: str) -> NDArray[np.float64]:
    """Read one channel in µV."""
    # An index, because MNE takes names such as "eeg" for all channels of that type.
    try:
        signal = raw.get_data(picks=[raw.ch_names.index(ch_name)], units="uV")[0]
    except (ValueError, OSError) as error:
        raise ValueError(
            f"The data of channel {ch_name!r} cannot be read ({error}): the file may "
            "be damaged or cut short. Copy or download it again."
        ) from error
    if np.iscomplexobj(signal):
        raise ValueError(
            f"Channel {ch_name!r} holds complex numbers, as Raw.apply_hilbert makes "
            "them; pass the recording as measured."
        )
    return signal


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
            f"The recording is sampled at {sfreq:g} Hz, so it contains nothing above "
            f"{sfreq / 2:g} Hz; the network expects EEG up to {BAND[1]:g} Hz."
        )


def _check_filters(
    info: mne.Info, ch_name: str, header: EdfHeader | None, signals: NDArray
) -> None:
    """Warn about a recording that was filtered to less than the band before.

    The filters are those that the recording states, or that a sample of usable
    ``signals`` shows. MNE keeps one pair, which may be that of another channel.
    """
    highpass, lowpass = info["highpass"], info["lowpass"]
    if header is not None:
        filters = dict(zip(header.ch_names, header.filters, strict=True))
        own = filters.get(ch_name, (None, None))
        highpasses, lowpasses = zip(*filters.values(), strict=True)
        # What no channel of the file has was applied in memory, to all channels.
        if highpass in (0, *highpasses):
            highpass = own[0]
        if lowpass in (info["sfreq"] / 2, *lowpasses):
            lowpass = own[1]
    elif not all(map(standard_name, info["ch_names"])):
        highpass = lowpass = None
    found = []
    # A low-pass near the Nyquist frequency comes with the rate, which warned already.
    if lowpass and lowpass < min(MIN_LOWPASS, 0.75 * info["sfreq"] / 2):
        found.append(f"low-pass filtered at {lowpass:g} Hz (under {MIN_LOWPASS:g})")
    elif _is_low_passed(signals):
        found.append("low-pass filtered (it has hardly any power above 16 Hz)")
    if highpass and highpass > MAX_HIGHPASS:
        found.append(f"high-pass filtered at {highpass:g} Hz (over {MAX_HIGHPASS:g})")
    if found:
        warn(
            f"Channel {ch_name!r} was {' and '.join(found)} before; stage the "
            "unfiltered recording if you can."
        )


def _is_low_passed(signals: NDArray[np.float32]) -> bool:
    freqs, density = welch(signals, SFREQ, nperseg=256)
    log_power = np.log(np.median(density, axis=0) + 1e-30)
    slow, fast = (freqs >= 2) & (freqs < 9), (freqs >= 16) & (freqs < 22)
    return log_power[fast].mean() - log_power[slow].mean() < _MIN_FAST_POWER


def _make_epochs(
    signal: NDArray[np.float64], sfreq: float, n_epochs: int
) -> NDArray[np.float32]:
    """Resample, band-pass and cut a signal; return (n_epochs, n_times)."""
    ratio = Fraction(SFREQ / sfreq).limit_denominator(MAX_DENOMINATOR)
    sos = butter(FILTER_ORDER, BAND, "bandpass", fs=SFREQ, output="sos")

    def response(n_fft: int) -> NDArray:
        return np.abs(freqz_sos(sos, rfftfreq(n_fft, 1 / SFREQ), fs=SFREQ)[1]) ** 2

    filtered = filter_signal(signal, response, round(FILTER_MARGIN * SFREQ), ratio)
    # Where the ratio is only nearly exact, each epoch is looked up by its time, so that
    # the grid does not drift.
    starts = np.arange(n_epochs) * (EPOCH_DURATION * sfreq * float(ratio))
    starts = np.rint(starts).astype(np.intp)
    if lacking := max(0, starts[-1] + N_TIMES - filtered.size):
        filtered = np.pad(filtered, (0, lacking), "edge")
    if (np.diff(starts) == N_TIMES).all():
        return filtered[: n_epochs * N_TIMES].reshape(n_epochs, N_TIMES)
    return sliding_window_view(filtered, N_TIMES)[starts]


def _check_amplitude(signals: NDArray[np.float32], ch_name: str) -> None:
    """Warn if the amplitude of usable epochs is not that of EEG in volts."""
    typical = np.median(signals.std(axis=1))
    if not AMPLITUDE_RANGE[0] <= typical <= AMPLITUDE_RANGE[1]:
        warn(
            f"Channel {ch_name!r} has an amplitude of {typical:.3g} µV (median over "
            "epochs of the standard deviation), but EEG in sleep has about 5-100 µV. "
            "MNE expects volts: check the unit of the recording."
        )
