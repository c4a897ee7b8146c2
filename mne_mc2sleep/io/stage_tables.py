"""Find the stages and their times in text tables of any columns."""

import csv
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from mne.utils import logger
from numpy.typing import NDArray

from .._constants import EPOCH_DURATION
from .stage_intervals import INTEGERS, StageEvents, events_from_values, parse_stage

Columns = dict[str, list[str]]
Seconds = NDArray[np.float64]

# What columns are called, without case, blanks and units.
_EPOCH = ["epoch", "epochs", "epochnumber", "index", "unnamed", "number"]
_ONSET = ["onset", "onsets", "start", "starttime", "recordingonset", "begin"]
_DURATION = ["duration", "durations", "dur", "length"]
_END = ["end", "stop", "endtime"]
_TIME = ["time", "datetime", "timestamp", "clocktime"]
_STAGE = ["stage", "stages", "sleepstage", "sleepstages", "trialtype", "hypnogram"]
_STAGE += ["hypno", "description", "annotation", "label", "score", "scoring", "event"]
_STAGE += ["value"]  # in the order of preference
_OTHERS = {*_EPOCH, *_ONSET, *_DURATION, *_END, *_TIME, "date", "scorer"}
# Without a time, it is midnight: MNE writes an only row so.
_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d:\d\d(\.\d+)? ?(Z|[+-]\d\d:?\d\d)?)?")
_CLOCK = re.compile(r"\d{1,2}:\d\d:\d\d([.,]\d+)?")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.I)  # finite
_MISSING = ("n/a", "N/A", "nan", "NaN", "NA")
_STEPS = (0.001, 120.0)  # seconds between which the epochs of a hypnogram last


