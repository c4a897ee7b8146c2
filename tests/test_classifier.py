"""Tests of the stager as a user meets it: recordings in, hypnograms out."""

import pickle

import mne
import numpy as np
import pytest
import torch
import yasa
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import cohen_kappa_score
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.utils import estimator_checks

from mne_mc2sleep import MC2SleepClassifier, simulate_night, training

STAGES = ["WAKE", "N1", "N2", "N3", "REM"]
# Short nights that hold all five stages.
SEEDS = (3, 10, 69)
# Little training: these tests ask how things fit together, not how well it stages.
QUICK = {
    "picks": "EEG Fpz-Cz",
    "sequence_length": 10,
    "batch_size": 8,
    "pretrain_train_epochs": 1,
    "finetune_train_epochs": 2,
    "random_state": 0,
}
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


@pytest.fixture(scope="module")
def nights():
    """Three simulated recordings of 80 epochs, and their stages as integers."""
    pairs = [simulate_night(2400, random_state=seed) for seed in SEEDS]
    return [raw for raw, _ in pairs], [h.as_int().to_numpy() for _, h in pairs]


@pytest.fixture(scope="module")
def raw(nights):
    """One of the recordings."""
    return nights[0][0]


@pytest.fixture(scope="module")
def fitted(nights):
    """Train a stager on the nights."""
    return MC2SleepClassifier(**QUICK).fit(*nights)


def _state(clf):
    return {name: t.clone() for name, t in clf.stager_.net.state_dict().items()}


def _is_equal(state, other):
    return all(torch.equal(state[name], other[name]) for name in state)


@pytest.mark.parametrize("check", DATA_FREE_CHECKS)
def test_passes_scikit_learns_data_free_checks(check):
    """The estimator keeps scikit-learn's conventions."""
    getattr(estimator_checks, check)("MC2SleepClassifier", MC2SleepClassifier())


def test_predict_gives_a_yasa_hypnogram(fitted, raw):
    """One stage per epoch, probabilities, YASA's start, our name as the scorer."""
    hypno = fitted.predict(raw)
    assert isinstance(hypno, yasa.Hypnogram)
    assert len(hypno) == 80
    assert hypno.scorer == "MC2SleepNet"
    assert hypno.start == raw.info["meas_date"]
    assert list(hypno.proba.columns) == STAGES
    np.testing.assert_allclose(hypno.proba.sum(axis=1), 1)
    assert (hypno.proba.idxmax(axis=1).to_numpy() == hypno.hypno.to_numpy()).all()


def test_list_gives_list(fitted, nights):
    """A list of recordings gives a list of the same hypnograms as one by one."""
    hypnos = fitted.predict(nights[0][:2])
    probas = fitted.predict_proba(nights[0][:2])
    for raw, hypno, proba in zip(nights[0], hypnos, probas, strict=False):
        assert fitted.predict_proba(raw).equals(proba)
        assert hypno.proba.equals(proba)


def test_recording_may_be_a_path(fitted, raw, tmp_path):
    """A recording on disk is staged as the same recording in memory."""
    fname = tmp_path / "night_raw.fif"
    raw.save(fname, fmt="double")
    proba = fitted.predict_proba(fname)
    np.testing.assert_allclose(proba, fitted.predict_proba(raw), atol=1e-6)


def test_caller_s_objects_are_untouched(nights):
    """Neither training nor staging changes a recording or its stages."""
    raw, stages = nights[0][0].copy(), nights[1][0].copy()
    raw.set_annotations(mne.Annotations([30], [20], ["BAD_move"]))
    before = raw.copy()
    MC2SleepClassifier(**QUICK).fit([raw, *nights[0][1:]], nights[1]).predict(raw)
    assert np.array_equal(raw.get_data(), before.get_data())
    assert raw.info["highpass"] == before.info["highpass"]
    assert raw.annotations == before.annotations
    assert np.array_equal(stages, nights[1][0])


def test_stages_as_before_after_pickle_and_save(fitted, raw, tmp_path):
    """Copies through pickle and safetensors give the same bits."""
    fname = tmp_path / "lab.safetensors"
    fitted.save(fname)
    proba = fitted.predict_proba(raw)
    for copy in (
        pickle.loads(pickle.dumps(fitted)),
        MC2SleepClassifier.from_pretrained(fname),
    ):
        assert copy.predict_proba(raw).equals(proba)
        assert copy.picks == "EEG Fpz-Cz"
        assert copy.sequence_length == 10


def test_clone_has_parameters_but_no_weights(fitted, raw):
    """As in scikit-learn, a clone is not fitted."""
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError, match="no weights yet"):
        copy.predict(raw)


