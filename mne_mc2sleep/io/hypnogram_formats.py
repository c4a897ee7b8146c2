"""The file formats of hypnograms; a new one is a row in ``FORMATS``."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree

import mne
import numpy as np
import pandas as pd
from mne.utils import logger

from .._constants import EPOCH_DURATION
from .._utils import warn
from . import edf_header
from .stage_intervals import StageEvents, as_events, events_from_values
from .stage_tables import name_columns, read_columns, read_rows, read_table

if TYPE_CHECKING:
    from yasa import Hypnogram

_NO_DATE = datetime(1985, 1, 1, tzinfo=UTC)
_OF_MNE = ("*.fif", "*.fif.gz", "*.vmrk", "*.set")
# The codes of these programs; others are unscored.
_PROFUSION = {"0": "W", "1": "N1", "2": "N2", "3": "N3", "4": "N4", "5": "R", "6": "MT"}
_UCDDB = {"0": "W", "1": "R", "2": "N1", "3": "N2", "4": "N3", "5": "N4", "6": "MT"}
_UCDDB |= {"7": "?", "8": "?"}
_FOREIGN = {
    (".xlsx", ".xls", ".ods"): "a spreadsheet; save it as 'CSV UTF-8'",
    (".mat",): "a MATLAB file; load it by scipy.io.loadmat and pass the array",
    (".h5", ".hdf5"): "an HDF5 file; load it by h5py and pass the array",
    (".npz", ".pkl", ".pickle"): "an archive; load it and pass the array of stages",
    (".rml",): "a Philips Sleepware study; export the stages as EDF+ or text",
    (".pdf", ".doc", ".docx"): "a report; export the stages of each epoch as text",
    (".zip", ".gz", ".7z", ".rar"): "an archive; unpack it",
}


class Format(NamedTuple):
    """A row of the table of formats.

    The reader also gets the duration of an epoch in s, for files that do not hold it,
    and the writer a hypnogram and its runs as annotations.
    """

    name: str
    globs: tuple[str, ...]  # names of such files, lower case; the first to write
    pattern: str | None  # of the beginning of a text; None for what is not text
    read: Callable[[Any, float], StageEvents]  # of the text, or the path if not text
    write: Callable[[Hypnogram, mne.Annotations], bytes] | None = None


def load_hypnogram(
    fname: str | os.PathLike, epoch_duration: float | None = None
) -> StageEvents:
    """Read a hypnogram file.

    A ValueError if its epochs have another duration than ``epoch_duration`` (s).
    """
    fname = Path(fname).expanduser()
    if not fname.exists():
        raise FileNotFoundError(f"The hypnogram file {fname} does not exist.")
    if fname.is_dir():
        raise ValueError("It is a folder; pass the file in it that holds the stages.")
    name = fname.name.lower()
    for suffixes, what in _FOREIGN.items():
        if name.endswith(suffixes) and not name.endswith(".fif.gz"):
            raise ValueError(f"The file is {what}.")
    formats = [x for x in FORMATS if any(fnmatchcase(name, glob) for glob in x.globs)]
    source: Any = fname
    # Without a pattern, a recording of some 100 MB is not read to be decoded.
    if formats[0].pattern is not None:
        source = _decode(fname.read_bytes())
        start = source.lstrip()
        formats = [x for x in formats if re.match(x.pattern or "", start)]
    if not formats:
        known = "; ".join(format_.name for format_ in FORMATS)
        raise ValueError(
            f"The file cannot be read as a hypnogram: it is none of {known}. Export "
            "the stages in one of these formats, or pass them as an array."
        )
    events = formats[0].read(source, epoch_duration or EPOCH_DURATION)
    if events.step is not None and epoch_duration not in (None, events.step):
        raise ValueError(
            f"The file has epochs of {events.step:g} s, but epoch_duration="
            f"{epoch_duration:g} was requested."
        )
    return events


def _decode(content: bytes) -> str:
    """Decode text in UTF-8, UTF-16 or cp1252; return "" for what is not text."""
    if not content.strip():
        raise ValueError("The file is empty: export it again, or copy it again.")
    is_wide = content[:2] in (b"\xff\xfe", b"\xfe\xff") or content[1:2] == b"\0"
    for encoding in ("utf-16",) if is_wide else ("utf-8-sig", "cp1252", "latin1"):
        with suppress(UnicodeDecodeError):
            text = content.decode(encoding)
            return "" if "\0" in text else text
    return ""


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
    names = annotations.description.astype(object)
    columns = {"onset": annotations.onset, "duration": annotations.duration}
    table = pd.DataFrame(columns | {"trial_type": names})
    return table.to_csv(sep="\t", index=False, lineterminator="\n").encode()


def _write_edf(_hypno: Hypnogram, annotations: mne.Annotations) -> bytes:
    """Write EDF+ annotations, as PhysioNet's Sleep-EDF hypnograms are."""
    import edfio

    start = annotations.orig_time
    if start is not None and not 1985 <= start.year <= 2084:
        warn(f"EDF holds dates from 1985 to 2084, so the start {start} is left out.")
        start = None
    recording = edfio.Recording(startdate=start and start.date())
    time = start and start.time()
    runs = [
        edfio.EdfAnnotation(row["onset"], row["duration"], row["description"])
        for row in annotations
    ]
    edf = edfio.Edf([], recording=recording, starttime=time, annotations=runs)
    return edf.to_bytes()


