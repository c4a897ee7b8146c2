"""The file formats of hypnograms: CSV, BIDS events TSV, EDF+ annotations, NSRR XML."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import TYPE_CHECKING

import mne
import numpy as np
import pandas as pd
from mne.utils import logger

from .edf_header import describe_damage
from .nsrr_xml import read_nsrr_xml

if TYPE_CHECKING:
    from pathlib import Path

    from yasa import Hypnogram

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN")
_MONTHS += ("JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_NO_DATE = datetime(1985, 1, 1, tzinfo=UTC)
# Only one way to match a number: with two, thousands of digits would take hours.
_TAL = re.compile(rb"([+-]\d+(?:\.\d*)?)(?:\x15(\d+(?:\.\d*)?))?\x14([^\0]*)\x14\0")
_TALS_PER_RECORD = 1000  # keeps a record under the 61,440 bytes that EDF asks for


def csv_bytes(hypno: Hypnogram) -> bytes:
    """Write a hypnogram as a table with one row per epoch.

    Parameters
    ----------
    hypno : Hypnogram
        The hypnogram.

    Returns
    -------
    content : bytes
        The CSV file: epoch number from 0, onset and duration in s, the time if the
        start is known, stage, scorer if there is one, and a column per probability.
    """
    duration = pd.Timedelta(hypno.freq).total_seconds()
    epoch = np.arange(hypno.n_epochs)
    columns = {"epoch": epoch, "onset": epoch * duration, "duration": duration}
    if hypno.start is not None:
        columns["time"] = [time.isoformat() for time in hypno.hypno.index]
    columns["stage"] = hypno.hypno.to_numpy()
    if hypno.scorer is not None:
        columns["scorer"] = hypno.scorer
    table = pd.DataFrame(columns)
    if hypno.proba is not None:
        table = table.join(hypno.proba)
    return table.to_csv(index=False, lineterminator="\n").encode()


def tsv_bytes(annotations: mne.Annotations) -> bytes:
    """Write annotations as a BIDS events table.

    Parameters
    ----------
    annotations : Annotations
        The annotations; ``orig_time`` is left out, as BIDS keeps dates elsewhere.

    Returns
    -------
    content : bytes
        The TSV file with the columns onset, duration (s) and trial_type.
    """
    table = pd.DataFrame(
        {
            "onset": annotations.onset,
            "duration": annotations.duration,
            "trial_type": annotations.description.astype(object),
        }
    )
    return table.to_csv(sep="\t", index=False, lineterminator="\n").encode()


def edf_bytes(annotations: mne.Annotations) -> bytes:
    """Write annotations as an EDF+ file that holds nothing else.

    The layout is that of PhysioNet's Sleep-EDF hypnograms: EDF+C, data records of
    0 s, one signal "EDF Annotations". Each record of a long night repeats the
    time-keeping annotation.

    Parameters
    ----------
    annotations : Annotations
        The annotations; ``orig_time`` goes to the header.

    Returns
    -------
    content : bytes
        The EDF+ file.
    """
    start = annotations.orig_time
    # EDF headers hold whole seconds: the rest goes into every onset.
    fraction = 0.0 if start is None else start.microsecond / 1e6
    tals = [
        f"{_decimal(onset + fraction, sign=True)}\x15{_decimal(duration)}"
        f"\x14{description}\x14\0".encode()
        for onset, duration, description in zip(
            annotations.onset,
            annotations.duration,
            annotations.description,
            strict=True,
        )
    ]
    time_keeping = f"{_decimal(fraction, sign=True)}\x14\x14\0".encode()
    records = [
        time_keeping + b"".join(tals[first : first + _TALS_PER_RECORD])
        for first in range(0, len(tals), _TALS_PER_RECORD)
    ]
    n_samples = (max(map(len, records)) + 1) // 2  # of two bytes each
    header = _edf_header(start, len(records), n_samples)
    return header + b"".join(record.ljust(2 * n_samples, b"\0") for record in records)


def load_hypnogram(
    fname: Path, scorer: str | None = None
) -> Hypnogram | mne.Annotations:
    """Read a hypnogram file, whatever its format.

    Parameters
    ----------
    fname : Path
        An existing file.
    scorer : str | None
        The scorer to name if a CSV file names none.

    Returns
    -------
    hypno : Hypnogram | Annotations
        A Hypnogram from the CSV of ``csv_bytes``, else Annotations.

    Raises
    ------
    ValueError
        If the file is none that can be read.
    """
    suffix = fname.suffix.lower()
    if suffix == ".tsv":
        return _read_tsv(fname)
    if suffix == ".csv" and "stage" in _csv_columns(fname):
        return _read_csv(fname, scorer)
    if suffix in (".edf", ".bdf"):
        return _read_edf(fname)
    if suffix == ".xml":
        return read_nsrr_xml(fname)
    try:
        return mne.read_annotations(fname)
    except Exception as error:  # MNE's readers raise whatever the content leads to
        raise ValueError(
            f"The file cannot be read as a hypnogram ({error}). Pass a .csv or .tsv "
            "file of write_hypnogram, a BIDS events .tsv, an .edf with annotations, "
            "an NSRR .xml, or another file that mne.read_annotations reads."
        ) from error


def _decimal(seconds: float, *, sign: bool = False) -> str:
    return np.format_float_positional(round(seconds, 6), trim="-", sign=sign)


def _edf_header(start: datetime | None, n_records: int, n_samples: int) -> bytes:
    """Make the 512 bytes before the records of an annotations-only EDF+ file."""
    date, day = _NO_DATE, "X"
    if start is not None:
        date = start
        day = f"{date.day:02}-{_MONTHS[date.month - 1]}-{date.year:04}"
    fields = [
        ("0", 8),
        ("X X X X", 80),
        (f"Startdate {day} X X X", 80),
        # EDF+ wants "yy" outside 1985-2084, where only the long date tells the
        # century; EDFbrowser reads two digits alone.
        (f"{date.day:02}.{date.month:02}.{date.year % 100:02}", 8),
        (f"{date.hour:02}.{date.minute:02}.{date.second:02}", 8),
        ("512", 8),
        ("EDF+C", 44),
        (str(n_records), 8),
        ("0", 8),
        ("1", 4),
        ("EDF Annotations", 16),
        ("", 80),
        ("", 8),
        ("-1", 8),
        ("1", 8),
        ("-32768", 8),
        ("32767", 8),
        ("", 80),
        (str(n_samples), 8),
        ("", 32),
    ]
    return "".join(text.ljust(width) for text, width in fields).encode("ascii")


def _read_edf(fname: Path) -> mne.Annotations:
    """Read EDF+ annotations, with the start in the header, which MNE leaves out."""
    damage = describe_damage(fname)
    if damage is not None:
        raise ValueError(damage)
    content = fname.read_bytes()
    tals = _TAL.findall(content, 256)
    # The first one keeps the time: it has no text, and the fraction of a second that
    # the header cannot hold.
    fraction = float(tals[0][0]) if tals and not tals[0][2] else 0.0
    start = _edf_start(content[:256])
    if start is not None and 0 < fraction < 1:
        start += timedelta(seconds=fraction)
    rows = [
        # Stages are ASCII; other events may be in any encoding and must not matter.
        (round(float(onset) - fraction, 6), float(duration or 0), text.decode("latin1"))
        for onset, duration, texts in tals
        for text in texts.split(b"\x14")
        if text
    ]
    onset, duration, description = zip(*rows, strict=True) if rows else ((), (), ())
    return mne.Annotations(onset, duration, description, orig_time=start)


def _edf_start(header: bytes) -> datetime | None:
    """Find the start of an EDF recording by MNE's rules, None if anonymised."""
    long_date = re.match(rb"Startdate (\d\d)-([A-Z]{3})-(\d{4})", header[88:168])
    try:
        if long_date:
            day, month, year = (part.decode() for part in long_date.groups())
            date = int(year), _MONTHS.index(month) + 1, int(day)
        else:
            day, month, year = (int(part) for part in header[168:176].split(b"."))
            date = year + (2000 if year < 85 else 1900), month, day
        time = (int(part) for part in header[176:184].split(b"."))
        start = datetime(*date, *time, tzinfo=UTC)
    except ValueError:
        logger.info("The EDF header holds no valid start: onsets count from 0 s.")
        return None
    return None if start == _NO_DATE else start


