"""The UCDDB sleep apnea database, downloaded from PhysioNet.

25 whole nights of adults with suspected sleep-disordered breathing (St. Vincent's
University Hospital / University College Dublin Sleep Apnea Database, PhysioNet ucddb
1.0.0, https://doi.org/10.13026/C26C7D, Open Data Commons Attribution 1.0).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._download import data_folder, download
from .records import FoundNights, NightRecord

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence
    from pathlib import Path

BASE_URL = "https://physionet.org/files/ucddb/1.0.0/"

CHANNELS = ("C3A2", "C4A1")
"""The EEG channels of the recordings, in order of preference."""

_MISSING = {1, 4, 16}
SUBJECTS = tuple(f"{number:03d}" for number in range(1, 29) if number not in _MISSING)
"""The subjects, as PhysioNet numbers them; each has one night."""

_CHECKSUMS = "SHA256SUMS.txt"


def fetch_nights(
    subjects: Iterable[str] = SUBJECTS,
    path: str | os.PathLike | None = None,
    base_url: str = BASE_URL,
    picks: str | Sequence[str] = CHANNELS,
) -> FoundNights:
    """Download nights from PhysioNet, unless they are there already.

    Parameters
    ----------
    subjects : iterable of str
        The subjects, for example ``["002", "022"]``; see ``SUBJECTS``.
    path : path-like | None
        The folder of the data sets. None is ``MNE_DATA``. The files are in its folder
        ``ucddb``.
    base_url : str
        The address of PhysioNet or of a mirror.
    picks : str | sequence of str
        The channel, or alternatives in order of preference.

    Returns
    -------
    found : FoundNights
        One night per subject.

    Raises
    ------
    ValueError
        If the database has no such subject, or the server lists no checksum for it.
    ConnectionError
        If the server cannot be reached, or stops in the middle.
    OSError
        If a file arrives damaged or cannot be written.

    Notes
    -----
    The recordings (``.rec``) are EDF files and are stored as ``.edf``, which MNE reads.
    ``ucddbNNN_stage.txt`` holds one R&K stage per 30 s: 0 wake, 1 REM, 2 to 5 stages 1
    to 4, 6 artefact, 7 indeterminate. Stages 3 and 4 become N3; 6 and 7 are unscored.
    Files are checked against PhysioNet's list of checksums, so after an error the same
    call continues where it stopped.
    """
    subjects = list(dict.fromkeys(subjects))
    unknown = [subject for subject in subjects if subject not in SUBJECTS]
    if unknown:
        raise ValueError(
            f"UCDDB has no subjects {unknown}. Pass some of {', '.join(SUBJECTS)}."
        )
    folder = data_folder(path, "ucddb")
    checksums = _read_checksums(download(base_url + _CHECKSUMS, folder / _CHECKSUMS))
    picks = picks if isinstance(picks, str) else tuple(picks)
    records = []
    for subject in subjects:
        files = []
        for remote, local in (
            (f"ucddb{subject}.rec", f"ucddb{subject}.edf"),
            (f"ucddb{subject}_stage.txt", f"ucddb{subject}_stage.txt"),
        ):
            if remote not in checksums:
                raise ValueError(
                    f"{_CHECKSUMS} of {base_url} does not list {remote}. Delete "
                    f"{folder / _CHECKSUMS} and run the same call again."
                )
            files.append(download(base_url + remote, folder / local, checksums[remote]))
        recording, hypnogram = files
        records.append(NightRecord(subject, recording, hypnogram, picks))
    found = FoundNights(records, {})
    found.report_skipped()
    return found


def _read_checksums(fname: Path) -> dict[str, str]:
    """Return the checksum of each file that PhysioNet lists."""
    lines = map(str.split, fname.read_text("utf-8").splitlines())
    return {line[1]: line[0] for line in lines if len(line) == 2}
