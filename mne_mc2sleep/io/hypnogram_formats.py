"""The file formats of hypnograms: one table with a reader and a writer for each.

A new format is a row in ``FORMATS``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

import mne
import numpy as np
import pandas as pd
from mne.utils import logger

from .._constants import EPOCH_DURATION
from .._utils import warn
from .edf_header import (
    describe_damage,
    parse_annotations,
    read_annotation_records,
    read_edf_header,
)
from .stage_intervals import (
    Intervals,
    as_utc,
    intervals_from_annotations,
    intervals_from_values,
    pick_stages,
)
from .stage_tables import clock_seconds, read_rows, read_table
from .stage_xml import read_stage_xml

if TYPE_CHECKING:
    from pathlib import Path

    from yasa import Hypnogram

    from .stage_tables import StageTable

_NO_DATE = datetime(1985, 1, 1, tzinfo=UTC)
_UCDDB_CODES = ("W", "R", "N1", "N2", "N3", "N4", "MT", "?", "?")
_FOREIGN = {
    (".xlsx", ".xls", ".ods"): "a spreadsheet; save it as 'CSV UTF-8'",
    (".mat",): "a MATLAB file; load it by scipy.io.loadmat and pass the array",
    (".h5", ".hdf5"): "an HDF5 file; load it by h5py and pass the array",
    (".npz", ".pkl", ".pickle"): "an archive; load it and pass the array of stages",
    (".rml",): "a Philips Sleepware study; export the stages as EDF+ or text",
    (".pdf", ".doc", ".docx"): "a report; export the stages of each epoch as text",
    (".zip", ".gz", ".7z", ".rar"): "an archive; unpack it",
}


@dataclass(frozen=True)
class Source:
    """A file to read, with what the user says about it."""

    path: Path
    content: bytes
    scorer: str | None
    epoch_duration: float | None

    @cached_property
    def text(self) -> str:
        """The content as text, "" if it is binary."""
        return _decode(self.content)

    @property
    def step(self) -> float:
        """The duration of an epoch in s, where the file does not know it."""
        return EPOCH_DURATION if self.epoch_duration is None else self.epoch_duration


class Format(NamedTuple):
    """A row of the table of formats."""

    name: str
    suffixes: tuple[str, ...]
    """Lower-case endings of the names of such files; none for any."""
    matches: Callable[[Source], bool]
    """Whether a file of that suffix is of this format."""
    read: Callable[[Source], Hypnogram | Intervals]
    """The reader: a Hypnogram of one value per epoch, or Intervals."""
    write: Callable[[Hypnogram, mne.Annotations], bytes] | None = None
    """The writer, from a hypnogram and its runs as annotations."""


def load_hypnogram(
    fname: Path, scorer: str | None = None, epoch_duration: float | None = None
) -> Hypnogram | Intervals:
    """Read a hypnogram file: a Hypnogram if it has one value per epoch, else Intervals.

    ``scorer`` and ``epoch_duration`` (s) are used where the file does not hold them. A
    ValueError if the file is empty, damaged, or of no format in the table.
    """
    name = fname.name.lower()
    for suffixes, what in _FOREIGN.items():
        if name.endswith(suffixes) and not name.endswith(".fif.gz"):
            raise ValueError(f"The file is {what}.")
    source = Source(fname, fname.read_bytes(), scorer, epoch_duration)
    if not source.content.strip():
        raise ValueError("The file is empty: export it again, or copy it again.")
    for format_ in FORMATS:
        if name.endswith(format_.suffixes or "") and format_.matches(source):
            return format_.read(source)
    known = "; ".join(dict.fromkeys(format_.name for format_ in FORMATS))
    raise ValueError(
        f"The file cannot be read as a hypnogram: it is none of {known}. Export the "
        "stages in one of these formats, or pass them as an array."
    )


def _decode(content: bytes) -> str:
    """Decode text in UTF-8, UTF-16 or cp1252; return "" for what is not text."""
    encodings = ["utf-8-sig", "cp1252", "latin1"]
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encodings = ["utf-16"]
    elif b"\0" in content[:2]:
        encodings = ["utf-16-be" if content[:1] == b"\0" else "utf-16-le"]
    for encoding in encodings:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        return "" if "\0" in text else text
    return ""


def _per_epoch(
    source: Source,
    values: object,
    step: float | None = None,
    start: object = None,
    scorer: str | None = None,
    proba: pd.DataFrame | None = None,
) -> Hypnogram:
    """Make a Hypnogram of one value per epoch."""
    from yasa import Hypnogram

    if step is not None and source.epoch_duration not in (None, step):
        raise ValueError(
            f"The file has epochs of {step:g} s, but epoch_duration="
            f"{source.epoch_duration:g} was requested."
        )
    step = source.step if step is None else step
    runs = intervals_from_values(values, step)
    stages = np.repeat(runs.stage, np.rint(runs.duration / step).astype(int))
    return Hypnogram.from_integers(
        stages,
        freq=f"{step:.9g}s",
        start=start,
        scorer=scorer or source.scorer,
        proba=proba,
    )


def _write_csv(hypno: Hypnogram, _annotations: mne.Annotations) -> bytes:
    """Write a table with one row per epoch: all that the hypnogram holds."""
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


def _write_tsv(_hypno: Hypnogram, annotations: mne.Annotations) -> bytes:
    """Write BIDS events; the start is left out, as BIDS keeps dates elsewhere."""
    columns = {
        "onset": annotations.onset,
        "duration": annotations.duration,
        "trial_type": annotations.description.astype(object),
    }
    table = pd.DataFrame(columns)
    return table.to_csv(sep="\t", index=False, lineterminator="\n").encode()


def _write_edf(_hypno: Hypnogram, annotations: mne.Annotations) -> bytes:
    """Write EDF+ annotations, as PhysioNet's Sleep-EDF hypnograms are."""
    import edfio

    start = annotations.orig_time
    if start is not None and not 1985 <= start.year <= 2084:
        warn(f"EDF holds dates from 1985 to 2084, so the start {start} is left out.")
        start = None
    rows = zip(
        annotations.onset, annotations.duration, annotations.description, strict=True
    )
    edf = edfio.Edf(
        [],
        recording=edfio.Recording(startdate=None if start is None else start.date()),
        starttime=None if start is None else start.time(),
        annotations=[edfio.EdfAnnotation(*row) for row in rows],
    )
    return edf.to_bytes()


