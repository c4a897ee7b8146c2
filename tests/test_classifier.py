"""The stager as a user meets it: recordings in, hypnograms out."""

import pickle

import mne
import numpy as np
import pandas as pd
import pytest
import torch
import yasa
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import cohen_kappa_score
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.utils import estimator_checks
from stagers import QUICK

from mne_mc2sleep import MC2SleepClassifier
from mne_mc2sleep.training import trainer

pytestmark = pytest.mark.usefixtures("tiny_small")

STAGES = ["WAKE", "N1", "N2", "N3", "REM"]
DATA_FREE_CHECKS = [
    "check_estimator_cloneable",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_estimator_repr",
    "check_no_attributes_set_in_init",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_mixin_order",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
    "check_estimators_unfitted",
]


def _state(clf):
    return {name: t.clone() for name, t in clf.stager_.net.state_dict().items()}


def _is_equal(state, other):
    return all(torch.equal(state[name], other[name]) for name in state)


@pytest.mark.parametrize("check", DATA_FREE_CHECKS)
def test_passes_scikit_learns_data_free_checks(check):
    """The estimator keeps scikit-learn's conventions."""
    getattr(estimator_checks, check)("MC2SleepClassifier", MC2SleepClassifier())


def test_predict_returns_a_yasa_hypnogram(fitted, raw):
    """One stage per epoch, probabilities, YASA's start, our name as the scorer."""
    hypno = fitted.predict(raw)
    assert isinstance(hypno, yasa.Hypnogram)
    assert len(hypno) == 80
    assert hypno.scorer == "MC2SleepNet"
    assert hypno.start == raw.info["meas_date"]
    assert list(hypno.proba.columns) == STAGES
    np.testing.assert_allclose(hypno.proba.sum(axis=1), 1)
    assert (hypno.proba.idxmax(axis=1).to_numpy() == hypno.hypno.to_numpy()).all()


def test_list_returns_list(fitted, scored_raws):
    """A list of recordings gives a list of the same hypnograms as one by one."""
    hypnos = fitted.predict(scored_raws[0][:2])
    probas = fitted.predict_proba(scored_raws[0][:2])
    for raw, hypno, proba in zip(scored_raws[0], hypnos, probas, strict=False):
        assert fitted.predict_proba(raw).equals(proba)
        assert hypno.proba.equals(proba)


def test_recording_may_be_a_path(fitted, raw, tmp_path):
    """A recording on disk is staged as the same recording in memory."""
    fname = tmp_path / "night_raw.fif"
    raw.save(fname, fmt="double")
    proba = fitted.predict_proba(fname)
    np.testing.assert_allclose(proba, fitted.predict_proba(raw), atol=1e-6)


def test_caller_s_objects_are_unchanged(scored_raws):
    """Neither training nor staging changes a recording or its stages."""
    raw, stages = scored_raws[0][0].copy(), scored_raws[1][0].copy()
    raw.set_annotations(mne.Annotations([30], [20], ["BAD_move"]))
    before = raw.copy()
    raws = [raw, *scored_raws[0][1:]]
    MC2SleepClassifier(**QUICK).fit(raws, scored_raws[1]).predict(raw)
    assert np.array_equal(raw.get_data(), before.get_data())
    assert raw.info["highpass"] == before.info["highpass"]
    assert raw.annotations == before.annotations
    assert np.array_equal(stages, scored_raws[1][0])


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


def test_clone_has_parameters_but_no_weights(fitted, raw):
    """As in scikit-learn, a clone is not fitted."""
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError, match="no weights yet"):
        copy.predict(raw)


@pytest.mark.parametrize(
    "call", ["predict", "predict_proba", "score", "finetune", "save"]
)
def test_needs_weights(call, raw):
    """Before training there is nothing to stage by, to fine-tune or to save."""
    with pytest.raises(NotFittedError, match="from_pretrained"):
        getattr(MC2SleepClassifier(), call)(raw)


def test_pretraining_needs_no_stages(scored_raws):
    """Pretrained without stages it cannot stage until it is fine-tuned."""
    raws, stages = scored_raws
    clf = MC2SleepClassifier(**QUICK).pretrain(raws)
    with pytest.raises(NotFittedError, match="Call 'finetune' with scored nights"):
        clf.predict(raws[0])
    clf.finetune(raws, stages)
    assert set(clf.history_["phase"]) == {"Pretraining", "Fine-tuning"}
    assert len(clf.predict(raws[0])) == 80


