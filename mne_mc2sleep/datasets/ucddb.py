"""UCDDB, the sleep apnea database of University College Dublin, from PhysioNet.

25 whole nights of adults with suspected sleep-disordered breathing (version 1.0.0,
https://doi.org/10.13026/C26C7D, Open Data Commons Attribution 1.0).
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from .._utils import data_folder, download
from .records import FoundNights, NightRecord, check_subjects, report

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
        The folder of the data sets. None is ``MNE_DATA``.
    base_url : str
        The address of PhysioNet or of a mirror.
    picks : str | sequence of str
        The channel, or alternatives in order of preference.

    Returns
    -------
    found : FoundNights

    Notes
    -----
    The recordings (``.rec``) are stored as ``.edf``, which MNE reads. R&K stages 3 and
    4 are read as N3, artefact and indeterminate epochs as unscored. Files are checked
    against PhysioNet's list of checksums; after an error the same call continues.
    """
    folder = data_folder(path, "ucddb")
    picks = picks if isinstance(picks, str) else tuple(picks)
    subjects = check_subjects(subjects, SUBJECTS, "UCDDB")
    listed = download(base_url + _CHECKSUMS, folder / _CHECKSUMS).read_text("utf-8")
    checksums = dict(line.split()[::-1] for line in listed.splitlines() if line.strip())

    def fetch(remote: str) -> Path:
        if remote not in checksums:
            raise OSError(
                f"{folder / _CHECKSUMS} does not list {remote}. Delete it, and run the "
                "same call again to download it from PhysioNet."
            )
        fname = folder / remote.replace(".rec", ".edf")
        return download(base_url + remote, fname, f"sha256:{checksums[remote]}")

    records = []
    for name in subjects:
        files = fetch(f"ucddb{name}.rec"), fetch(f"ucddb{name}_stage.txt")
        records.append(NightRecord(name, *files, picks))
    return report(records, {})