@pytest.mark.parametrize("call", ["predict", "predict_proba", "score", "finetune"])
def test_needs_weights(call, raw):
    """Before training there is nothing to stage by or to fine-tune."""
    with pytest.raises(NotFittedError, match="from_pretrained"):
        getattr(MC2SleepClassifier(), call)(raw)


def test_save_needs_weights(tmp_path):
    """Before training there is nothing to save."""
    with pytest.raises(NotFittedError, match="no weights yet"):
        MC2SleepClassifier().save(tmp_path / "lab.safetensors")


def test_pretraining_needs_no_stages(nights):
    """Pretrained without stages it says so, and stages once fine-tuned."""
    raws, stages = nights
    clf = MC2SleepClassifier(**QUICK).pretrain(raws)
    with pytest.raises(NotFittedError, match="Call 'finetune' with scored nights"):
        clf.predict(raws[0])
    clf.finetune(raws, stages)
    assert set(clf.history_["phase"]) == {"Pretraining", "Fine-tuning"}
    assert len(clf.predict(raws[0])) == 80


def test_pretraining_with_stages_can_stage(nights):
    """Pretraining uses stages where there are any."""
    raws, stages = nights
    clf = MC2SleepClassifier(**QUICK).pretrain(raws, [stages[0], None, None])
    assert list(clf.classes_) == STAGES
    assert len(clf.predict(raws[0])) == 80


def test_pretraining_goes_on_from_weights(fitted, nights, tmp_path):
    """Weights that were loaded are not thrown away by pretrain."""
    fitted.save(tmp_path / "lab.safetensors")
    clf = MC2SleepClassifier.from_pretrained(tmp_path / "lab.safetensors")
    clf.set_params(learning_rate=1e-12).pretrain(nights[0])
    old, new = _state(fitted), _state(clf)
    weight = "signal_backbone.projection.weight"
    torch.testing.assert_close(old[weight], new[weight], atol=1e-6, rtol=0)


def test_fit_starts_anew(nights):
    """Fitted twice with one random state, the weights are the same to the bit."""
    clf = MC2SleepClassifier(**QUICK).fit(*nights)
    first = _state(clf)
    assert _is_equal(first, _state(clf.fit(*nights)))
    assert not _is_equal(first, _state(clf.set_params(random_state=1).fit(*nights)))


def test_finetuning_leaves_the_backbones(fitted, nights, tmp_path):
    """Both backbones are bit-identical, BatchNorm statistics included; heads move."""
    fitted.save(tmp_path / "lab.safetensors")
    clf = MC2SleepClassifier.from_pretrained(tmp_path / "lab.safetensors")
    before = _state(clf)
    after = _state(clf.finetune(*nights))
    backbones = [name for name in before if "_backbone." in name]
    assert any("running_mean" in name for name in backbones)
    assert all(torch.equal(before[name], after[name]) for name in backbones)
    assert not torch.equal(before["total_head.weight"], after["total_head.weight"])


def test_unusable_epochs_are_uns_and_the_grid_stays(fitted, raw):
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


def test_several_picks_are_averaged(fitted, raw):
    """Several channels give the normalised geometric mean of their probabilities."""
    clf = clone(fitted)
    clf.stager_ = fitted.stager_
    probas = [clf.predict_proba(raw, picks=name).to_numpy() for name in raw.ch_names]
    mean = np.sqrt(probas[0] * probas[1])
    mean /= mean.sum(axis=1, keepdims=True)
    both = clf.predict_proba(raw, picks=raw.ch_names)
    np.testing.assert_allclose(both, mean, atol=1e-6)


def test_picks_of_the_constructor_are_alternatives(fitted, raw):
    """Of a list in the constructor, the first channel that exists is staged."""
    clf = clone(fitted).set_params(picks=["EEG Cz-A1", "EEG Pz-Oz"])
    clf.stager_ = fitted.stager_
    expected = fitted.predict_proba(raw, picks="EEG Pz-Oz")
    assert clf.predict_proba(raw).equals(expected)


def test_score_is_kappa_by_position(fitted, nights):
    """The score is scikit-learn's kappa of the pooled epochs, whatever the start."""
    raws, stages = nights
    predicted = [hypno.as_int() for hypno in fitted.predict(raws)]
    expected = cohen_kappa_score(np.concatenate(stages), np.concatenate(predicted))
    assert fitted.score(raws, stages) == pytest.approx(expected)
    undated = [raw.copy().set_meas_date(None) for raw in raws]
    assert fitted.score(undated, stages) == pytest.approx(expected)