def test_pretraining_with_stages_can_stage(scored_raws):
    """Pretraining uses stages where there are any."""
    raws, stages = scored_raws
    clf = MC2SleepClassifier(**QUICK).pretrain(raws, [stages[0], None, None])
    assert list(clf.classes_) == STAGES
    assert len(clf.predict(raws[0])) == 80


def test_fit_starts_from_scratch(scored_raws):
    """Fitted twice with one random state, the weights are the same to the bit."""
    clf = MC2SleepClassifier(**QUICK).fit(*scored_raws)
    first = _state(clf)
    assert _is_equal(first, _state(clf.fit(*scored_raws)))
    other = clf.set_params(random_state=1).fit(*scored_raws)
    assert not _is_equal(first, _state(other))


def test_finetuning_keeps_the_backbones(fitted, scored_raws):
    """Both backbones are bit-identical, BatchNorm statistics included; heads move."""
    clf = pickle.loads(pickle.dumps(fitted))
    before = _state(clf)
    after = _state(clf.set_params(adaptation=1.0).finetune(*scored_raws))
    backbones = [name for name in before if "_backbone." in name]
    assert any("running_mean" in name for name in backbones)
    assert all(torch.equal(before[name], after[name]) for name in backbones)
    assert not torch.equal(before["total_head.weight"], after["total_head.weight"])


