"""Your own nights: a table of files, or a folder of recordings and hypnograms."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from .._utils import warn
from ..io.recordings import first_part
from ..io.stage_tables import read_table
from .records import FoundNights, NightRecord, report

RECORDINGS: tuple[str, ...] = (".edf", ".bdf", ".gdf", ".vhdr", ".ahdr", ".fif")
RECORDINGS += (".fif.gz", ".set", ".cnt", ".mff", ".nedf", ".nxe", ".cdt", ".lay")
"""File name endings of recordings that MNE reads, one recording per file."""

# In order of preference; the other files of a folder may hold triggers or notes.
_HYPNOGRAMS = (".tsv", ".csv", ".edf", ".xml", ".fif", ".txt", ".hyp", ".npy")
_STAGES = r"hypnogram|hypno|hyp|stages?|staging|scoring|annotations?|annot|nsrr|events"
_IS_HYPNOGRAM = re.compile(rf"(^|[-_. ])({_STAGES})$", re.IGNORECASE)
# Words in which the names of a recording and its hypnogram differ.
_ROLE = re.compile(rf"([-_. ](psg|eeg|raw|{_STAGES}))+$")
# In Sleep-EDF (SC4001E0, SC4001EC), the last character names the scorer.
_SLEEP_EDF = re.compile(r"^(s[ct]\d{4}[a-z])\w$")


def find_nights(
    path: str | os.PathLike,
    picks: str | Sequence[str] | None = None,
    trim: str | None = None,
) -> FoundNights:
    """Find scored nights by a table or in a folder.

    Parameters
    ----------
    path : path-like
        A ``.csv`` file with the columns ``recording`` and ``subject``, and optionally
        ``hypnogram`` (empty: the recording's own annotations) and ``picks``; paths are
        relative to it. Or a folder, BIDS or not, with hypnograms beside the recordings,
        paired by their names.
    picks : str | sequence of str | None
        The channel where the table names none, as in `MC2SleepClassifier`.
    trim : str | None
        As in :class:`~mne_mc2sleep.datasets.NightRecord`.

    Returns
    -------
    found : FoundNights
        The nights. In a folder, recordings without a hypnogram are skipped, and the
        subject is the ``sub-`` part of the name, else the recording itself.
    """
    path = Path(path).expanduser()
    picks = picks if isinstance(picks, str | None) else tuple(picks)
    skipped = {}
    if path.is_dir():
        every = make_records(list_recordings(path), picks=picks, trim=trim)
        records = [record for record in every if record.hypnogram]
        reason = "there is no hypnogram beside it."
        skipped = {r.recording.name: reason for r in every if not r.hypnogram}
    else:
        records = _read_table(path, picks, trim)
    found = report(records, skipped)
    if not records:
        raise ValueError(
            f"There is no scored night in {path}. Pass a table of files, or a folder "
            "with hypnograms beside the recordings."
        )
    return found


def list_recordings(path: str | os.PathLike) -> list[Path]:
    """List the recordings in a folder, BIDS or not; a file is returned alone."""
    path = Path(path).expanduser()
    # Some formats are folders, such as night.mff.
    if not path.is_dir() or path.suffix.lower() in RECORDINGS:
        found = [path]
    else:
        patterns = "*", "sub-*/eeg/*_eeg.*", "sub-*/ses-*/eeg/*_eeg.*"
        found = sorted(f for x in patterns for f in path.glob(x) if _is_recording(f))
        if not found:
            raise FileNotFoundError(
                f"The folder {path} holds no recording that ends in one of "
                f"{' '.join(RECORDINGS)}. Pass the files by name."
            )
        if below := list(filter(_is_recording, path.glob("*/*"))):
            warn(
                f"{path} has {len(below)} recordings in other folders, such as "
                f"{below[0]}, which are not included. Pass these folders too."
            )
    for fname in found:
        # Python reads other bytes as surrogates, which no table or figure can hold.
        if re.search(r"[\ud800-\udfff]", str(fname)):
            raise ValueError(
                f"The name {str(fname)!a} is not valid UTF-8. Rename the file."
            )
    return found


def _is_recording(fname: Path) -> bool:
    name, is_hypnogram = fname.name.lower(), _IS_HYPNOGRAM.search(fname.stem)
    is_left_out = name.startswith(".") or is_hypnogram or first_part(fname)
    return name.endswith(RECORDINGS) and not is_left_out


def list_hypnograms(path: str | os.PathLike) -> list[Path]:
    """List the files of a folder that may be hypnograms, or return a file."""
    path = Path(path).expanduser()
    if not path.is_dir():
        return [path]
    return list(filter(_may_be_hypnogram, sorted(path.iterdir())))


def make_records(
    recordings: Sequence[Path], hypnograms: Sequence[Path] | None = None, **options: Any
) -> list[NightRecord]:
    """Pair recordings by `pair_by_name`; the subject is that of BIDS or the path."""
    bids = [re.match(r"sub-([a-zA-Z0-9]+)", fname.name) for fname in recordings]
    partners = pair_by_name(recordings, hypnograms)
    return [
        NightRecord(named[1] if named else str(fname), fname, partner, **options)
        for named, fname, partner in zip(bids, recordings, partners, strict=True)
    ]


def pair_by_name(
    recordings: Sequence[Path], hypnograms: Sequence[Path] | None = None
) -> list[Path | None]:
    """Find the hypnogram of each recording, or None, by the names of the files.

    Of several, ``hypnogram`` in the name comes first and ``events`` last. None uses the
    files beside each recording. As many hypnograms as recordings are paired by order,
    unless a name contradicts.
    """
    folders = [fname.parent for fname in recordings]
    candidates = hypnograms
    if candidates is None:
        candidates = [fname for place in {*folders} for fname in list_hypnograms(place)]
    found: dict[tuple, Path] = {}
    # The last is the one to prefer.
    for fname in sorted(set(candidates) - set(recordings), key=_rank, reverse=True):
        found[fname.parent, _key(fname)] = found[None, _key(fname)] = fname
    keys = list(map(_key, recordings))
    beside = [found.get(place) for place in zip(folders, keys, strict=True)]
    if hypnograms is None or all(beside):
        return beside
    others = list(map(_key, hypnograms))
    differing = [(a, b) for a, b in zip(keys, others, strict=False) if a != b]
    contradict = any(a in others or b in keys for a, b in differing)
    if len(keys) == len(others) and not contradict:
        # As of P1, P2, P10 and score-01, score-10, score-2.
        ours, theirs = (
            [re.findall(r"[1-9]\d*", fname.stem) for fname in fnames]
            for fnames in (recordings, hypnograms)
        )
        if ours != theirs and sorted(ours) == sorted(theirs):
            raise ValueError(
                "The numbers in the names of the recordings and the hypnograms are in "
                "another order. Pass both in the same order, or a table."
            )
        return list(hypnograms)
    for fname, key in zip(recordings, keys, strict=True):
        if key in others and keys.count(key) > 1:
            raise ValueError(
                f"Several recordings have the name of {fname}, so {found[None, key]} "
                "cannot be paired by its name. Pass one hypnogram for each recording, "
                "in the same order, or a table."
            )
    return [found.get((None, key)) for key in keys]


def _key(fname: Path) -> str:
    """Return the part of a name that a recording and its hypnogram share."""
    name = fname.with_suffix("") if fname.suffix.lower() == ".gz" else fname
    return _SLEEP_EDF.sub(r"\1", _ROLE.sub("", name.stem.lower()))


def _rank(fname: Path) -> tuple:
    """Return what sorts the hypnograms of a recording by preference."""
    name, suffix = fname.stem.lower(), fname.suffix.lower()
    rank = _HYPNOGRAMS.index(suffix) if suffix in _HYPNOGRAMS else len(_HYPNOGRAMS)
    return ("hypno" not in name, name.endswith("events"), rank, name)


def _may_be_hypnogram(fname: Path) -> bool:
    """Return False for triggers and for what ``mne-mc2sleep stage`` wrote."""
    if fname.suffix.lower() not in _HYPNOGRAMS or fname.name.startswith("."):
        return False
    sidecar = fname.with_suffix(".json")
    if sidecar.is_file() and b'"mne_mc2sleep"' in sidecar.read_bytes()[:1000]:
        return False
    if fname.name.endswith("_events.tsv"):
        try:
            read_table(fname.read_text("utf-8-sig", errors="replace"))
        except ValueError:
            return False
    return True


def _read_table(path: Path, picks: Any, trim: str | None) -> list[NightRecord]:
    if not path.exists():
        raise FileNotFoundError(f"There is no table or folder {path}.")
    table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    # "S1 " and "S1" are one subject.
    table = table.rename(columns=str.strip).map(str.strip)
    if missing := [name for name in ("recording", "subject") if name not in table]:
        raise ValueError(
            f"{path.name} lacks the columns {missing}; it has {list(table)}. Separate "
            "recording, subject, hypnogram and picks by commas."
        )
    names = ["recording", "hypnogram", "subject", "picks"]
    table = table.reindex(columns=names, fill_value="")
    if repeated := table["recording"][table["recording"].duplicated()].tolist():
        raise ValueError(f"{path.name} names {repeated} more than once.")
    given = table["hypnogram"][table["hypnogram"] != ""]
    if repeated := given[given.duplicated()].tolist():
        warn(f"{path.name} names {repeated} as the hypnograms of several recordings.")
    records = []
    # The header is line 1.
    for line, (*pair, subject, own) in enumerate(table.itertuples(index=False), 2):
        where = f"Line {line} of {path.name}"
        if not subject:
            raise ValueError(
                f"{where} names no subject; without it, nights of one person could be "
                "both trained and tested on."
            )
        fnames = [path.parent / Path(name).expanduser() for name in pair]
        for fname in fnames if pair[1] else fnames[:1]:
            if not fname.is_file():
                raise FileNotFoundError(f"{where}: there is no file {fname}.")
        hypnogram = fnames[1] if pair[1] else None
        records.append(NightRecord(subject, fnames[0], hypnogram, own or picks, trim))
    return records