def _csv_columns(fname: Path) -> list[str]:
    with fname.open(encoding="utf-8-sig", errors="replace") as file:
        return file.readline().strip().split(",")


def _read_table(fname: Path, sep: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read a table of text; raise if it is damaged or lacks a column."""
    try:
        text = fname.read_text("utf-8-sig")
        table = pd.read_csv(StringIO(text), sep=sep, dtype=str, keep_default_na=False)
    except ValueError as error:
        raise ValueError(
            f"It is no table ({str(error).strip()}). Pass a file as write_hypnogram "
            "makes it."
        ) from error
    missing = [name for name in columns if name not in table]
    if missing or table.empty:
        raise ValueError(
            f"The table needs the columns {', '.join(columns)} and a row at least; "
            f"found {list(table)[:20]} and {len(table)} rows."
        )
    header, last = text.partition("\n")[0], text.rstrip("\r\n").rpartition("\n")[2]
    if last.count(sep) < header.count(sep) or (table[list(columns)] == "").any(
        axis=None
    ):
        raise ValueError(
            f"A cell of the columns {', '.join(columns)} is empty or missing: the file "
            "may be cut short. Get it anew, or mend the row."
        )
    # Pandas takes the first cells for names.
    if not isinstance(table.index, pd.RangeIndex):
        raise ValueError("The rows of the table have more cells than its header.")
    return table


def _to_numbers(column: pd.Series) -> pd.Series:
    # pandas 2 reads floats to some digits only.
    try:
        return column.map(float)
    except ValueError as error:
        raise ValueError(
            f"The column {column.name!r} must hold numbers ({str(error)[:200]})."
        ) from error


def _read_csv(fname: Path, scorer: str | None) -> Hypnogram:
    """Read the table of ``csv_bytes``, to the last digit."""
    from yasa import Hypnogram

    table = _read_table(fname, ",", ("epoch", "duration", "stage"))
    epoch = np.arange(len(table))
    if not np.array_equal(_to_numbers(table["epoch"]), epoch):
        raise ValueError(
            "The column 'epoch' does not count 0, 1, 2, ...: rows are missing or out "
            "of order. Write an unscored epoch as UNS instead of leaving it out."
        )
    duration = _to_numbers(table["duration"])
    onset = _to_numbers(table["onset"]) if "onset" in table else epoch * duration
    if not (duration == duration[0]).all() or not np.allclose(onset, epoch * duration):
        raise ValueError(
            "The epochs do not follow each other at one duration; mend the columns "
            "'onset' and 'duration', or write the table as BIDS events (.tsv)."
        )
    known = {"epoch", "onset", "duration", "time", "stage", "scorer"}
    proba = table.drop(columns=list(known & set(table))).apply(_to_numbers)
    try:
        return Hypnogram(
            table["stage"].to_numpy(),
            freq=f"{duration[0]:g}s",
            start=table["time"][0] if "time" in table else None,
            scorer=table["scorer"][0] if "scorer" in table else scorer,
            proba=None if proba.empty else proba,
        )
    except Exception as error:  # YASA and pandas raise whatever the content leads to
        raise ValueError(f"The table is no valid hypnogram: {error}") from error


def _read_tsv(fname: Path) -> mne.Annotations:
    """Read a BIDS events table, "n/a" durations as 0 s."""
    table = _read_table(fname, "\t", ("onset", "duration", "trial_type"))
    onset = _to_numbers(table["onset"])
    duration = _to_numbers(table["duration"].replace("n/a", "0"))
    return mne.Annotations(onset, duration, table["trial_type"].to_numpy())