def test_score_leaves_out_what_is_unscored(fitted, nights):
    """Epochs without an expert's stage, or without EEG, do not count."""
    raw, stages = nights[0][0].copy(), nights[1][0].copy()
    stages[:10] = -2
    raw.set_annotations(mne.Annotations([600], [90], ["BAD_artefact"]))
    predicted = fitted.predict(raw).as_int().to_numpy()
    counts = (stages >= 0) & (predicted >= 0)
    expected = cohen_kappa_score(stages[counts], predicted[counts])
    assert fitted.score(raw, stages) == pytest.approx(expected)


def test_own_annotations_are_the_hypnogram(fitted, nights):
    """Without hypnograms, the recordings' own annotations are used."""
    raw, stages = nights[0][0].copy(), nights[1][0]
    names = [f"Sleep stage {'W123R'[stage]}" for stage in stages]
    raw.set_annotations(mne.Annotations(np.arange(80) * 30.0, 30, names))
    assert fitted.score(raw) == fitted.score(raw, stages)


def test_hypnograms_may_be_of_mixed_kinds(nights):
    """YASA's hypnograms, integers and names train the same stager."""
    raws, stages = nights
    names = [STAGES[stage] for stage in stages[1]]
    hypno = yasa.Hypnogram.from_integers(stages[2])
    mixed = MC2SleepClassifier(**QUICK).fit(raws, [stages[0], names, hypno])
    plain = MC2SleepClassifier(**QUICK).fit(raws, stages)
    assert _is_equal(_state(mixed), _state(plain))


def test_one_recording_is_enough(nights):
    """A single night trains; nobody is held out, so it is not calibrated."""
    clf = MC2SleepClassifier(**QUICK).fit(nights[0][0], nights[1][0])
    assert clf.stager_.temperature == 1
    assert clf.stager_.training_data["n_nights"] == 1


def test_absent_stage_is_told_and_keeps_its_column(nights):
    """A stage that no night holds is warned of; probabilities have five columns."""
    raws, stages = nights
    stages = [np.where(s == 3, 2, s) for s in stages]
    with pytest.warns(RuntimeWarning, match="No epoch of N3"):
        clf = MC2SleepClassifier(**QUICK).fit(raws, stages)
    assert list(clf.predict_proba(raws[0]).columns) == STAGES


def test_robust_scaling_ignores_the_gain(nights):
    """With scaling="robust" an amplifier's gain does not change the stages."""
    raws, stages = nights
    clf = MC2SleepClassifier(**QUICK, scaling="robust").fit(raws, stages)
    louder = raws[0].copy().apply_function(lambda x: 2.5 * x)
    np.testing.assert_allclose(
        clf.predict_proba(louder), clf.predict_proba(raws[0]), atol=1e-3
    )


def test_groups_are_held_out_whole(nights, monkeypatch):
    """Two nights of one subject are never on both sides of the validation."""
    seen = []
    finetune = training.finetune

    def spy(net, train, held_out, *args):
        seen.append([{night.subject for night in part} for part in (train, held_out)])
        return finetune(net, train, held_out, *args)

    monkeypatch.setattr(training, "finetune", spy)
    MC2SleepClassifier(**QUICK).fit(*nights, groups=["a", "a", "b"])
    assert sorted(map(sorted, seen[0])) == [["a"], ["b"]]


def test_interrupted_training_keeps_the_best_weights(nights, monkeypatch, capsys):
    """Ctrl-C ends the training, says so, and leaves a stager that stages."""
    train_once, calls = training._train_once, []

    def interrupt(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return train_once(*args)

    monkeypatch.setattr(training, "_train_once", interrupt)
    clf = MC2SleepClassifier(**QUICK).set_params(pretrain_train_epochs=9)
    clf.fit(*nights, verbose=True)
    assert "interrupted" in capsys.readouterr().out
    assert len(clf.history_) == 2
    assert len(clf.predict(nights[0][0])) == 80


def test_progress_bar_follows_verbose(nights, capsys):
    """MNE's progress bar shows at level info, and not at level warning."""
    clf = MC2SleepClassifier(**QUICK)
    clf.fit(*nights, verbose="warning")
    assert "Pretraining" not in capsys.readouterr().err
    clf.fit(*nights, verbose="info")
    assert "Pretraining" in capsys.readouterr().err


def test_cross_validates_by_subject(nights):
    """GroupKFold on lists of recordings works, in parallel too."""
    clf = MC2SleepClassifier(**QUICK)
    split = {"groups": ["a", "b", "c"], "cv": GroupKFold(3)}
    serial = cross_val_score(clf, *nights, **split, error_score="raise")
    assert serial.shape == (3,)
    assert np.isfinite(serial).all()
    parallel = cross_val_score(clf, *nights, **split, n_jobs=2, error_score="raise")
    np.testing.assert_allclose(parallel, serial, atol=0.15)


def test_searches_parameters(nights):
    """GridSearchCV finds a mask ratio on lists of recordings."""
    search = GridSearchCV(
        MC2SleepClassifier(**QUICK),
        {"mask_ratio": [0.25, 0.5]},
        cv=GroupKFold(2),
        error_score="raise",
    )
    search.fit(*nights, groups=["a", "a", "b"])
    assert search.best_params_["mask_ratio"] in (0.25, 0.5)


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"size": "huge"}, "size"),
        ({"mask_ratio": 1.5}, "mask_ratio"),
        ({"scaling": "minmax"}, "scaling"),
        ({"sequence_length": 0}, "sequence_length"),
        ({"validation_fraction": 1.0}, "validation_fraction"),
    ],
)
def test_bad_parameters_are_named(parameters, name, nights):
    """A parameter that cannot be is named before any training."""
    with pytest.raises(ValueError, match=f"The '{name}' parameter"):
        MC2SleepClassifier(**parameters).fit(*nights)


