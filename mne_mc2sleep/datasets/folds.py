"""Split subjects into training, validation and test subjects."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence
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
    """Make the folds of a cross-validation.

    Each fold tests the next consecutive subjects. The validation subjects are evenly
    spaced among the others (our choice: in Sleep-EDF, where subjects are ordered by
    age, all ages validate, and no seed is needed).

    Parameters
    ----------
    subjects : iterable of hashable
        The subjects in their order; repeated ones count once.
    n_folds : int
        The number of folds; as many as subjects leaves one subject out at a time.
    n_validation : int
        The number of validation subjects of each fold; it may be 0.

    Returns
    -------
    folds : list of Fold
        The folds. Every subject is tested in exactly one.
    """
    subjects = list(dict.fromkeys(subjects))
    if not 2 <= n_folds <= len(subjects):
        raise ValueError(
            f"{len(subjects)} subjects cannot be split into {n_folds} folds; pass a "
            "number from 2 to the number of subjects."
        )
    largest = -(-len(subjects) // n_folds)
    if not 0 <= n_validation < len(subjects) - largest:
        raise ValueError(
            f"With {n_validation} subjects to validate and {largest} to test, none of "
            f"{len(subjects)} is left to train on; pass fewer, or more folds."
        )
    tests = np.array_split(np.arange(len(subjects)), n_folds)
    return [_make_fold(subjects, test.tolist(), n_validation) for test in tests]


def _make_fold(subjects: Sequence, test: Sequence[int], n_validation: int) -> Fold:
    rest = [i for i in range(len(subjects)) if i not in test]
    middles = (2 * np.arange(n_validation) + 1) * len(rest) // (2 * n_validation or 1)
    validation = {rest[middle] for middle in middles}
    train = [i for i in rest if i not in validation]
    parts = (train, sorted(validation), test)
    return Fold(*(tuple(subjects[i] for i in part) for part in parts))
