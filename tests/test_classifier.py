"""The stager as a user meets it: recordings in, hypnograms out."""

import pickle

import numpy as np
import pandas as pd
import pytest
import yasa
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import cohen_kappa_score
from sklearn.model_selection import cross_val_score
from sklearn.utils import estimator_checks
from stagers import QUICK, is_equal, learnt

from mne_mc2sleep import MC2SleepClassifier, attention_maps

pytestmark = pytest.mark.usefixtures("tiny_small")

STAGES = ["WAKE", "N1", "N2", "N3", "REM"]
DATA_FREE_CHECKS = [
    "check_estimator_cloneable",
    "check_valid_tag_types",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
    "check_estimators_unfitted",
]


@pytest.mark.parametrize("check", DATA_FREE_CHECKS)
def test_passes_scikit_learns_data_free_checks(check):
    getattr(estimator_checks, check)("MC2SleepClassifier", MC2SleepClassifier())


def test_predict_returns_a_yasa_hypnogram(fitted, raw):
    """One stage per epoch, probabilities, YASA's start, our name as the scorer."""
    hypno = fitted.predict(raw)
    assert isinstance(hypno, yasa.Hypnogram)
    assert len(hypno) == 40
    assert hypno.scorer == "MC2SleepNet"
    assert hypno.start == raw.info["meas_date"]
    assert list(hypno.proba.columns) == STAGES
    np.testing.assert_allclose(hypno.proba.sum(axis=1), 1)
    assert (hypno.proba.idxmax(axis=1).to_numpy() == hypno.hypno.to_numpy()).all()


def test_list_returns_list(fitted, scored_raws):
    hypnos = fitted.predict(scored_raws[0][:2])
    probas = fitted.predict_proba(scored_raws[0][:2])
    for raw, hypno, proba in zip(scored_raws[0], hypnos, probas, strict=False):
        assert fitted.predict_proba(raw).equals(proba)
        assert hypno.proba.equals(proba)


def test_copies_by_pickle_and_by_save_stage_identically(fitted, raw, tmp_path):
    """To the bit; parameters of the training are saved, too."""
    fname = tmp_path / "lab.safetensors"
    fitted.save(fname)
    loaded = MC2SleepClassifier.from_pretrained(fname)
    proba = fitted.predict_proba(raw)
    for copy in (pickle.loads(pickle.dumps(fitted)), loaded):
        assert copy.predict_proba(raw).equals(proba)
        assert copy.picks == "EEG Fpz-Cz"
        assert copy.batch_size == QUICK["batch_size"]
    assert loaded.stager_.net.config.sequence_length == QUICK["sequence_length"]


def test_training_can_be_watched(scored_raws, tmp_path):
    """The callback gets each row of the history, and is not saved."""
    rows = []
    clf = MC2SleepClassifier(**QUICK, precision="bfloat16", callback=rows.append)
    clf.fit(*scored_raws)
    assert clf.history_.equals(pd.DataFrame(rows))
    assert {row["phase"] for row in rows} == {"Pretraining", "Fine-tuning"}
    clf.save(tmp_path / "watched.safetensors")
    loaded = MC2SleepClassifier.from_pretrained(tmp_path / "watched.safetensors")
    assert loaded.callback is None


def test_ctrl_c_ends_a_cross_validation(scored_raws):
    """An interrupted fit raises, and keeps the best weights; others stay."""

    def interrupt(row):
        raise KeyboardInterrupt

    clf = MC2SleepClassifier(**QUICK, callback=interrupt)
    with pytest.raises(KeyboardInterrupt):
        cross_val_score(clf, *scored_raws, cv=3)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(*scored_raws)
    assert len(clf.history_) == 1


@pytest.mark.parametrize(
    "call", ["predict", "predict_proba", "score", "finetune", "save", attention_maps]
)
def test_needs_weights(call, raw):
    call = getattr(MC2SleepClassifier, call) if isinstance(call, str) else call
    with pytest.raises(NotFittedError, match="from_pretrained"):
        call(MC2SleepClassifier(), raw)


def test_pretraining_needs_no_stages(scored_raws):
    """But staging does, of one night at least."""
    raws, stages = scored_raws
    clf = MC2SleepClassifier(**QUICK).pretrain(raws)
    with pytest.raises(NotFittedError, match="Call 'finetune' with scored nights"):
        clf.predict(raws[0])
    clf.finetune(raws, stages)
    assert set(clf.history_["phase"]) == {"Pretraining", "Fine-tuning"}
    pretrained = clone(clf).pretrain(raws, [stages[0], None, None])
    assert list(pretrained.classes_) == STAGES
    assert len(clf.predict(raws[0])) == len(pretrained.predict(raws[0])) == 40


