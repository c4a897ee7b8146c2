"""Review of the least certain epochs in MNE's browser."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

import mne
import numpy as np

from .._constants import EPOCH_DURATION, UNSCORED
from ..io.hypnograms import stages_on_grid
from ..metrics import epochs_to_review

if TYPE_CHECKING:
    from yasa import Hypnogram

_PREFIX = "Review: "


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
        such as ``"N1"`` or ``"Sleep stage R"``.
    """
    epochs = epochs_to_review(hypno, share).sort_values("epoch")
    start = None if hypno.start is None else hypno.start.to_pydatetime()
    if start is not None and start.tzinfo is None:
        start = start.replace(tzinfo=UTC)
    description = _PREFIX + epochs["stage"] + " or " + epochs["second"]
    return mne.Annotations(
        epochs["onset"], EPOCH_DURATION, list(description), orig_time=start
    )


def read_review(
    hypno: Hypnogram, annotations: mne.Annotations, *, only_reviewed: bool = False
) -> Hypnogram:
    """Return a hypnogram with the corrections of a review.

    Parameters
    ----------
    hypno : yasa.Hypnogram
        The hypnogram that was reviewed; it is not modified.
    annotations : Annotations
        The annotations of the recording after the review. Those that still begin with
        ``"Review:"`` were not reviewed.
    only_reviewed : bool
        If True, all other epochs become ``UNS``, to fine-tune a stager on the
        corrections alone.

    Returns
    -------
    corrected : yasa.Hypnogram
        The annotated stages, and elsewhere those of ``hypno``.
    """
    from yasa import Hypnogram

    values = hypno.as_int().to_numpy()
    if only_reviewed:
        values = np.full_like(values, -2)
    is_done = [not str(name).startswith(_PREFIX) for name in annotations.description]
    reviewed = annotations[np.flatnonzero(is_done)]
    if len(reviewed):
        stages = stages_on_grid(reviewed, len(hypno), hypno.start)
        values = np.where(stages == UNSCORED, values, stages)
    scorer = f"{hypno.scorer}, reviewed"
    return Hypnogram.from_integers(values, start=hypno.start, scorer=scorer)
