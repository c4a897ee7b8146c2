"""Find the pauses in a recording, whose parts MNE joins, and bring them back."""

import re
from typing import NamedTuple

import mne
import numpy as np
import pandas as pd
from mne.io import BaseRaw
from numpy.typing import NDArray

from .edf_header import EdfHeader, read_annotation_records, read_annotations

# Both are our choice.
TOLERANCE = 0.1  # seconds by which parts may be off before it is a pause
MAX_PAUSES = 7 * 86_400.0  # seconds in total: more is a damaged file

_ONSET = re.compile(rb"([+-]\d+(?:\.\d*)?)\x14\x14")


class Parts(NamedTuple):
    """Where the parts of a recording begin, in seconds from its first sample."""

    joined: NDArray[np.float64]  # without the pauses, as MNE reads the recording
    true: NDArray[np.float64]  # with them

    def to_true(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert times without the pauses to true times."""
        part = np.searchsorted(self.joined, seconds, side="right").clip(1) - 1
        return seconds + (self.true - self.joined)[part]


def find_parts(
    raw: BaseRaw, header: EdfHeader | None
) -> tuple[Parts, float, mne.Annotations]:
    """Find where the parts of a recording begin, and its annotations in true time.

    Returns the parts (one if there is no pause), the true time of the first sample in
    seconds from ``meas_date``, and annotations whose onsets are true times from the
    first sample. A pause of unknown length, or records that overlap, are a ValueError.
    """
    given, start = raw.annotations, raw.first_time
    stop = start + raw.n_times / raw.info["sfreq"]
    annotations = mne.Annotations(
        given.onset, given.duration, given.description, ch_names=given.ch_names
    )
    if header and header.is_discontinuous:
        records = read_annotation_records(header)
        parts = _parts_of_records(records, header.record_duration)
        if parts.joined.size > 1:
            annotations = _complete(annotations, read_annotations(header), parts, stop)
    else:
        gaps = _gaps_of_segments(raw) or _gaps_of_boundaries(annotations)
        parts = _parts_of_gaps(gaps, start, stop)
        _stretch(annotations, parts)
    total = parts.true[-1] - parts.joined[-1]
    if total > MAX_PAUSES:
        raise ValueError(
            f"The recording has pauses of {total / 3600:g} h in total, but at most "
            f"{MAX_PAUSES / 3600:g} h can be staged. Stage its parts separately."
        )
    # The recording may be a section of the joined one.
    inside = (parts.joined > start) & (parts.joined < stop)
    joined = np.append(start, parts.joined[inside])
    true = parts.to_true(joined)
    annotations.onset -= true[0]
    return Parts(joined - start, true - true[0]), float(true[0]), annotations


def insert_pauses(
    signal: NDArray[np.float64], sfreq: float, parts: Parts
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return a signal with NaN in the pauses, and which samples these are."""
    if parts.joined.size == 1:
        return signal, np.zeros(signal.size, bool)
    # EEGLAB's boundaries lie half a sample before the next part.
    sources, places = (np.floor(t * sfreq + 0.5).astype(np.intp) for t in parts)
    n_times = places[-1] + signal.size - sources[-1]
    spread, is_pause = np.full(n_times, np.nan), np.ones(n_times, bool)
    for place, part in zip(places, np.split(signal, sources[1:]), strict=True):
        spread[place : place + part.size] = part
        is_pause[place : place + part.size] = False
    return spread, is_pause


def _parts_of_records(
    records: list[NDArray[np.uint8]], record_duration: float
) -> Parts:
    found = [_ONSET.match(record) for record in (records[0] if records else [])]
    onsets = np.array([float(match[1]) for match in found if match])
    if not onsets.size or onsets.size < len(found):
        raise ValueError(
            "The file says that it has pauses (EDF+D), but not when each data record "
            "begins. Convert it to EDF+C, for example with EDFbrowser."
        )
    joined = record_duration * np.arange(onsets.size, dtype=np.float64)
    true = onsets - onsets[0]
    first = [0]
    for i, shift in enumerate(true - joined):
        change = shift - (true - joined)[first[-1]]
        if change < -TOLERANCE:
            raise ValueError(
                f"Data record {i + 1} of the file begins at {true[i]:g} s, before the "
                "end of the one before. The file is damaged; export it again."
            )
        if change > TOLERANCE:
            first.append(i)
    return Parts(joined[first], true[first])


def _complete(
    annotations: mne.Annotations, of_file: mne.Annotations, parts: Parts, stop: float
) -> mne.Annotations:
    """Return the annotations of the file, and those that were added in memory.

    MNE keeps the true onsets of the file, but drops those after the joined end.
    """
    given, stated = (
        list(zip(a.onset, a.description, strict=True)) for a in (annotations, of_file)
    )
    is_kept = [key in given or key[0] >= stop for key in stated]
    added = annotations[[key not in stated for key in given]]
    _stretch(added, parts)
    return of_file[is_kept] + added


def _gaps_of_segments(raw: BaseRaw) -> dict[float, float]:
    """Return when the segments of a BrainVision file begin, and the pause before each.

    The pause is NaN if the file does not give the dates.
    """
    fnames = raw.filenames
    if len(fnames) != 1 or fnames[0] is None:
        return {}
    header = fnames[0].with_suffix(".vhdr")
    text = header.read_text("latin1") if header.is_file() else ""
    interval = re.search(r"^SamplingInterval=([\d.]+)", text, re.M)
    markers = re.search(r"^MarkerFile=(.+?)\s*$", text, re.M)
    if not interval or not markers:
        return {}
    fname = header.parent / markers[1].replace("$b", header.stem)
    text = fname.read_text("latin1") if fname.is_file() else ""
    segments = re.findall(
        r"^Mk\d+=New Segment,[^,]*,(\d+),.*?,.*?(?:,(\d*))?\s*$", text, re.M
    )
    seconds = [(int(place) - 1) * float(interval[1]) * 1e-6 for place, _ in segments]
    dates = pd.to_datetime(
        [date for _, date in segments], format="%Y%m%d%H%M%S%f", errors="coerce"
    )
    gaps = np.diff(dates).astype("timedelta64[us]") / np.timedelta64(1, "s")
    return dict(zip(seconds[1:], gaps - np.diff(seconds), strict=True))


def _gaps_of_boundaries(annotations: mne.Annotations) -> dict[float, float]:
    """Return the boundaries of EEGLAB and of concatenated Raws, and the pause at each.

    EEGLAB may give the length of what was cut out; MNE never does.
    """
    gaps = {}
    for a in annotations:
        name, duration = a["description"], a["duration"]
        is_joint = name in ("BAD boundary", "EDGE boundary") and not duration
        if name == "boundary" or is_joint:
            gaps[a["onset"]] = duration if duration > TOLERANCE else np.nan
    return gaps


def _parts_of_gaps(gaps: dict[float, float], start: float, stop: float) -> Parts:
    """Return the parts that begin at the keys, after pauses of the values."""
    joined, true, total = [0.0], [0.0], 0.0
    for onset, gap in sorted(gaps.items()):
        if not start + TOLERANCE < onset < stop - TOLERANCE and not gap > 0:
            continue
        if not np.isfinite(gap) or gap < -1:
            raise ValueError(
                f"The recording was joined from parts at {onset - start:g} s, and the "
                "length of the pause between them is unknown. Pass them separately "
                "or, if there was no pause, delete the annotations 'boundary', "
                "'BAD boundary' and 'EDGE boundary'."
            )
        if gap > TOLERANCE:
            total += gap
            joined.append(onset)
            true.append(onset + total)
    return Parts(np.array(joined), np.array(true))


def _stretch(annotations: mne.Annotations, parts: Parts) -> None:
    """Convert annotations to true time, in place."""
    if parts.joined.size == 1:
        return
    # An end right at a pause lies before it.
    ends = parts.to_true(annotations.onset + annotations.duration - 1e-6) + 1e-6
    annotations.onset = parts.to_true(annotations.onset)
    annotations.duration = np.maximum(ends - annotations.onset, 0.0)
