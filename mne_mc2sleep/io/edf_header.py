"""Read the header and the annotations of an EDF or BDF file, not its signals."""

import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import mne
import numpy as np
from mne.io import BaseRaw
from numpy.typing import NDArray

ANNOTATION_CHANNELS = ("EDF Annotations", "BDF Annotations")
# Only one way to match a number: with two, thousands of digits would take hours.
_ANNOTATION = re.compile(
    rb"([+-]\d{1,15}(?:\.\d*)?)(?:\x15(\d{1,15}(?:\.\d*)?))?\x14([^\0]*)\x14\0"
)


class EdfHeader(NamedTuple):
    """The part of a header that says what the file holds and whether it is whole."""

    path: Path
    n_records: int  # -1 in files whose recording was not closed properly
    record_duration: float  # s; 0 in files of annotations
    record_bytes: int
    ch_names: list[str]
    n_samples: list[int]  # of each channel in one data record
    # High-pass and low-pass of each channel in Hz, None if not stated.
    filters: list[tuple[float | None, float | None]]
    is_discontinuous: bool  # pauses between data records are possible (EDF+D, BDF+D)
    start: datetime | None  # in UTC, as in MNE, but with any separators
    has_standard_time: bool  # MNE can read it; else it takes midnight
    data_offset: int
    n_data_bytes: int  # that the file holds, which may be cut short

    @property
    def signal_names(self) -> list[str]:
        """The names of the channels that are not annotations."""
        return [name for name in self.ch_names if name not in ANNOTATION_CHANNELS]


def read_edf_header(fname: Path) -> EdfHeader:
    """Read the header of an EDF or BDF file; a ValueError if it has none."""
    with fname.open("rb") as file:
        fixed = file.read(256)
        if not fixed:
            raise ValueError("The file is empty. Copy or download it again.")
        try:
            data_offset, n_records = int(fixed[184:192]), int(fixed[236:244])
            record_duration, n_signals = float(fixed[244:252]), int(fixed[252:256])
            signals = file.read(256 * n_signals)
            n_samples = list(map(int, _fields(signals, 216, 8, n_signals)))
        except ValueError as error:
            raise ValueError(
                "The file has no valid EDF header. Copy or download it again."
            ) from error
    return EdfHeader(
        fname,
        n_records,
        record_duration,
        record_bytes=(2 if fixed[:1] == b"0" else 3) * sum(n_samples),
        # NULs belong to a name, as in MNE, but not to that of annotations.
        ch_names=[
            re.sub("(?<=DF Annotations)\0", "", name)
            for name in _fields(signals, 0, 16, n_signals)
        ],
        n_samples=n_samples,
        filters=[
            (_frequency("HP", prefilter), _frequency("LP", prefilter))
            for prefilter in _fields(signals, 136, 80, n_signals)
        ],
        is_discontinuous=fixed[192:197] in (b"EDF+D", b"BDF+D"),
        start=_read_start(fixed),
        has_standard_time=bool(re.fullmatch(rb"\s*\d+\.\d+\.\d+\s*", fixed[176:184])),
        data_offset=data_offset,
        n_data_bytes=max(fname.stat().st_size - data_offset, 0),
    )


def read_whole_edf_header(fname: Path) -> EdfHeader:
    """Read the header of a file; a ValueError if the file is not whole."""
    header = read_edf_header(fname)
    missing = header.n_records * header.record_bytes - header.n_data_bytes
    if header.n_records == 0 or missing > 0:
        raise ValueError(
            f"The file is cut short: its header states {header.n_records} data "
            f"records, but {max(missing, 0)} bytes of them are missing. Copy or "
            "download it again."
        )
    return header


def header_of(raw: BaseRaw) -> EdfHeader | None:
    """Return the header of the EDF file behind a Raw, None without one."""
    fname = raw.filenames[0] if len(raw.filenames) == 1 else None
    if fname and fname.suffix.lower() in (".edf", ".bdf") and fname.is_file():
        with suppress(ValueError):
            return read_edf_header(fname)
    return None


def read_annotation_records(header: EdfHeader) -> list[NDArray[np.uint8]]:
    """Return what each annotation channel holds, of shape (n_records, n_bytes)."""
    # Mapped, because only a small part of a recording is read; an empty file cannot be.
    content = np.empty(0, np.uint8)
    if header.n_data_bytes:
        content = np.memmap(header.path, np.uint8, "r", offset=header.data_offset)
    n_records = content.size // max(header.record_bytes, 1)
    records = content[: n_records * header.record_bytes].reshape(n_records, -1)
    width = header.record_bytes // max(sum(header.n_samples), 1)
    ends = np.cumsum(header.n_samples, dtype=int) * width
    return [
        records[:, end - width * n : end]
        for name, n, end in zip(header.ch_names, header.n_samples, ends, strict=True)
        if name in ANNOTATION_CHANNELS
    ]


def parse_annotations(
    records: list[NDArray[np.uint8]],
) -> tuple[float, list[tuple[float, float, str]]]:
    """Return the onset of the first record in s, 0 if not stated, and the annotations.

    An annotation is its onset from the first record, its duration, and its text.
    """
    found = _ANNOTATION.findall(b"".join(channel.tobytes() for channel in records))
    origin = float(found[0][0]) if found and not found[0][2] else 0.0
    return origin, [
        (round(float(onset) - origin, 6), float(duration or 0), _decode(text))
        for onset, duration, texts in found
        if texts
        for text in texts.split(b"\x14")
        if text
    ]


def read_annotations(header: EdfHeader) -> mne.Annotations:
    """Return the annotations of a file, as MNE does; the first record begins at 0 s."""
    rows = []
    for onset, duration, text in parse_annotations(read_annotation_records(header))[1]:
        name, _, ch_name = text.partition("@@")
        of_channel = ch_name in header.signal_names
        channels = (ch_name,) if of_channel else ()
        rows.append((onset, duration, name if of_channel else text, channels))
    onsets, durations, names, ch_names = zip(*rows, strict=True) if rows else ([],) * 4
    return mne.Annotations(onsets, durations, names, ch_names=ch_names)


def _read_start(fixed: bytes) -> datetime | None:
    """Return the start that the first 256 bytes of a header state."""

    def numbers(field: bytes) -> list[int]:
        return [int(number) for number in re.split(rb"[.:,/-]", field)]

    with suppress(ValueError):
        hour, minute, second = numbers(fixed[176:184])
        recording = fixed[88:168].decode("latin1").split()
        # Only EDF+ gives the century.
        try:
            date = datetime.strptime(recording[1], "%d-%b-%Y")
        except (ValueError, IndexError):
            day, month, year = numbers(fixed[168:176])
            date = datetime(year + (2000 if year < 85 else 1900), month, day)
        return date.replace(hour=hour, minute=minute, second=second, tzinfo=UTC)
    return None


def _decode(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin1")


def _frequency(kind: str, prefilter: str) -> float | None:
    """Return a frequency of a text such as "HP:0.3Hz LP:35Hz"."""
    found = re.search(
        rf"\b{kind}\W{{0,3}}(\d+(?:[.,]\d+)?)\s*(?:hz|\W|$)", prefilter, re.I
    )
    return float(found[1].replace(",", ".")) if found else None


def _fields(content: bytes, first: int, width: int, n_fields: int) -> list[str]:
    """Return a field of each signal; those before take ``first`` bytes per signal."""
    first *= n_fields
    fields = [content[first + width * i :][:width] for i in range(n_fields)]
    return [field.strip().decode("latin1") for field in fields]
