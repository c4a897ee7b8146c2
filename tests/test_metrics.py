"""Tests of the metrics."""

import time
from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score
from yasa import Hypnogram

from mne_mc2sleep import (
    annotate_review,
    hypnogram_to_annotations,
    plot_hypnogram,
    read_review,
    stage_scorer,
    write_hypnogram,
)
from mne_mc2sleep.io.hypnograms import make_hypnogram
from mne_mc2sleep.metrics import (
    epochs_to_review,
    expected_calibration_error,
    reliability_bins,
    risk_coverage,
    score_stages,
)


def two_scorers(n_epochs=300, n_stages=5):
    """Return the stages of an expert and of a stager that agrees on most."""
    rng = np.random.default_rng(0)
    reference = rng.integers(n_stages, size=n_epochs)
    is_wrong = rng.random(n_epochs) < 0.3
    return reference, np.where(
        is_wrong, rng.integers(n_stages, size=n_epochs), reference
    )


def test_scores_are_those_of_scikit_learn():
    reference, predicted = two_scorers()
    scores = score_stages(reference, predicted)
    assert scores["n_epochs"] == 300
    assert scores["accuracy"] == accuracy_score(reference, predicted)
    assert scores["kappa"] == cohen_kappa_score(reference, predicted)
    expected = f1_score(reference, predicted, average="macro")
    assert scores["macro_f1"] == pytest.approx(expected)
    by_stage = [scores[f"f1_{s}"] for s in ("WAKE", "N1", "N2", "N3", "REM")]
    np.testing.assert_allclose(by_stage, f1_score(reference, predicted, average=None))


def test_epochs_that_either_left_unscored_do_not_count():
    reference, predicted = two_scorers()
    expected = score_stages(reference[2:-2], predicted[2:-2])
    reference[:2] = predicted[-2:] = -1
    assert score_stages(reference, predicted) == expected


def test_a_stage_that_only_the_prediction_has_is_not_in_macro_f1():
    scores = score_stages([0, 0, 2, 2], [0, 4, 2, 2])
    assert scores["f1_REM"] == 0
    assert np.isnan(scores["f1_N1"])
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)


def test_agreement_on_one_single_stage_is_full_agreement():
    """Kappa is 0/0 there; it is taken as 1."""
    scores = score_stages([2, 2, -1], [2, 2, 2])
    assert scores["kappa"] == scores["accuracy"] == scores["macro_f1"] == 1


NAMES = np.array(["WAKE", "N1", "N2", "N3", "REM", "ART", "UNS"])


def in_every_form(stages, folder):
    """Return the same stages in each form that the package takes."""
    hypno = Hypnogram(NAMES[stages], start="2020-01-01 23:00:00", scorer="Expert")
    fname = folder / "stages.csv"
    write_hypnogram(fname, hypno)
    return {
        "Hypnogram": hypno,
        "in steps of 10 s": Hypnogram(np.repeat(NAMES[stages], 3), freq="10s"),
        "Annotations": hypnogram_to_annotations(hypno),
        "file": fname,
        "integers": stages,
        "list": stages.tolist(),
        "Series of integers": hypno.as_int(),
        "names": NAMES[stages],
        "list of names": NAMES[stages].tolist(),
        "Series of names": hypno.hypno,
    }


def test_all_forms_of_hypnograms_give_the_same_scores(tmp_path):
    """At once: scikit-learn would read a Hypnogram for minutes."""
    reference, predicted = two_scorers()
    reference[:2], predicted[-2:] = -1, -2
    probabilities = np.full((300, 5), 0.1) + 0.5 * np.eye(5)[predicted]
    expected = score_stages(reference, predicted)
    error = expected_calibration_error(probabilities, reference)
    assert expected["n_epochs"] == 296
    start = time.process_time()
    for name, stages in in_every_form(reference, tmp_path).items():
        assert score_stages(stages, predicted) == expected, name
        assert score_stages(predicted, stages)["kappa"] == expected["kappa"], name
        assert expected_calibration_error(probabilities, stages) == error, name
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("function", "arguments", "match"),
    [
        (score_stages, ([0, 1, 2], [0, 1]), "has 3 epochs and the prediction 2"),
        (score_stages, ([-1, 2], [2, -1]), "No epoch is scored in both"),
        (risk_coverage, (np.eye(5)[:2], [0, 1, 2]), r"shape \(2, 5\) and 3 stages"),
        (reliability_bins, (np.eye(5)[:1], [-1]), "No epoch has both a stage and prob"),
        (epochs_to_review, (Hypnogram(["N1", "N2"]),), "has no probabilities"),
        (stage_scorer, ("auc",), r"'kappa', .* got 'auc' instead"),
    ],
)
def test_error_if_there_is_nothing_to_compare(function, arguments, match):
    with pytest.raises(ValueError, match=match):
        function(*arguments)


