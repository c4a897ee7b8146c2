"""Who is tested, validates and trains."""

from types import SimpleNamespace

import pytest

from mne_mc2sleep.datasets import Fold, make_folds


@pytest.mark.parametrize(("n_folds", "n_validation"), [(2, 0), (3, 1), (10, 4)])
def test_every_subject_is_tested_once_and_has_one_part(n_folds, n_validation):
    folds = make_folds(range(10), n_folds, n_validation)
    assert [subject for fold in folds for subject in fold.test] == list(range(10))
    for fold in folds:
        assert sorted(sum(fold, ())) == list(range(10))
        assert len(fold.validation) == n_validation


def test_validation_subjects_are_spread():
    """Of the others, the middle of each equal part validates."""
    fold = make_folds("abcdefghi", 9, 2)[0]
    assert fold == Fold(train=tuple("bcefgi"), validation=("d", "h"), test=("a",))


def test_repeated_subjects_count_once():
    assert make_folds([1, 1, 2, 2, 3], 3, 1) == make_folds([1, 2, 3], 3, 1)


@pytest.mark.parametrize(
    ("n_folds", "n_validation", "message"),
    [(1, 0, "into 1 folds"), (6, 0, "into 6 folds"), (5, 4, "left to train")],
)
def test_refuses_impossible_folds(n_folds, n_validation, message):
    with pytest.raises(ValueError, match=message):
        make_folds(range(5), n_folds, n_validation)


def test_splits_nights_by_subject():
    nights = [SimpleNamespace(subject=subject) for subject in (1, 2, 1, 3, 9)]
    parts = Fold(train=(1,), validation=(2,), test=(3,)).split(iter(nights))
    assert [[night.subject for night in part] for part in parts] == [[1, 1], [2], [3]]
