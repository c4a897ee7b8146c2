"""Review of the least certain epochs in MNE's browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mne
import numpy as np

from .._constants import EPOCH_DURATION
from ..io import stage_intervals
from ..io.hypnograms import align
from ..metrics import check_step, epochs_to_review

if TYPE_CHECKING:
    from yasa import Hypnogram

_PREFIX = "Review: "
_START = f"{_PREFIX}start of the hypnogram"


def annotate_review(hypno: Hypnogram, share: float = 0.1) -> mne.Annotations:
    """Annotate the epochs to review by hand.

    Parameters
    ----------
    hypno, share
        As in `epochs_to_review`.

    Returns
    -------
    annotations : Annotations
        One per epoch, such as ``"Review: N2 or N1"``. Add them to the recording, and in
        MNE's browser (press ``a``) change the description of each to the right stage,
        such as ``"N1"`` or ``"Sleep stage R"``, or to ``"UNS"``. Without a date, one
        more marks the start of the hypnogram.
    """
    epochs = epochs_to_review(hypno, share).sort_values("epoch")
    names = _PREFIX + epochs["stage"] + " or " + epochs["second"]
    start = stage_intervals.as_utc(hypno.start)
    origin = None if start is None else start.floor("us").to_pydatetime()
    annotations = mne.Annotations(epochs["onset"], EPOCH_DURATION, list(names), origin)
    if start is None:
        # MNE counts the times in a cropped recording from before it was cropped.
        annotations.append(0.0, 0.0, _START)
    return annotations


def read_review(
    hypno: Hypnogram, annotations: mne.Annotations, *, only_reviewed: bool = False
) -> Hypnogram:
    """Return a hypnogram with the corrections of a review.

    Parameters
    ----------
    hypno : yasa.Hypnogram
        The hypnogram that was reviewed.
    annotations : Annotations
        Those of the recording after the review. ``"Review: ..."`` was not reviewed.
    only_reviewed : bool
        If True, all other epochs become ``UNS``, to fine-tune on corrections alone.

    Returns
    -------
    corrected : yasa.Hypnogram
        The annotated stages, ``UNS`` where an epoch is annotated as such or as bad, and
        elsewhere those of ``hypno``. Other events, such as apneas, are ignored.
    """
    from yasa import Hypnogram

    check_step(hypno)
    values = hypno.as_int().to_numpy()
    if only_reviewed:
        values = np.full_like(values, -2)
    chosen = _find_reviewed(annotations, stage_intervals.as_utc(hypno.start))
    if len(chosen):
        n_epochs, intervals = len(hypno), stage_intervals.as_intervals(chosen)
        intervals = align(intervals, n_epochs, hypno.start)
        covered = stage_intervals.coverage(intervals, n_epochs)
        found = stage_intervals.put_on_grid(intervals, n_epochs)
        values = np.where(covered > EPOCH_DURATION / 2, found, values)
    scorer = f"{hypno.scorer}, reviewed"
    return Hypnogram.from_integers(values, start=hypno.start, scorer=scorer)


def _find_reviewed(annotations: mne.Annotations, start) -> mne.Annotations:
    """Return the stages, and other names where there is exactly one epoch."""
    found, first = annotations.copy(), 0.0  # the start of the hypnogram
    is_start = found.description == _START
    if is_start.any():
        first = found.onset[is_start][0]
    elif start is not None and found.orig_time is not None:
        first = (start - found.orig_time).total_seconds()
    if is_start.any() or start is not None:
        found = mne.Annotations(found.onset - first, found.duration, found.description)
    # Half a second is our choice; other events, such as apneas, begin at any time.
    is_epoch = np.isclose(found.duration, EPOCH_DURATION)
    is_epoch &= np.mod(found.onset + 0.5, EPOCH_DURATION) <= 1
    is_bad = np.char.startswith(np.char.lower(found.description), "bad")
    found.description[is_epoch & is_bad] = "UNS"
    parsed = [stage_intervals.parse_stage(str(x)).integer for x in found.description]
    is_stage = np.array([integer is not None for integer in parsed], dtype=bool)
    is_left = np.char.startswith(found.description, _PREFIX)
    return found[np.flatnonzero((is_epoch | is_stage) & ~is_left)]
