"""The Sleep Heart Health Study, visit 1, in a folder of the NSRR.

Quan et al. 1997 (https://doi.org/10.1093/sleep/20.12.1077), Zhang et al. 2018
(https://doi.org/10.1093/jamia/ocy064); the NSRR gives access on request. The choice of
nights, the trimming of wake and the number of test subjects follow the public code of
SleepTransformer (https://doi.org/10.1109/TBME.2022.3147187); the draw is our own.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from mne.utils import logger
from sklearn.utils import check_random_state

from .._constants import STAGES
from ..io.edf_header import read_whole_edf_header
from ..io.hypnograms import read_hypnogram
from .records import Fold, FoundNights, NightRecord, report

CHANNEL = "EEG"
"""The name of C4-A1 in these files."""

_PREFIX = "shhs1-"
# The folder of each kind of file, and how its file names end.
_PLACES = {
    "recording": ("polysomnography/edfs/shhs1", ".edf"),
    "hypnogram": ("polysomnography/annotations-events-nsrr/shhs1", "-nsrr.xml"),
}

_TEST_FRACTION = 0.3
_N_VALIDATION = 100
_VALIDATION_FRACTION = 0.1  # of a cohort too small to spare 100


def find_nights(
    folder: str | os.PathLike, subjects: Iterable[str] | None = None
) -> FoundNights:
    """Find the usable nights of visit 1.

    Nights without one of the five stages are skipped, as by SleepTransformer.

    Parameters
    ----------
    folder : path-like
        The folder that contains ``polysomnography``.
    subjects : iterable of str | None
        The subjects, for example ``["200001"]``; None takes all.

    Returns
    -------
    found : FoundNights
        The nights, and why each other file was skipped.
    """
    folder = Path(folder).expanduser()
    files: dict[str, dict[str, Path]] = {}
    for kind, (place, suffix) in _PLACES.items():
        if not (folder / place).is_dir():
            text = "Pass the folder that contains 'polysomnography'."
            raise FileNotFoundError(f"There is no folder {folder / place}. {text}")
        for fname in (folder / place).glob(f"{_PREFIX}*{suffix}"):
            subject = fname.name.removeprefix(_PREFIX).removesuffix(suffix)
            files.setdefault(subject, {})[kind] = fname
    wanted = files.keys() if subjects is None else files.keys() & map(str, subjects)
    logger.info("Looking at %d nights in %s.", len(wanted), folder)
    records, skipped = [], {}
    for subject in sorted(wanted):
        try:
            records.append(_make_record(subject, files[subject]))
        except (ValueError, OSError) as error:
            skipped[f"{_PREFIX}{subject}"] = str(error)
    found = report(records, skipped)
    if not records:
        raise ValueError(f"None of {len(wanted)} nights can be used; see the log.")
    return found


def split_subjects(
    subjects: Iterable[str | int], random_state: int | np.random.RandomState | None = 0
) -> Fold:
    """Draw test subjects (30 %), validation subjects (100) and training subjects.

    Parameters
    ----------
    subjects : iterable of hashable
        The subjects, in any order; repeated ones count once.
    random_state : int | np.random.RandomState | None
        The seed of the draw.

    Returns
    -------
    fold : Fold
        The subjects. At most a tenth of those not tested validate (our choice).
    """
    subjects = sorted(set(subjects))
    if len(subjects) < 3:
        raise ValueError(
            f"{len(subjects)} subjects cannot be split into training, validation and "
            "test subjects; at least three are needed."
        )
    n_test = max(1, round(_TEST_FRACTION * len(subjects)))
    n_rest = len(subjects) - n_test
    n_validation = min(_N_VALIDATION, max(1, round(_VALIDATION_FRACTION * n_rest)))
    order = check_random_state(random_state).permutation(subjects)
    parts = np.split(order, [n_test, n_test + n_validation])
    test, validation, train = (tuple(sorted(part.tolist())) for part in parts)
    return Fold(train, validation, test)


def _make_record(subject: str, files: dict[str, Path]) -> NightRecord:
    """Describe a night; raise if it cannot be used."""
    for kind in _PLACES.keys() - files:
        raise ValueError(f"there is no {kind} in {_PLACES[kind][0]}.")
    recording, hypnogram = files["recording"], files["hypnogram"]
    ch_names = read_whole_edf_header(recording).ch_names
    if CHANNEL not in ch_names:
        raise ValueError(f"it has no channel {CHANNEL!r}; it has {ch_names}.")
    stages = set(read_hypnogram(hypnogram).hypno)
    if absent := [stage for stage in STAGES if stage not in stages]:
        raise ValueError(f"{hypnogram.name} has no epoch of {', '.join(absent)}.")
    return NightRecord(subject, recording, hypnogram, CHANNEL, "balance")