def test_fit_starts_from_scratch(scored_raws):
    clf = MC2SleepClassifier(**QUICK).fit(*scored_raws)
    first = learnt(clf)
    assert is_equal(first, learnt(clf.fit(*scored_raws)))
    other = clf.set_params(random_state=1).fit(*scored_raws)
    assert not is_equal(first, learnt(other))


def test_channels_are_averaged(fitted, raw):
    probas = [fitted.predict_proba(raw, picks=name) for name in raw.ch_names]
    mean = np.sqrt(probas[0].to_numpy() * probas[1].to_numpy())
    mean /= mean.sum(axis=1, keepdims=True)
    both = fitted.predict_proba(raw, average_channels=raw.ch_names)
    np.testing.assert_allclose(both, mean, atol=1e-6)


def test_picks_are_alternatives_everywhere(fitted, scored_raws):
    """The first channel that exists is staged: in the constructor and in each call."""
    raw, stages = scored_raws[0][0], scored_raws[1][0]
    names = ["EEG Cz-A1", "EEG Pz-Oz"]
    expected = fitted.predict_proba(raw, picks="EEG Pz-Oz")
    clf = clone(fitted).set_params(picks=names)
    clf.stager_ = fitted.stager_
    assert clf.predict_proba(raw).equals(expected)
    assert fitted.predict_proba(raw, picks=names).equals(expected)
    assert fitted.score(raw, stages, picks=names) == clf.score(raw, stages)


@pytest.mark.parametrize(
    ("channels", "match"),
    [
        ({"average_channels": ["EEG Fpz-Cz", "C4-M1"]}, "no channel 'C4-M1'"),
        ({"average_channels": ["EEG Fpz-Cz", "fpz-cz"]}, "names a channel twice"),
        ({"average_channels": "EEG Fpz-Cz"}, "must be a list"),
        ({"average_channels": []}, "must be a list"),
        ({"picks": []}, "'picks' is empty"),
        ({"raws": []}, "list of recordings is empty"),
    ],
)
def test_what_to_stage_must_exist(channels, match, fitted, raw):
    with pytest.raises(ValueError, match=match):
        fitted.predict(**{"raws": raw} | channels)


def test_score_is_kappa_by_position(fitted, scored_raws):
    """The score is scikit-learn's kappa of the pooled epochs for any start."""
    raws, stages = scored_raws
    predicted = [hypno.as_int() for hypno in fitted.predict(raws)]
    expected = cohen_kappa_score(np.concatenate(stages), np.concatenate(predicted))
    assert fitted.score(raws, stages) == pytest.approx(expected)
    undated = [raw.copy().set_meas_date(None) for raw in raws]
    assert fitted.score(undated, stages) == pytest.approx(expected)


def test_hypnograms_may_be_of_mixed_kinds(fitted, scored_raws):
    """YASA's hypnograms, integers and names train the same stager."""
    raws, stages = scored_raws
    names = [STAGES[stage] for stage in stages[1]]
    hypno = yasa.Hypnogram.from_integers(stages[2])
    mixed = MC2SleepClassifier(**QUICK).fit(raws, [stages[0], names, hypno])
    assert is_equal(learnt(mixed), learnt(fitted))


def test_robust_scaling_ignores_the_gain(scored_raws):
    raws, stages = scored_raws
    clf = MC2SleepClassifier(**QUICK, scaling="robust").fit(raws, stages)
    louder = raws[0].copy().apply_function(lambda x: 2.5 * x)
    np.testing.assert_allclose(
        clf.predict_proba(louder), clf.predict_proba(raws[0]), atol=1e-3
    )


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"size": "huge"}, "size"),
        ({"mask_ratio": 1.5}, "mask_ratio"),
        ({"precision": "float16"}, "precision"),
        ({"batch_size": 2.5}, "batch_size"),
        ({"scaling": "minmax"}, "scaling"),
        ({"sequence_length": 0}, "sequence_length"),
        ({"validation_fraction": 1.0}, "validation_fraction"),
        ({"adaptation": "half"}, "adaptation"),
    ],
)
def test_bad_parameters_are_named_before_any_training(parameters, name, scored_raws):
    with pytest.raises(ValueError, match=f"The '{name}' parameter"):
        MC2SleepClassifier(**parameters).fit(*scored_raws)