def test_lists_of_different_lengths(nights):
    """Fewer hypnograms or groups than recordings is an error with both counts."""
    raws, stages = nights
    clf = MC2SleepClassifier(**QUICK)
    with pytest.raises(ValueError, match="3 recordings but 2 hypnograms"):
        clf.fit(raws, stages[:2])
    with pytest.raises(ValueError, match="3 recordings but 1 groups"):
        clf.fit(raws, stages, groups=["a"])


def test_no_stage_anywhere(nights):
    """Training that needs stages says where to take them from."""
    with pytest.raises(ValueError, match="None of the 3 recordings has a usable epoch"):
        MC2SleepClassifier(**QUICK).fit(nights[0])


def test_score_needs_a_hypnogram(fitted, raw):
    """A recording cannot be scored against nothing."""
    with pytest.raises(ValueError, match="pass one in 'hypnos'"):
        fitted.score(raw)


def test_empty_list(fitted):
    """No recording at all is an error."""
    with pytest.raises(ValueError, match="list of recordings is empty"):
        fitted.predict([])


def _flat(raw):
    return raw.copy().apply_function(lambda x: 0 * x)


def _epochs(raw):
    return mne.make_fixed_length_epochs(raw, 30, preload=True, verbose="error")


def _marked_bad(raw):
    raw = raw.copy()
    raw.info["bads"] = ["EEG Fpz-Cz"]
    return raw


@pytest.mark.parametrize(
    ("spoil", "error", "match"),
    [
        (lambda raw: raw.get_data(), TypeError, "mne.io.Raw"),
        (_epochs, TypeError, "mne.io.Raw"),
        (lambda raw: raw.copy().pick(["EEG Pz-Oz"]), ValueError, "EEG Pz-Oz"),
        (_marked_bad, ValueError, "marked as bad"),
        (lambda raw: raw.copy().crop(0, 20), ValueError, "30 s"),
        (_flat, ValueError, "flat"),
        (lambda raw: "nowhere.edf", FileNotFoundError, "nowhere.edf"),
    ],
    ids=["array", "epochs", "no channel", "bad channel", "20 s", "flat", "no file"],
)
@pytest.mark.parametrize("call", ["predict", "predict_proba", "score", "fit"])
def test_bad_recordings_are_refused(call, spoil, error, match, fitted, nights):
    """What cannot be staged is one clear error in every method."""
    clf = clone(fitted)
    clf.stager_ = fitted.stager_
    arguments = () if call.startswith("predict") else (nights[1][0],)
    with pytest.raises(error, match=match):
        getattr(clf, call)(spoil(nights[0][0]), *arguments)


@pytest.mark.parametrize(("duration", "n_epochs"), [(30, 1), (45, 1), (60, 2)])
def test_short_recordings_have_whole_epochs(duration, n_epochs, fitted, raw):
    """A recording has floor(duration / 30) epochs, even far under a sequence."""
    short = raw.copy().crop(0, duration, include_tmax=False)
    assert len(fitted.predict(short)) == n_epochs


def test_wrong_units_are_told(fitted, raw):
    """A signal in µV that is declared volts is staged with a warning."""
    wrong = raw.copy().apply_function(lambda x: 1e6 * x)
    with pytest.warns(RuntimeWarning, match="check the unit"):
        assert len(fitted.predict(wrong)) == 80
