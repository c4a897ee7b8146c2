"""The Sleep-EDF Database Expanded (sleep cassette), fetched through MNE.

Kemp et al. 2000 (https://doi.org/10.1109/10.867928), PhysioNet, Open Data Commons
Attribution 1.0. EDF-20 is the subjects 0 to 19 (39 nights), EDF-78 all (153 nights).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from mne.utils import logger

from .._constants import STAGES
from ..io.edf_header import describe_damage
from .folds import make_folds
from .records import FoundNights, NightRecord

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from ..data.nights import Night
    from .folds import Fold

CHANNEL = "EEG Fpz-Cz"

_MISSING = {39, 68, 69, 78, 79}
SUBJECTS = {
    "edf20": tuple(range(20)),
    "edf78": tuple(subject for subject in range(83) if subject not in _MISSING),
}
"""The subjects of each protocol, as PhysioNet numbers them (in groups of age)."""

# As many as in XSleepNet (https://doi.org/10.1109/TPAMI.2021.3070057).
_N_FOLDS = {"edf20": 20, "edf78": 10}
_N_VALIDATION = {"edf20": 4, "edf78": 7}

PUBLISHED_COUNTS = pd.DataFrame(
    {
        "edf20": (39, 8285, 2804, 17799, 5703, 7717, 42308),
        "edf78": (153, 65951, 21522, 69132, 13039, 25835, 195479),
    },
    index=["n_nights", *STAGES, "total"],
).T
"""Nights and scored epochs by stage, as in Table I of Eldele et al. 2021
(https://doi.org/10.1109/TNSRE.2021.3076234), with the trimming and the labels of this
module."""


def fetch_nights(
    subjects: Iterable[int] = SUBJECTS["edf20"],
    path: str | os.PathLike | None = None,
    base_url: str | None = None,
    picks: str = CHANNEL,
) -> FoundNights:
    """Fetch nights from PhysioNet, unless they are there already.

    Parameters
    ----------
    subjects : iterable of int
        Whose nights; see ``SUBJECTS``.
    path : path-like | None
        The folder to keep them in, as in
        :func:`mne.datasets.sleep_physionet.age.fetch_data`: None is ``MNE_DATA``.
    base_url : str | None
        A mirror; None is PhysioNet.
    picks : str
        The channel.

    Returns
    -------
    found : FoundNights
        All nights of these subjects; none is ever skipped.

    Raises
    ------
    ValueError
        If the data set has no such subject.
    ConnectionError
        If the server cannot be reached, or goes away in the middle.
    OSError
        If a file arrives damaged or cannot be written.

    Notes
    -----
    Files that arrived whole are kept, so after an error the same call goes on. A file
    in the folder that is shorter than its own header says is fetched again. As read by
    :func:`~mne_mc2sleep.datasets.read_night`, stages 3 and 4 are N3, movement time and
    "?" are unscored, and wake is trimmed to 30 min on each side of the sleep.
    """
    subjects = list(dict.fromkeys(subjects))
    unknown = [subject for subject in subjects if subject not in SUBJECTS["edf78"]]
    if unknown:
        raise ValueError(
            f"Sleep-EDF has no subjects {unknown}; they are 0 to 82 without "
            f"{sorted(_MISSING)}."
        )
    records = []
    for subject in subjects:
        files = _fetch_subject(subject, path, base_url)
        damaged = [fname for pair in files for fname in pair if _is_damaged(fname)]
        if damaged:
            for fname in damaged:
                fname.unlink()
            files = _fetch_subject(subject, path, base_url)
        records += [NightRecord(subject, *pair, picks, "margin") for pair in files]
    found = FoundNights(records, {})
    found.report_skipped()
    return found


def get_folds(protocol: str) -> list[Fold]:
    """Return the folds of a protocol.

    Parameters
    ----------
    protocol : str
        ``"edf20"``: 20 folds, one subject tested in each, 4 validate. ``"edf78"``: 10
        folds of consecutive subjects, 7 validate.

    Returns
    -------
    folds : list of Fold
        The subjects. Who validates is our choice: see
        :func:`~mne_mc2sleep.datasets.make_folds`.

    Raises
    ------
    ValueError
        If there is no such protocol.
    """
    _check_protocol(protocol)
    return make_folds(SUBJECTS[protocol], _N_FOLDS[protocol], _N_VALIDATION[protocol])


def compare_counts(nights: Iterable[Night], protocol: str) -> pd.DataFrame:
    """Count scored epochs by stage beside the published counts, and log both.

    Parameters
    ----------
    nights : iterable of Night
        The nights as read, trimmed.
    protocol : str
        ``"edf20"`` or ``"edf78"``.

    Returns
    -------
    counts : DataFrame
        Rows ``found``, ``published`` and ``difference``; columns ``n_nights``, the
        stages and ``total``. Scored epochs with an unusable signal count too, as in the
        published ones.

    Raises
    ------
    ValueError
        If there is no such protocol.
    """
    _check_protocol(protocol)
    found = np.zeros(len(STAGES), dtype=int)
    n_nights = 0
    for night in nights:
        scored = night.stages[night.stages >= 0]
        found += np.bincount(scored, minlength=len(STAGES))
        n_nights += 1
    published = PUBLISHED_COUNTS.loc[protocol]
    counts = pd.DataFrame(
        {"found": [n_nights, *found, found.sum()], "published": published},
        index=published.index,
    ).T
    counts.loc["difference"] = counts.loc["found"] - counts.loc["published"]
    logger.info("Scored epochs of %s:\n%s", protocol, counts.to_string())
    return counts


def _check_protocol(protocol: str) -> None:
    if protocol not in SUBJECTS:
        raise ValueError(
            f"There is no protocol {protocol!r}; pass one of {list(SUBJECTS)}."
        )


def _fetch_subject(
    subject: int, path: str | os.PathLike | None, base_url: str | None
) -> list[tuple[Path, Path]]:
    """Fetch what is not there yet; return (recording, hypnogram) of each night."""
    from mne.datasets.sleep_physionet import age
    from requests.exceptions import RequestException

    url = age.BASE_URL if base_url is None else base_url
    try:
        # Three subjects have one night only, which is expected.
        files = age.fetch_data([subject], path=path, base_url=url, on_missing="ignore")
    except RequestException as error:
        raise ConnectionError(
            f"The nights of subject {subject} could not be fetched from {url}; run the "
            f"same again, what has arrived is kept. Cause: {error}"
        ) from error
    # pooch's word for a wrong hash; after the colon it lists both.
    except ValueError as error:
        raise OSError(
            f"A file of subject {subject} arrived damaged from {url}; run the same "
            "again, what has arrived whole is kept. Cause: "
            f"{str(error).partition(':')[0]}."
        ) from error
    return [(Path(recording), Path(hypnogram)) for recording, hypnogram in files]


def _is_damaged(fname: Path) -> bool:
    damage = describe_damage(fname)
    if damage is not None:
        logger.warning("%s: %s It is fetched again.", fname.name, damage)
    return damage is not None