def test_unusable_epochs_are_uns_on_the_same_grid(fitted, raw):
    """NaN and BAD epochs are UNS; no epoch is shifted or dropped."""
    broken = raw.copy()
    broken.apply_function(lambda x: np.where(np.arange(x.size) // 3000 == 7, np.nan, x))
    broken.set_annotations(mne.Annotations([600], [90], ["BAD_artefact"]))
    hypno = fitted.predict(broken)
    assert len(hypno) == 80
    assert list(np.flatnonzero(hypno.hypno == "UNS")) == [7, 20, 21, 22]
    assert (hypno.proba["UNS"].iloc[[7, 20, 21, 22]] == 1).all()


def test_nan_epochs_change_no_far_epoch(fitted, raw):
    """Epochs beyond the context of a NaN epoch are staged as without it."""
    broken = raw.copy()
    broken.apply_function(
        lambda x: np.where(np.arange(x.size) // 3000 == 40, np.nan, x)
    )
    far = np.abs(np.arange(80) - 40) > 12
    clean, dirty = fitted.predict_proba(raw), fitted.predict_proba(broken)
    np.testing.assert_allclose(dirty[STAGES][far], clean[far], atol=1e-3)


def test_channels_are_averaged(fitted, raw):
    """They give the normalised geometric mean of their probabilities."""
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
    ("names", "match"),
    [
        (["EEG Fpz-Cz", "C4-M1"], "no channel 'C4-M1'"),
        (["EEG Fpz-Cz", "fpz-cz"], "names a channel twice"),
        ("EEG Fpz-Cz", "must be a list"),
        ([], "must be a list"),
    ],
)
def test_all_channels_to_average_must_exist(names, match, fitted, raw):
    """Each once, under any spelling."""
    with pytest.raises(ValueError, match=match):
        fitted.predict(raw, average_channels=names)


def test_score_is_kappa_by_position(fitted, scored_raws):
    """The score is scikit-learn's kappa of the pooled epochs for any start."""
    raws, stages = scored_raws
    predicted = [hypno.as_int() for hypno in fitted.predict(raws)]
    expected = cohen_kappa_score(np.concatenate(stages), np.concatenate(predicted))
    assert fitted.score(raws, stages) == pytest.approx(expected)
    undated = [raw.copy().set_meas_date(None) for raw in raws]
    assert fitted.score(undated, stages) == pytest.approx(expected)


def test_score_ignores_unscored_epochs(fitted, scored_raws):
    """Epochs without an expert's stage, or without EEG, do not count."""
    raw, stages = scored_raws[0][0].copy(), scored_raws[1][0].copy()
    stages[:10] = -2
    raw.set_annotations(mne.Annotations([600], [90], ["BAD_artefact"]))
    predicted = fitted.predict(raw).as_int().to_numpy()
    counts = (stages >= 0) & (predicted >= 0)
    expected = cohen_kappa_score(stages[counts], predicted[counts])
    assert fitted.score(raw, stages) == pytest.approx(expected)


def test_own_annotations_are_the_hypnogram(fitted, scored_raws):
    """Without hypnograms, the recordings' own annotations are used."""
    raw, stages = scored_raws[0][0].copy(), scored_raws[1][0]
    names = [f"Sleep stage {'W123R'[stage]}" for stage in stages]
    raw.set_annotations(mne.Annotations(np.arange(80) * 30.0, 30, names))
    assert fitted.score(raw) == fitted.score(raw, stages)


def test_hypnograms_may_be_of_mixed_kinds(fitted, scored_raws):
    """YASA's hypnograms, integers and names train the same stager."""
    raws, stages = scored_raws
    names = [STAGES[stage] for stage in stages[1]]
    hypno = yasa.Hypnogram.from_integers(stages[2])
    mixed = MC2SleepClassifier(**QUICK).fit(raws, [stages[0], names, hypno])
    assert _is_equal(_state(mixed), _state(fitted))


def test_one_recording_is_enough(scored_raws):
    """A single night trains; nobody is held out, so it is not calibrated."""
    clf = MC2SleepClassifier(**QUICK).fit(scored_raws[0][0], scored_raws[1][0])
    assert clf.stager_.calibration_temperature == 1
    assert clf.stager_.provenance[-1]["n_nights"] == 1


def test_absent_stage_is_warned_of_and_keeps_its_column(scored_raws):
    """Probabilities have five columns even if a stage could not be learnt."""
    raws, stages = scored_raws
    stages = [np.where(s == 3, 2, s) for s in stages]
    with pytest.warns(RuntimeWarning, match="No epoch of N3"):
        clf = MC2SleepClassifier(**QUICK).fit(raws, stages)
    assert list(clf.predict_proba(raws[0]).columns) == STAGES


def test_robust_scaling_ignores_the_gain(scored_raws):
    """With scaling="robust" an amplifier's gain does not change the stages."""
    raws, stages = scored_raws
    clf = MC2SleepClassifier(**QUICK, scaling="robust").fit(raws, stages)
    louder = raws[0].copy().apply_function(lambda x: 2.5 * x)
    np.testing.assert_allclose(
        clf.predict_proba(louder), clf.predict_proba(raws[0]), atol=1e-3
    )


def test_interrupted_training_keeps_the_best_weights(scored_raws, monkeypatch, capsys):
    """Ctrl-C ends the training, says so, and leaves a stager that stages."""
    train_once, calls = trainer._train_once, []

    def interrupt(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return train_once(*args)

    monkeypatch.setattr(trainer, "_train_once", interrupt)
    clf = MC2SleepClassifier(**QUICK).set_params(pretrain_train_epochs=9)
    clf.fit(*scored_raws, verbose=True)
    assert "interrupted" in capsys.readouterr().out
    assert len(clf.history_) == 2
    assert len(clf.predict(scored_raws[0][0])) == 80


def test_progress_bar_follows_verbose(fitted, scored_raws, capsys):
    """MNE's progress bar shows at level info, and not at level warning."""
    clf = pickle.loads(pickle.dumps(fitted))
    clf.finetune(*scored_raws, verbose="warning")
    assert "Fine-tuning" not in capsys.readouterr().err
    clf.finetune(*scored_raws, verbose="info")
    assert "Fine-tuning" in capsys.readouterr().err


def test_cross_validates_by_subject(scored_raws):
    """GroupKFold on lists of recordings works."""
    split = {"groups": ["a", "b", "c"], "cv": GroupKFold(3)}
    clf = MC2SleepClassifier(**QUICK)
    scores = cross_val_score(clf, *scored_raws, **split, error_score="raise")
    assert np.isfinite(scores).all()


def test_searches_parameters(scored_raws):
    """GridSearchCV finds a mask ratio on lists of recordings."""
    search = GridSearchCV(
        MC2SleepClassifier(**QUICK),
        {"mask_ratio": [0.25, 0.5]},
        cv=GroupKFold(2),
        error_score="raise",
    )
    search.fit(*scored_raws, groups=["a", "a", "b"])
    assert search.best_params_["mask_ratio"] in (0.25, 0.5)
