"""What belongs to weights follows them through training, saving and loading."""

import hashlib

import numpy as np
import pytest
import torch
from sklearn.base import clone
from stagers import QUICK, is_equal, learnt

from mne_mc2sleep import MC2SleepClassifier, simulate_night

pytestmark = pytest.mark.usefixtures("tiny_small")


@pytest.fixture
def fname(fitted, tmp_path):
    fitted.save(tmp_path / "lab.safetensors")
    return tmp_path / "lab.safetensors"


@pytest.fixture(scope="module")
def ten_nights():
    raws = [simulate_night(360, random_state=seed)[0] for seed in range(10)]
    return raws, [np.arange(12) % 5] * 10


def _held_out(clf):
    return [step["validation_subjects"] for step in clf.stager_.provenance]


def test_validation_subjects_are_drawn_once(ten_nights, tmp_path):
    """Every later call holds out the same ones, also after saving and loading."""
    clf = MC2SleepClassifier(**QUICK | {"random_state": None})
    clf.pretrain(*ten_nights).finetune(*ten_nights)
    clf.save(tmp_path / "lab.safetensors")
    loaded = MC2SleepClassifier.from_pretrained(tmp_path / "lab.safetensors")
    loaded.finetune(*ten_nights)
    first, second, third = _held_out(loaded)
    assert len(first) == 2
    assert first == second == third == clf.stager_.validation_subjects


def test_validation_subjects_are_drawn_again_if_none_is_there(ten_nights, training_log):
    """Of other subjects, some are held out, and the log says so."""
    raws, stages = ten_nights
    # A subject may be a number in one call and text in another.
    clf = MC2SleepClassifier(**QUICK).pretrain(raws[:5], stages[:5], groups=range(5))
    clf.finetune(raws[5:], stages[5:], groups=list("56789"))
    first, second = _held_out(clf)
    assert set(second) <= set("56789")
    assert clf.stager_.validation_subjects == sorted(first + second)
    assert any("Others are drawn" in message for message in training_log.messages)


def test_groups_are_held_out_whole(scored_raws):
    """Two recordings of one subject are never on both sides of the validation."""
    clf = MC2SleepClassifier(**QUICK).fit(*scored_raws, groups=["a", "a", "b"])
    for step in clf.stager_.provenance:
        assert sorted([step["subjects"], step["validation_subjects"]]) == [["a"], ["b"]]


def test_statistics_come_from_training_nights_only(ten_nights):
    """Input statistics, profile and levels do not depend on the held-out signals."""
    raws, stages = ten_nights
    clf = MC2SleepClassifier(**QUICK, scaling="spectrum").fit(raws, stages)
    others = [raw.copy() for raw in raws]
    for subject in clf.stager_.validation_subjects:
        others[int(subject)].apply_function(lambda x: 1.5 * x + np.roll(x, 7))
    found = clone(clf).fit(others, stages).stager_
    assert found.profile == clf.stager_.profile
    assert found.levels == clf.stager_.levels
    scales = [s.net.signal_backbone.scale for s in (found, clf.stager_)]
    assert torch.equal(*scales)


def test_a_loaded_stager_trains_like_the_one_that_was_saved(ten_nights, tmp_path):
    """Pretrain -> save -> load -> finetune equals pretrain -> finetune to the bit."""
    raws, stages = ten_nights
    clf = MC2SleepClassifier(**QUICK).pretrain(raws, stages)
    clf.save(tmp_path / "lab.safetensors")
    loaded = MC2SleepClassifier.from_pretrained(tmp_path / "lab.safetensors")
    for stager in (clf, loaded.set_params(random_state=0)):
        stager.finetune(raws, stages)
    assert is_equal(learnt(clf), learnt(loaded))
    assert clf.predict_proba(raws[0]).equals(loaded.predict_proba(raws[0]))