def read_table(text: str, step: float = EPOCH_DURATION) -> StageEvents:
    """Find the stages of a table, or of a text with one stage per line.

    The cells are separated by tabs, semicolons, commas or blanks, with or without a
    header; ``step`` is the duration of an epoch in s where the table does not hold it.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    n_comments = next((i for i, x in enumerate(lines) if x[0] not in "#%["), len(lines))
    comments, lines = lines[:n_comments], lines[n_comments:]
    # MNE writes its header as a comment.
    if comments and re.search("onset.*,", comments[-1]):
        lines.insert(0, comments[-1].lstrip("# "))
    rows = read_rows(lines) if lines else [[""]]
    if len(rows) == 1 and all(map(_is_stage, rows[0])):  # a night in one line
        rows = [[cell] for cell in rows[0]]
    if len(rows[0]) == 1:
        return events_from_values(_drop_title([row[0] for row in rows]), step)
    columns = name_columns(rows)
    if ";" in lines[0]:  # a decimal comma
        columns = {x: [c.replace(",", ".") for c in columns[x]] for x in columns}
    origin = re.search(r"orig_time\s*:\s*(\S.*\S)", "\n".join(comments))
    return read_columns(columns, step, origin and origin[1])


def read_rows(lines: Sequence[str]) -> list[list[str]]:
    """Split lines into cells, by the separator that the first line holds."""
    sep = next((sep for sep in "\t;," if sep in lines[0]), None)
    if sep is None:
        # "0 30 W", but not "Sleep stage W".
        is_spaced = all(re.match(r"\s*[\d.:-]+\s+\S", line) for line in lines)
        return [line.split() if is_spaced else [line.strip()] for line in lines]
    try:
        rows = list(csv.reader(lines, delimiter=sep))
    except csv.Error as error:
        raise ValueError(f"It is not a table ({error}).") from error
    width = len(rows[0])
    if any(any(row[width:]) for row in rows):
        raise ValueError("The rows of the table have more cells than its header.")
    if any(len(row) < width for row in rows):
        raise _missing_cell(f"of the table that begins with {lines[0][:50]!r}")
    return [[cell.strip() for cell in row[:width]] for row in rows]


def name_columns(rows: list[list[str]]) -> Columns:
    """Return the columns by their names, or by their content without a header."""
    header = [_fold(x) or "unnamed" for x in rows[0]]
    is_known = not _OTHERS.union(_STAGE).isdisjoint(header)
    is_value = any(_NUMBER.fullmatch(x) or _CLOCK.fullmatch(x) for x in rows[0])
    is_header = is_known or not any(map(_is_stage, rows[0]))
    if rows[0][0] and (is_value or not is_header):  # pandas leaves the index unnamed
        header, numbers = [], iter(["onset", "duration"])
        for i, column in enumerate(zip(*rows, strict=True)):
            name = "time" if _CLOCK.search(column[0]) else f"column{i}"
            if all(map(_NUMBER.fullmatch, column)):
                is_count = column[:2] in (("0", "1"), ("1", "2"))
                name = "epoch" if is_count else next(numbers, name)
            header.append(name)
    else:
        rows = rows[1:]
    if not rows:
        raise ValueError(f"The table has the columns {header[:20]} and no rows.")
    columns: Columns = {}
    for name, cells in zip(header, zip(*rows, strict=True), strict=True):
        if columns.setdefault(name, list(cells)) != list(cells) and name in _STAGE:
            raise ValueError(
                f"The table has several different columns {name!r}, as of several "
                "scorers; keep one of them."
            )
    return columns


def read_columns(
    columns: Columns, step: float = EPOCH_DURATION, origin: str | None = None
) -> StageEvents:
    """Bring the columns together, and refuse what contradicts itself.

    ``origin`` is the time from which MNE counts the onsets.
    """
    events = events_from_values(_find_stages(columns), step)
    start, times, clock = _read_times(columns)
    scorer = columns["scorer"][0] if "scorer" in columns else None
    events = events._replace(scorer=scorer, clock=clock)
    epoch = _numbers(columns, _EPOCH)
    is_from_start = start is None and (times is None or times[0] == 0)
    if epoch is not None and (
        (np.diff(epoch) != 1).any() or (epoch[0] > 1 and is_from_start)
    ):
        raise ValueError(
            f"The column 'epoch' does not count 0, 1, 2, ... (it begins with "
            f"{epoch[0]:g}): rows are missing or out of order. Write an unscored epoch "
            "as UNS instead of leaving it out, or delete the column."
        )
    if times is None:
        return events._replace(proba=_find_probabilities(columns))
    duration, end = _numbers(columns, _DURATION), _numbers(columns, _END)
    if duration is None and end is not None:
        duration = end - times
    is_per_epoch = epoch is not None or duration is None
    if duration is None:
        step = step if times.size == 1 else round(float(times[1] - times[0]), 6)
        duration = np.full(times.size, step)
    times, duration = _check_unit(times, duration)
    step = float(duration[0])
    if is_per_epoch:
        differs = np.abs(times - times[0] - step * np.arange(times.size)) > 1e-3
        differs |= duration != step
        if differs.any():
            raise ValueError(
                "The epochs do not follow each other at one duration: row "
                f"{differs.argmax() + 1} is not {step:g} s after the one before, or "
                "does not last as long. If a spreadsheet dropped the seconds, use the "
                "original file; if these are events, write them as BIDS events (.tsv)."
            )
    is_complete = is_from_start or start is not None  # from the first row on
    if is_per_epoch and is_complete and _STEPS[0] <= step <= _STEPS[1]:
        proba = _find_probabilities(columns)
        return events._replace(step=step, start=start, proba=proba)
    if origin is not None:
        start, _ = _parse_iso([origin], "orig_time")
    elif start is not None:
        start -= pd.Timedelta(times[0], "s")
    return events._replace(onset=times, duration=duration, step=None, start=start)


def _missing_cell(where: str) -> ValueError:
    return ValueError(
        f"A cell {where} is empty or missing. The file may be cut short: copy it "
        "again, or correct the row."
    )


def _drop_title(cells: list[str]) -> list[str]:
    """Drop a header from one stage per line."""
    title, *others = cells
    if _fold(title) in _STAGE:
        return others or cells
    # An unknown name that comes again is one.
    if not (_is_stage(title) or _NUMBER.fullmatch(title) or title in others):
        raise ValueError(
            f"The file cannot be read as a hypnogram: its first line, {title[:50]!r}, "
            "is neither a stage nor a known header. Call it 'stage' if it is a header, "
            "or 'UNS' if it is an epoch."
        )
    return cells


def _find(columns: Columns, names: list[str]) -> list[str] | None:
    return next((columns[name] for name in names if name in columns), None)


def _numbers(columns: Columns, names: list[str]) -> Seconds | None:
    """Return a column of numbers, with 0 where missing ("n/a")."""
    cells = _find(columns, names)
    if cells is None:
        return None
    if "" in cells:
        raise _missing_cell(f"in the column {names[0]!r}")
    try:
        return np.array([0.0 if x in _MISSING[:2] else float(x) for x in cells])
    except ValueError as error:
        raise ValueError(
            f"The column {names[0]!r} must hold numbers ({str(error)[:200]})."
        ) from error


def _find_stages(columns: Columns) -> list[str]:
    """Return the column that holds the names of stages, or else YASA's integers."""
    free = sorted(columns.keys() - _OTHERS, key=[*_STAGE, *columns].index)
    n_stages = {x: sum(map(_is_stage, columns[x])) for x in free}
    if not any(n_stages.values()):
        for name in free:
            codes = ["-2" if cell in _MISSING else cell for cell in columns[name]]
            is_known = name in _STAGE or len(free) == 1
            if is_known and all(map(_NUMBER.fullmatch, codes)):
                return codes
        raise ValueError(
            f"No column of the table holds sleep stages; found {[*columns][:20]}. "
            "Stages are written 'N2', 'Sleep stage 2' or similar, or are YASA's "
            "integers in a column 'stage'."
        )
    rivals = [x for x in free if n_stages[x] > max(n_stages.values()) / 2]
    name, *others = [x for x in rivals if x in _STAGE] or rivals
    for other in others:
        for pair in zip(columns[name], columns[other], strict=True):
            one, two = (parse_stage(cell).integer for cell in pair)
            if None not in (one, two) and one != two:
                raise ValueError(
                    f"The columns {name!r} and {other!r} both hold stages, but "
                    f"{pair[0]!r} is not {pair[1]!r}; keep one of them."
                )
    if "" in columns[name]:
        raise _missing_cell(f"in the column {name!r}")
    return columns[name]


