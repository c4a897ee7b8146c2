"""Split subjects into training, validation and test subjects."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sklearn.model_selection import KFold

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable
    from typing import Any


class Fold(NamedTuple):
    """The training, validation and test subjects of one fold."""

    train: tuple[Hashable, ...]
    validation: tuple[Hashable, ...]
    test: tuple[Hashable, ...]

    def split(self, nights: Iterable[Any]) -> tuple[list, ...]:
        """Split nights by their subject, into training, validation and test nights."""
        nights = list(nights)
        return tuple(
            [night for night in nights if night.subject in part] for part in self
        )


def make_folds(
    subjects: Iterable[Hashable], n_folds: int, n_validation: int
) -> list[Fold]:
    """Make the folds of a cross-validation; each subject is tested in one of them.

    Each fold tests the next consecutive subjects. The validation subjects are evenly
    spaced among the others (our choice: in Sleep-EDF, where subjects are ordered by
    age, all ages validate, and no seed is needed).

    Parameters
    ----------
    subjects : iterable of hashable
        The subjects in their order; repeated ones count once.
    n_folds, n_validation : int
        The number of folds, and of validation subjects in each.

    Returns
    -------
    folds : list of Fold
        The folds.
    """
    subjects = list(dict.fromkeys(subjects))
    n_subjects = len(subjects)
    if not 2 <= n_folds <= n_subjects:
        raise ValueError(
            f"{n_subjects} subjects cannot be split into {n_folds} folds; pass from 2 "
            "to as many folds as subjects."
        )
    if not 0 <= n_validation < n_subjects - -(-n_subjects // n_folds):
        raise ValueError(
            f"With {n_validation} subjects to validate in {n_folds} folds, none of "
            f"{n_subjects} is left to train on; pass fewer, or more folds."
        )
    folds = []
    for rest, test in KFold(n_folds).split(subjects):
        middles = (
            (2 * np.arange(n_validation) + 1) * len(rest) // (2 * n_validation or 1)
        )
        parts = np.delete(rest, middles), rest[middles], test
        folds.append(Fold(*(tuple(subjects[i] for i in part) for part in parts)))
    return folds