def _read_edf(fname: Path, _step: float) -> StageEvents:
    """Read EDF+ annotations, with the start in the header, which MNE leaves out."""
    header = edf_header.read_whole_edf_header(fname)
    # The fraction of a second that the header cannot hold, and the annotations.
    records = edf_header.read_annotation_records(header)
    fraction, annotations = edf_header.parse_annotations(records)
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
    onset, duration, names = zip(*annotations, strict=True)
    return StageEvents(names, onset, duration, start=start)


def _read_xml(text: str, step: float) -> StageEvents:
    """Read the events of an NSRR file, or the epochs of a ProFusion file."""
    # Entities that fill the memory or read other files come from there.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError(
            "The XML declares a document type, which no hypnogram file does; copy the "
            "file again from its source."
        )
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise ValueError(
            f"The XML is damaged or cut off ({error}); copy the file again."
        ) from error
    events = [
        event
        for event in root.iterfind(".//{*}ScoredEvent")
        if event.findtext("{*}EventType", "").strip().startswith("Stages")
    ]
    if events:
        names = {"onset": "Start", "duration": "Duration", "stage": "EventConcept"}
        columns = {
            column: [event.findtext(f"{{*}}{name}", "").strip() for event in events]
            for column, name in names.items()
        }
        return read_columns(columns)
    epochs = [(stage.text or "").strip() for stage in root.iterfind(".//{*}SleepStage")]
    if not epochs:
        raise ValueError(
            f"The XML (its outermost element is {root.tag.rpartition('}')[2]!r}) holds "
            "no stages as NSRR or Compumedics ProFusion write them. Export the stages "
            "as EDF+ or text."
        )
    # A code, or a name.
    stages = [_PROFUSION.get(x, "?" if x.isdigit() else x) for x in epochs]
    step = float(root.findtext(".//{*}EpochLength", "").strip() or step)
    return StageEvents(stages, step=step)


def _read_json(text: str, _step: float) -> StageEvents:
    from yasa import Hypnogram

    try:
        hypno = Hypnogram.from_dict(json.loads(text))
    except Exception as error:  # YASA raises many types
        raise ValueError(
            "The JSON is not a hypnogram of yasa.Hypnogram.to_json. Pass the stages as "
            "an array or a table."
        ) from error
    return as_events(hypno)