def _read_edf(source: Source) -> Intervals:
    """Read EDF+ annotations, with the start in the header, which MNE leaves out."""
    damage = describe_damage(source.path)
    if damage is not None:
        raise ValueError(damage)
    header = read_edf_header(source.path)
    # The fraction of a second that the header cannot hold, and the annotations.
    records = read_annotation_records(source.path, header)
    fraction, annotations = parse_annotations(records)
    if not annotations:
        raise ValueError(
            "The EDF file holds no annotations. Pass the file with the scoring; in "
            "Sleep-EDF its name ends in 'Hypnogram.edf'."
        )
    start = header.start
    if start is None:
        logger.info("The EDF header holds no valid start: onsets count from 0 s.")
    elif start == _NO_DATE:
        start = None
    elif 0 < fraction < 1:
        start += timedelta(seconds=fraction)
    return pick_stages(*zip(*annotations, strict=True))._replace(origin=as_utc(start))


def _read_xml(source: Source) -> Hypnogram | Intervals:
    stages = read_stage_xml(source.text)
    if stages.events:
        return pick_stages(*zip(*stages.events, strict=True))
    if stages.epochs:
        step = float(stages.epoch_duration) if stages.epoch_duration else None
        return _per_epoch(source, stages.epochs, step)
    raise ValueError(
        f"The XML (its outermost element is {stages.root!r}) holds no stages as NSRR "
        "or Compumedics ProFusion write them. Export the stages as EDF+ or text."
    )


def _read_json(source: Source) -> Hypnogram:
    from yasa import Hypnogram

    try:
        return Hypnogram.from_dict(json.loads(source.text))
    except Exception as error:  # YASA raises many types
        raise ValueError(
            "The JSON is not a hypnogram of yasa.Hypnogram.to_json. Pass the stages as "
            "an array or a table."
        ) from error