@pytest.mark.parametrize(
    ("parameter", "found"),
    [
        ({"size": "base"}, "small"),
        ({"sequence_length": 11}, 10),
        ({"scaling": "robust"}, "none"),
    ],
)
def test_error_of_a_parameter_that_contradicts_the_weights(
    fname, scored_raws, parameter, found
):
    """In training and in staging, the message names both values."""
    (name, value), *_ = parameter.items()
    match = f"have {name}={found!r}, but {name}={value!r} was requested"
    clf = MC2SleepClassifier(weights=fname, **parameter)
    for train in (clf.fit, clf.pretrain, clf.finetune):
        with pytest.raises(ValueError, match=match):
            train(*scored_raws)
    loaded = MC2SleepClassifier.from_pretrained(fname).set_params(**parameter)
    with pytest.raises(ValueError, match=match):
        loaded.predict(scored_raws[0][0])


def test_size_length_and_scaling_come_from_the_weights(scored_raws, tmp_path):
    """They need not be repeated; what is repeated may agree."""
    clf = MC2SleepClassifier(**QUICK, scaling="robust").pretrain(*scored_raws)
    clf.save(tmp_path / "lab.safetensors")
    weights = {"weights": tmp_path / "lab.safetensors"}
    for agreed in ({}, {"scaling": "robust", "sequence_length": 10, "size": "small"}):
        clf = MC2SleepClassifier(QUICK["picks"], **weights, **agreed)
        clf.set_params(finetune_train_epochs=1).finetune(*scored_raws)
        assert clf.stager_.scaling == "robust"
        assert clf.stager_.net.config.sequence_length == 10


def test_clones_of_loaded_weights_are_fine_tuned(fname, scored_raws):
    """A clone remembers its weights: fit adapts them, and the backbones stay."""
    loaded = MC2SleepClassifier.from_pretrained(fname)
    parameters = {"adaptation": 1.0, "device": torch.device("cpu")}
    adapted = clone(loaded).set_params(**parameters).fit(*scored_raws)
    before, after = learnt(loaded), learnt(adapted)
    backbones = {name: t for name, t in before.items() if "backbone" in name}
    assert all(torch.equal(t, after[name]) for name, t in backbones.items())
    assert not torch.equal(before["total_head.weight"], after["total_head.weight"])
    assert set(adapted.history_["phase"]) == {"Fine-tuning"}


@pytest.mark.parametrize("phase", ["pretrain", "finetune"])
def test_either_phase_starts_from_the_weights_parameter(fname, fitted, phase):
    raw, _ = simulate_night(360, random_state=0)
    clf = MC2SleepClassifier(weights=fname, learning_rate=1e-12, batch_size=8)
    getattr(clf, phase)([raw, raw], [np.arange(12) % 5] * 2)
    head = "total_head.weight"
    torch.testing.assert_close(learnt(fitted)[head], learnt(clf)[head])


def test_provenance_names_every_step(fname, ten_nights, tmp_path):
    groups = list("abcdefghij")
    clf = MC2SleepClassifier.from_pretrained(fname)
    clf.finetune(*ten_nights, groups=groups)
    clf.save(tmp_path / "adapted.safetensors")
    loaded = MC2SleepClassifier.from_pretrained(tmp_path / "adapted.safetensors")
    steps = loaded.stager_.provenance
    assert [s["phase"] for s in steps] == ["pretraining", "fine-tuning", "fine-tuning"]
    assert [s["n_nights"] for s in steps] == [2, 2, 10]
    assert sum(steps[-1]["n_epochs"].values()) == 10 * 12
    assert not set(steps[-1]["subjects"]) & set(steps[-1]["validation_subjects"])
    sha256 = hashlib.sha256(fname.read_bytes()).hexdigest()
    assert [s["started_from"] for s in steps] == [
        None,
        None,
        {"name": "lab.safetensors", "sha256": sha256},
    ]


def test_saved_weights_name_no_folder_of_this_machine(fitted, tmp_path):
    for name in ("first", "second"):
        fitted.save(tmp_path / f"{name}.safetensors")
        fitted = MC2SleepClassifier.from_pretrained(tmp_path / f"{name}.safetensors")
    assert fitted.weights == str(tmp_path / "second.safetensors")
    assert str(tmp_path).encode() not in (tmp_path / "second.safetensors").read_bytes()


def test_unknown_saved_parameters_are_named(fitted, tmp_path):
    fname = tmp_path / "lab.safetensors"
    fitted.stager_.save(fname, {"n_heads": 8})
    with pytest.raises(ValueError, match=r"\['n_heads'\], which this version"):
        MC2SleepClassifier.from_pretrained(fname)
