"""One's own nights: a table of files, or a BIDS folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from .records import FoundNights, NightRecord

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from typing import Any

    Picks = str | tuple[str, ...] | None

_NEEDED = ("recording", "subject")
# In the order of preference; stages among BIDS events are our choice, as BIDS (1.10)
# has no file for hypnograms.
_HYPNOGRAM_SUFFIXES = ("_events.tsv", "_hypnogram.tsv", "_hypnogram.csv")
# The formats that BIDS allows for EEG.
_RECORDING_SUFFIXES = (".edf", ".bdf", ".vhdr", ".set")


def find_nights(
    path: str | os.PathLike,
    picks: str | Sequence[str] | None = None,
    trim: str | None = None,
) -> FoundNights:
    """Find scored nights by a table or in a BIDS folder.

    Parameters
    ----------
    path : path-like
        A ``.csv`` file with the columns ``recording`` and ``subject``, and, if wanted,
        ``hypnogram`` and ``picks``: paths count from the table's folder, and an empty
        hypnogram means the recording's own annotations. Or a BIDS folder:
        ``sub-*/[ses-*/]eeg/*_eeg.edf`` (or .bdf, .vhdr, .set) with the stages beside it
        in ``*_events.tsv`` or ``*_hypnogram.tsv`` or ``.csv``.
    picks : str | sequence of str | None
        The channel of the nights for which the table names none, as in
        ``MC2SleepClassifier``.
    trim : str | None
        As in :class:`~mne_mc2sleep.datasets.NightRecord`.

    Returns
    -------
    found : FoundNights
        The nights; skipped are the recordings of a BIDS folder without hypnogram.

    Raises
    ------
    FileNotFoundError
        If the table or folder, or a file of the table, does not exist.
    ValueError
        If the table lacks columns, names a recording twice or no subject, or if there
        is no night.
    """
    path = Path(path).expanduser()
    if picks is not None and not isinstance(picks, str):
        picks = tuple(picks)
    if path.is_dir():
        found = _find_bids(path, picks, trim)
    else:
        found = FoundNights(_read_table(path, picks, trim), {})
    found.report_skipped()
    if not found.records:
        raise ValueError(
            f"There is no scored night in {path}; pass a table of files, or a folder "
            "with sub-*/eeg/*_eeg.edf and *_events.tsv beside them."
        )
    return found


def _read_table(path: Path, picks: Picks, trim: str | None) -> list[NightRecord]:
    if not path.exists():
        raise FileNotFoundError(f"There is no table or folder {path}.")
    table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    missing = [name for name in _NEEDED if name not in table]
    if missing:
        raise ValueError(
            f"{path.name} lacks the columns {missing}; it has {list(table)}. Write a "
            "comma between recording, subject and, if wanted, hypnogram and picks."
        )
    repeated = table["recording"][table["recording"].duplicated()].tolist()
    if repeated:
        raise ValueError(f"{path.name} names {repeated} more than once.")
    rows = table.to_dict("records")
    # The header is line 1.
    return [
        _read_row(row, f"Line {line} of {path.name}", path.parent, picks, trim)
        for line, row in enumerate(rows, start=2)
    ]


def _read_row(
    row: dict[Any, Any], where: str, folder: Path, picks: Picks, trim: str | None
) -> NightRecord:
    if not row["subject"]:
        raise ValueError(
            f"{where} names no subject; without it, nights of one person could be both "
            "trained and tested on."
        )
    recording = folder / Path(row["recording"]).expanduser()
    hypnogram = None
    if row.get("hypnogram"):
        hypnogram = folder / Path(row["hypnogram"]).expanduser()
    for fname in (recording, hypnogram):
        if fname is not None and not fname.is_file():
            raise FileNotFoundError(f"{where}: there is no file {fname}.")
    picks = row.get("picks") or picks
    return NightRecord(row["subject"], recording, hypnogram, picks, trim)


def _find_bids(folder: Path, picks: Picks, trim: str | None) -> FoundNights:
    found = FoundNights([], {})
    recordings = [
        *folder.glob("sub-*/eeg/*_eeg.*"),
        *folder.glob("sub-*/ses-*/eeg/*_eeg.*"),
    ]
    for recording in sorted(recordings):
        if recording.suffix not in _RECORDING_SUFFIXES:
            continue
        stem = recording.stem.removesuffix("_eeg")
        beside = [recording.with_name(stem + suffix) for suffix in _HYPNOGRAM_SUFFIXES]
        hypnogram = next(filter(Path.is_file, beside), None)
        if hypnogram is None:
            names = ", ".join(fname.name for fname in beside)
            found.skipped[recording.name] = f"there is none of {names} beside it."
            continue
        subject = recording.relative_to(folder).parts[0].removeprefix("sub-")
        found.records.append(NightRecord(subject, recording, hypnogram, picks, trim))
    return found