def _read_npy(source: Source) -> Hypnogram:
    try:
        values = np.load(BytesIO(source.content), allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(
            "The file is not a NumPy array of numbers or text; save one by numpy.save."
        ) from error
    if values.ndim == 2 and 1 not in values.shape:
        raise ValueError(
            f"The array has shape {values.shape}. If its columns are the probabilities "
            "of W, N1, N2, N3 and REM, pass array.argmax(axis=1)."
        )
    return _per_epoch(source, values.ravel())


def _read_by_mne(source: Source) -> Intervals:
    try:
        annotations = mne.read_annotations(source.path)
    except Exception as error:  # MNE's readers raise many types
        raise ValueError(
            "The file holds no annotations that MNE can read. Save them by "
            "mne.Annotations.save, as .txt or -annot.fif."
        ) from error
    return intervals_from_annotations(annotations)


def _read_remlogic(source: Source) -> Intervals:
    """Read an event export: a table after a header, with times of day."""
    lines = source.text.splitlines()
    first = next((i for i, line in enumerate(lines) if "[hh:mm:ss]" in line), None)
    if first is None:
        raise ValueError(
            "The RemLogic export has no column 'Time [hh:mm:ss]'; export the events "
            "with time, event and duration."
        )
    header, *rows = read_rows(lines[first:])
    names = [name.partition("[")[0].strip().casefold() for name in header]
    columns = dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else {}
    times = columns.get("time") or columns.get("heure")
    events = columns.get("event") or columns.get("événement")
    durations = columns.get("duration") or columns.get("durée")
    if times is None or events is None or durations is None:
        raise ValueError(
            f"The RemLogic export has the columns {header} and {len(rows)} rows; "
            "export the events with time, event and duration."
        )
    onset = clock_seconds([time.rpartition("T")[2] for time in times])
    date = re.search(r"Recording Date:\s*(\d+)\D(\d+)\D(\d{4})", source.text)
    intervals = pick_stages(onset, [float(d) for d in durations], events)
    return intervals._replace(origin=_clock_origin(date, times[0].rpartition("T")[2]))


def _read_domino(source: Source) -> Hypnogram:
    """Read a sleep profile: a header, then lines such as "22:04:30,000; N2"."""
    rows = re.findall(r"^(\d+:\d\d:\d\d)\S*;\s*(.+?)\s*$", source.text, re.MULTILINE)
    rate = re.search(r"^Rate:\s*([\d.]+)", source.text, re.MULTILINE)
    if rate is None or not rows:
        raise ValueError(
            "The Domino export is not a sleep profile of one stage per epoch. Export "
            "'Sleep profile' ('Schlafprofil') as text."
        )
    times, names = zip(*rows, strict=True)
    step = float(rate[1])
    if not np.allclose(np.diff(clock_seconds(times)), step):
        raise ValueError(
            f"The rows of the Domino export do not follow each other every {step:g} s, "
            "as its header says; export it again."
        )
    date = re.search(r"^Start Time:\s*(\d+)\D(\d+)\D(\d{4})(.*)", source.text, re.M)
    is_american = date is not None and date[4].strip().upper().endswith("M")
    start = _clock_origin(date, times[0], month_first=is_american)
    # "A" stands for epochs without a stage.
    stages = ["?" if name == "A" else name for name in names]
    return _per_epoch(source, stages, step, start)


def _clock_origin(
    date: re.Match | None, time: str, month_first: bool = False
) -> pd.Timestamp | None:
    """Combine a date, day or month first, and a time of day."""
    if date is None:
        logger.info(
            "The file holds no date: its first epoch begins with the recording."
        )
        return None
    first, second, year = (int(part) for part in date.groups()[:3])
    if second > 12 or (month_first and first <= 12):
        first, second = second, first
    try:
        return as_utc(f"{year}-{second:02}-{first:02} {time}")
    except ValueError as error:
        raise ValueError(
            f"The file has no valid start: {date[0].strip()!r}."
        ) from error


def _read_ucddb(source: Source) -> Hypnogram:
    codes = source.text.split()
    if not set(codes) <= set(map(str, range(len(_UCDDB_CODES)))):
        raise ValueError("A hypnogram of UCDDB holds one code from 0 to 8 per line.")
    return _per_epoch(source, [_UCDDB_CODES[int(code)] for code in codes], 30.0)


def _read_text(source: Source) -> Hypnogram | Intervals:
    """Read a table, or one stage per line."""
    table: StageTable = read_table(source.text, source.epoch_duration)
    if table.onset is None or table.duration is None:
        try:
            return _per_epoch(
                source,
                table.names,
                table.step,
                table.start,
                table.scorer,
                table.proba,
            )
        except AssertionError as error:  # YASA checks by assert
            raise ValueError(
                "The probabilities of each epoch must sum to 1, and have a column for "
                "each stage; correct or delete these columns."
            ) from error
    intervals = pick_stages(table.onset, table.duration, table.names)
    return intervals._replace(origin=as_utc(table.start))


def _is_any(_source: Source) -> bool:
    return True


def _starts(pattern: str) -> Callable[[Source], bool]:
    """Return a function that finds a pattern at the beginning of a text."""
    return lambda source: re.match(pattern, source.text.lstrip()) is not None


FORMATS = (
    Format("EDF+ annotations", (".edf", ".bdf"), _is_any, _read_edf, _write_edf),
    Format("NSRR or ProFusion XML", (".xml",), _is_any, _read_xml),
    Format("YASA's JSON", (".json",), _is_any, _read_json),
    Format("NumPy .npy", (".npy",), _is_any, _read_npy),
    Format(
        "MNE annotations", (".fif", ".fif.gz", ".vmrk", ".set"), _is_any, _read_by_mne
    ),
    Format("RemLogic events", (".txt", ".csv"), _starts("RemLogic"), _read_remlogic),
    Format("Domino profile", (".txt", ".csv"), _starts("Signal ID:"), _read_domino),
    Format(
        "UCDDB stages",
        ("_stage.txt",),
        lambda source: (
            re.fullmatch(r"ucddb\d{3}_stage.txt", source.path.name.lower()) is not None
        ),
        _read_ucddb,
    ),
    Format("table of epochs", (".csv",), _starts("."), _read_text, _write_csv),
    Format("BIDS events", (".tsv",), _starts("."), _read_text, _write_tsv),
    Format("one stage per line", (), _starts("."), _read_text),
)
"""The formats, in the order in which they are tried."""

WRITERS = {
    suffix: format_.write
    for format_ in FORMATS
    for suffix in format_.suffixes[:1]
    if format_.write is not None
}
"""The writer of each suffix."""