def _read_npy(fname: Path, step: float) -> StageEvents:
    try:
        values = np.load(fname, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(
            "The file is not a NumPy array of numbers or text; save one by numpy.save."
        ) from error
    if values.ndim == 2 and 1 not in values.shape:
        raise ValueError(
            f"The array has shape {values.shape}. If its columns are the probabilities "
            "of W, N1, N2, N3 and REM, pass array.argmax(axis=1)."
        )
    return events_from_values(values.ravel(), step)


def _read_by_mne(fname: Path, _step: float) -> StageEvents:
    try:
        return as_events(mne.read_annotations(fname))
    except Exception as error:  # MNE's readers raise many types
        raise ValueError(
            "The file holds no annotations that MNE can read. Save them by "
            "mne.Annotations.save, as .txt or -annot.fif."
        ) from error


def _read_remlogic(text: str, step: float) -> StageEvents:
    """Read an event export: a table after a header, with times of day."""
    lines = text.splitlines()
    first = next((i for i, line in enumerate(lines) if "[hh:mm:ss]" in line), 0)
    table = name_columns(read_rows(lines[first:]))
    names = {"time": "heure", "event": "événement", "duration": "durée"}
    columns = {x: table.get(x) or table.get(names[x], []) for x in names}
    if not all(columns.values()):
        raise ValueError(
            f"The RemLogic export has the columns {[*table]}; export the events with "
            "time, event and duration."
        )
    columns["time"] = [time.rpartition("T")[2] for time in columns["time"]]
    date = re.search(r"Recording Date:\s*(\d+)\D(\d+)\D(\d{4})", text)
    return read_columns(columns, step)._replace(start=_start(date, columns["time"][0]))


def _read_domino(text: str, _step: float) -> StageEvents:
    """Read a sleep profile: a header, then lines such as "22:04:30,000; N2"."""
    rows = re.findall(r"^(\d+:\d\d:\d\d)\S*;\s*(.+?)\s*$", text, re.MULTILINE)
    rate = re.search(r"^Rate:\s*([\d.]+)", text, re.MULTILINE)
    if rate is None or not rows:
        raise ValueError(
            "The Domino export is not a sleep profile of one stage per epoch. Export "
            "'Sleep profile' ('Schlafprofil') as text."
        )
    times, names = map(list, zip(*rows, strict=True))
    # "A" stands for epochs without a stage.
    columns = {"stage": ["?" if name == "A" else name for name in names]}
    columns |= {"time": times, "duration": [rate[1]] * len(rows)}
    columns["epoch"] = list(map(str, range(len(rows))))
    date = re.search(r"^Start Time:\s*(\d+)\D(\d+)\D(\d{4})(.*)", text, re.M)
    is_american = date is not None and date[4].strip().upper().endswith("M")
    return read_columns(columns)._replace(start=_start(date, times[0], is_american))


def _start(date: re.Match | None, time: str, month_first: bool = False) -> Any:
    """Combine a date, day or month first, and a time of day."""
    if date is None:
        return None
    day, month, year = (int(part) for part in date.groups()[:3])
    if month > 12 or (month_first and day <= 12):
        day, month = month, day
    try:
        return pd.Timestamp(f"{year}-{month:02}-{day:02} {time}", tz="UTC")
    except ValueError as error:
        text = f"The file has no valid start: {date[0].strip()!r}."
        raise ValueError(text) from error


def _read_ucddb(text: str, _step: float) -> StageEvents:
    codes = text.split()
    if not set(codes) <= set(_UCDDB):
        raise ValueError("A hypnogram of UCDDB holds one code from 0 to 8 per line.")
    return StageEvents([_UCDDB[code] for code in codes], step=30.0)


FORMATS = (
    Format("EDF+ annotations", ("*.edf", "*.bdf"), None, _read_edf, _write_edf),
    Format("NSRR or ProFusion XML", ("*.xml",), "", _read_xml),
    Format("YASA's JSON", ("*.json",), "", _read_json),
    Format("NumPy .npy", ("*.npy",), None, _read_npy),
    Format("MNE annotations", _OF_MNE, None, _read_by_mne),
    Format("RemLogic events", ("*.txt", "*.csv"), "RemLogic", _read_remlogic),
    Format("Domino profile", ("*.txt", "*.csv"), "Signal ID:", _read_domino),
    Format("UCDDB stages", ("ucddb???_stage.txt",), "", _read_ucddb),
    Format("table of epochs", ("*.csv",), ".", read_table, _write_csv),
    Format("BIDS events", ("*.tsv",), ".", read_table, _write_tsv),
    Format("one stage per line", ("*",), ".", read_table),
)
"""The formats, in the order in which they are tried."""

WRITERS = {x.globs[0].lstrip("*"): x.write for x in FORMATS if x.write is not None}
"""The writer of each suffix."""
