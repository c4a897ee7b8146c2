"""The Sleep-EDF Database Expanded (sleep cassette), downloaded from PhysioNet.

Kemp et al. 2000 (https://doi.org/10.1109/10.867928), PhysioNet, Open Data Commons
Attribution 1.0. EDF-20 is the subjects 0 to 19 (39 nights), EDF-78 all (153 nights).
"""

import os
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from .._utils import download
from .records import Fold, FoundNights, NightRecord, check_subjects, make_folds, report

CHANNEL = "EEG Fpz-Cz"

_MISSING = {39, 68, 69, 78, 79}
SUBJECTS = {
    "edf20": tuple(range(20)),
    "edf78": tuple(subject for subject in range(83) if subject not in _MISSING),
}
"""The subjects of each protocol, as PhysioNet numbers them (in groups of age)."""

# As many folds and validation subjects as XSleepNet (10.1109/TPAMI.2021.3070057).
_FOLDS = {"edf20": (20, 4), "edf78": (10, 7)}


def fetch_nights(
    subjects: Iterable[int] = SUBJECTS["edf20"],
    path: str | os.PathLike | None = None,
    base_url: str | None = None,
    picks: str = CHANNEL,
) -> FoundNights:
    """Download nights from PhysioNet, unless they are there already.

    Parameters
    ----------
    subjects : iterable of int
        The subjects; see ``SUBJECTS``.
    path : path-like | None
        The folder of the data sets. None is ``MNE_DATA``.
    base_url : str | None
        A mirror; None is PhysioNet.
    picks
        As in `MC2SleepClassifier`.

    Returns
    -------
    found : FoundNights
        All nights of these subjects, with 30 min of wake on each side of the sleep.

    Notes
    -----
    Files are checked against MNE's list of hashes; after an error the same call
    continues. Stages 3 and 4 are read as N3, movement time and "?" as unscored.
    """
    from mne.datasets.sleep_physionet import age

    folder, url = Path(age.data_path(path)), base_url or age.BASE_URL
    table = pd.read_csv(age.AGE_SLEEP_RECORDS)
    records = []
    for subject in check_subjects(subjects, SUBJECTS["edf78"], "Sleep-EDF"):
        for _, night in table[table["subject"] == subject].groupby("night"):
            files = {
                kind: download(f"{url}{name}", folder / name, f"sha1:{sha1}")
                for kind, name, sha1 in night[["record type", "fname", "sha"]].values
            }
            pair = files["PSG"], files["Hypnogram"]
            records.append(NightRecord(subject, *pair, picks, "margin"))
    return report(records, {})


def get_folds(protocol: str) -> list[Fold]:
    """Return the folds of a protocol.

    Parameters
    ----------
    protocol : str
        ``"edf20"``: 20 folds, 4 subjects validate. ``"edf78"``: 10 folds, 7 validate.

    Returns
    -------
    folds : list of Fold
    """
    if protocol not in SUBJECTS:
        raise ValueError(f"There is no protocol {protocol!r}; pass 'edf20' or 'edf78'.")
    return make_folds(SUBJECTS[protocol], *_FOLDS[protocol])