def certain_by(*confidences):
    """Return probabilities whose top one, that of WAKE, is given for each epoch."""
    top = np.array(confidences)[:, None]
    return np.hstack([top, np.repeat((1 - top) / 4, 4, axis=1)])


def test_a_bin_holds_the_means_of_its_epochs():
    proba = certain_by(0.62, 0.68, 0.9)
    bins = reliability_bins(proba, [0, 1, 0], n_bins=5)
    assert bins["n_epochs"].tolist() == [0, 0, 0, 2, 1]
    assert bins.loc[3, "confidence"] == pytest.approx(0.65)
    assert bins.loc[3, "accuracy"] == 0.5
    assert bins.loc[3, ["lower", "upper"]].tolist() == [0.6, 0.8]
    error = expected_calibration_error(proba, [0, 1, 0], n_bins=5)
    assert error == pytest.approx((2 * 0.15 + 0.1) / 3)


def test_the_least_certain_epochs_are_left_out_first():
    """Those of one confidence together: their order says nothing."""
    curve = risk_coverage(certain_by(0.9, 0.5, 0.7, 0.5), [0, 1, 0, 0])
    assert curve["confidence"].tolist() == [0.9, 0.7, 0.5]
    assert curve["coverage"].tolist() == [0.25, 0.5, 1]
    assert curve["accuracy"].tolist() == [1, 1, 0.75]


@pytest.mark.parametrize("function", [reliability_bins, risk_coverage])
def test_unscored_and_unusable_epochs_have_no_confidence(function):
    """Neither those of the scorer nor those that predict_proba gives as UNS."""
    proba = pd.DataFrame(
        certain_by(0.9, 0.8, 0.7, 0.6), columns=["WAKE", "N1", "N2", "N3", "REM"]
    )
    proba["UNS"] = 0.0
    proba.loc[1] = [0, 0, 0, 0, 0, 1.0]
    found = function(proba, np.array([0, 0, -1, 0]))
    expected = function(certain_by(0.9, 0.6), np.array([0, 0]))
    pd.testing.assert_frame_equal(found, expected)
    hypno = make_hypnogram_of_three()
    pd.testing.assert_frame_equal(
        function(hypno, [0] * 4), function(hypno.proba, [0] * 4)
    )


def make_hypnogram_of_three():
    """Make a hypnogram of a sure, a doubtful, an unusable and a fair epoch."""
    sure, doubtful = [0.9, 0.05, 0.05, 0, 0], [0.1, 0.4, 0.35, 0.05, 0.1]
    proba = np.array([sure, doubtful, [0.2] * 5, [0, 0, 0.3, 0.7, 0]])
    return make_hypnogram(proba, np.array([True, True, False, True]), None)


def test_review_lists_the_least_certain_first():
    hypno = make_hypnogram_of_three()
    epochs = epochs_to_review(hypno, share=1)
    assert epochs["epoch"].tolist() == [1, 3, 0]
    assert epochs["onset"].tolist() == [30, 90, 0]
    assert epochs.loc[0, ["stage", "second"]].tolist() == ["N1", "N2"]
    assert epochs["confidence"].tolist() == pytest.approx([0.4, 0.7, 0.9])
    # The share is of the epochs that hold EEG.
    assert [len(epochs_to_review(hypno, share)) for share in (0, 1 / 3)] == [0, 1]


@pytest.mark.parametrize(
    "function",
    [
        epochs_to_review,
        annotate_review,
        plot_hypnogram,
        partial(read_review, annotations=[]),
    ],
)
def test_functions_of_epochs_refuse_steps(function):
    """As of the probabilities that predict_proba(step=10) returns."""
    proba = make_hypnogram_of_three().proba.iloc[[0, 1, 3], :5]
    hypno = Hypnogram(proba.idxmax(axis=1).to_numpy(), freq="10s", proba=proba)
    with pytest.raises(ValueError, match=r"must have epochs of 30 s, got 10 s"):
        function(hypno)
