"""Tests of the evaluation on recordings."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GroupKFold, cross_validate
from yasa import Hypnogram

from mne_mc2sleep import (
    evaluate,
    expected_calibration_error,
    hypnogram_to_annotations,
    score_stages,
    stage_scorer,
)


@pytest.fixture(scope="module")
def staged(fitted, scored_raws):
    """Return the stager, recordings, their stages, and what is predicted."""
    raws, stages = scored_raws
    return fitted, raws, stages, fitted.predict(raws)


def test_rows_are_recordings_subjects_and_the_pooled_epochs(staged):
    clf, raws, stages, hypnos = staged
    table = evaluate(clf, raws, stages, groups=["A", "B", "A"])
    assert table["level"].tolist() == 3 * ["recording"] + 2 * ["subject"] + ["pooled"]
    assert table.index.tolist() == [0, 1, 2, "A", "B", "pooled"]
    for name, rows in {0: [0], "A": [0, 2], "B": [1], "pooled": [0, 1, 2]}.items():
        reference = np.concatenate([stages[i] for i in rows])
        predicted = np.concatenate([hypnos[i].as_int() for i in rows])
        proba = pd.concat([hypnos[i].proba for i in rows])
        expected = score_stages(reference, predicted)
        expected["ece"] = expected_calibration_error(proba, reference)
        assert table.loc[name].drop("level").to_dict() == pytest.approx(
            expected, nan_ok=True
        )


def test_one_recording_by_its_path(staged, tmp_path):
    """A path is the name of its row; its own annotations are the reference."""
    clf, raws, stages, _ = staged
    raw = raws[0].copy()
    raw.set_annotations(hypnogram_to_annotations(Hypnogram.from_integers(stages[0])))
    fname = tmp_path / "night_raw.fif"
    raw.save(fname)
    table = evaluate(clf, fname)
    assert table.index.tolist() == [str(fname), "pooled"]
    expected = evaluate(clf, raws[0], stages[0])
    np.testing.assert_allclose(table["ece"], expected["ece"], rtol=1e-3)


def test_annotations_of_a_cropped_recording_without_a_date(staged):
    """MNE counts their times from before the recording was cropped."""
    clf, raws, stages, _ = staged
    raw = raws[0].copy().set_meas_date(None)
    raw.set_annotations(hypnogram_to_annotations(Hypnogram.from_integers(stages[0])))
    raw.crop(300)
    expected = evaluate(clf, raw, stages[0][10:])
    for hypno in (None, raw.annotations):
        pd.testing.assert_frame_equal(evaluate(clf, raw, hypno), expected)


def test_channels_can_be_averaged(staged):
    clf, raws, stages, _ = staged
    channels = raws[0].ch_names
    hypno = clf.predict(raws[0], average_channels=channels)
    table = evaluate(clf, raws[0], stages[0], average_channels=channels)
    assert table.loc["pooled", "kappa"] == score_stages(stages[0], hypno)["kappa"]


def test_hypnograms_in_another_time_zone_are_compared_by_position(staged):
    clf, raws, stages, hypnos = staged
    start = pd.Timestamp(hypnos[0].start).tz_convert("Europe/Berlin")
    moved = Hypnogram.from_integers(stages[0], start=start)
    expected = evaluate(clf, raws[0], stages[0])
    pd.testing.assert_frame_equal(evaluate(clf, raws[0], moved), expected)


def test_an_unscored_recording_has_no_scores(staged):
    """Its row is NaN, and the pooled one is that of the others."""
    clf, raws, stages, _ = staged
    table = evaluate(clf, raws[:2], [np.full(40, -1), stages[1]])
    n_epochs = table.loc[1, "n_epochs"]
    assert table["n_epochs"].tolist() == [0, n_epochs, n_epochs]
    assert table.loc[0].drop(["level", "n_epochs"]).isna().all()
    assert table.loc["pooled", "kappa"] == table.loc[1, "kappa"]
    with pytest.raises(ValueError, match="nothing to compare"):
        evaluate(clf, raws[0], np.full(40, -1))


@pytest.mark.parametrize("metric", ["kappa", "accuracy", "macro_f1"])
def test_scorer_is_the_metric_of_the_pooled_epochs(staged, metric):
    """It takes any form of hypnogram."""
    clf, raws, stages, _ = staged
    hypnos = [Hypnogram.from_integers(night) for night in stages]
    expected = evaluate(clf, raws, stages).loc["pooled", metric]
    # Other processes get the scorers pickled.
    scorer = pickle.loads(pickle.dumps(stage_scorer(metric)))
    assert scorer(clf, raws, hypnos) == expected


def test_scorers_work_in_cross_validation(tiny_clf, scored_raws):
    several = {name: stage_scorer(name) for name in ("macro_f1", "accuracy")}
    folds = {"groups": ["A", "B", "B"], "cv": GroupKFold(2)}
    scores = cross_validate(tiny_clf, *scored_raws, scoring=several, **folds)
    assert [scores[f"test_{name}"].shape for name in several] == [(2,), (2,)]