def _find_probabilities(columns: Columns) -> pd.DataFrame | None:
    cells = {x.upper(): columns[x] for x in columns if x.upper() in INTEGERS}
    if not cells or not all(_NUMBER.fullmatch(x) for c in cells.values() for x in c):
        return None
    # pandas 2 reads floats to some digits only.
    return pd.DataFrame({x: list(map(float, c)) for x, c in cells.items()})


def _read_times(
    columns: Columns,
) -> tuple[pd.Timestamp | None, Seconds | None, float | None]:
    """Return the time of the first row, the onsets in s, and the first row's clock.

    The onsets count from the first row if only a clock gives them. The clock, in s from
    midnight, is None if the date or the onset is known.
    """
    onset, cells = None, _find(columns, _TIME)
    onset_cells = _find(columns, _ONSET)
    if onset_cells is not None and not re.search(r"\d[:-]\d", onset_cells[0]):
        onset = _numbers(columns, _ONSET)
    elif onset_cells is not None:
        cells = onset_cells
    elif cells is not None and all(map(_NUMBER.fullmatch, cells)):
        onset, cells = _numbers(columns, _TIME), None
    if cells is None:
        return None, onset, None
    start = first = None
    if all(map(_CLOCK.fullmatch, cells)):
        parts = [cell.replace(",", ".") for cell in cells]
        clock = pd.to_timedelta(parts).total_seconds().to_numpy(np.float64)
        # From 0:00:00 on, it is the time since the start of the recording.
        first = float(clock[0]) or None
        days = np.append(0, np.cumsum(np.diff(clock) < -43_200))  # across midnight
        clock = clock - clock[0] + 86_400.0 * days
    else:
        start, clock = _parse_iso(cells, "time")
    if onset is not None:
        differs = ~(np.abs(onset - onset[0] - clock) <= 0.5)
        if differs.any():
            row = int(differs.argmax())
            raise ValueError(
                "The columns of onsets and of times do not follow each other: row "
                f"{row + 1} is {onset[row] - onset[0]:g} s and {clock[row]:g} s after "
                "the first. A spreadsheet may have changed the times: use the original "
                "file, or delete one of the columns."
            )
        return start, onset, None
    # MNE writes annotations without a date as from this day on.
    if start is not None and start.date() == pd.Timestamp(0).date():
        return None, clock + (start - start.normalize()).total_seconds(), None
    return start, clock, first


def _parse_iso(cells: list[str], name: str) -> tuple[pd.Timestamp, Seconds]:
    """Return the first of ISO 8601 times, and the seconds from it to each."""
    times = pd.to_datetime(cells, format="ISO8601", utc=True, errors="coerce")
    is_iso = np.array([_ISO.fullmatch(cell) is not None for cell in cells])
    is_wrong = times.isna() | ~is_iso
    if is_wrong.any():
        raise ValueError(
            f"The column {name!r} holds {cells[is_wrong.argmax()]!r}, which is not a "
            "time as '2024-02-05 22:00:30'. A spreadsheet may have changed it: use the "
            "original file, or delete the column."
        )
    seconds = (times - times[0]).total_seconds().to_numpy(np.float64)
    return pd.Timestamp(cells[0]), seconds


def _check_unit(onset: Seconds, duration: Seconds) -> tuple[Seconds, Seconds]:
    """Convert onsets in ms into seconds; refuse other units than seconds."""
    is_long = duration[:-1] > 0
    if np.count_nonzero(is_long) > 1:
        ratio = np.median(np.diff(onset)[is_long] / duration[:-1][is_long])
        if 900 < ratio < 1100:
            logger.info("The onsets are in ms, the durations in s.")
            return onset / 1000, duration
    # An epoch of 1 s is the shortest that scorers use.
    if duration.size >= 5 and (duration.min() > 1000 or 0 < duration.max() < 1):
        raise ValueError(
            f"Each row of the table lasts {duration.min():g} s or longer, but none "
            f"over {duration.max():g} s. Onsets and durations must be in seconds; "
            "they may be in ms, samples or minutes."
        )
    return onset, duration


def _fold(name: str) -> str:
    return re.sub(r"[\W_]+", "", re.sub(r"[\[(].*", "", name)).casefold()


def _is_stage(cell: str) -> bool:
    return cell not in _MISSING and parse_stage(cell).integer is not None
