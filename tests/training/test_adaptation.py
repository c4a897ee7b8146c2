"""How far fine-tuning moves weights that were fine-tuned before."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from stagers import assert_equal

from mne_mc2sleep.training.adaptation import SHARES, blend_targets


@pytest.fixture
def finetune(trained, options):
    def finetune(nights, stager=trained, **settings):
        stager = copy.deepcopy(stager)
        settings = {"finetune_train_epochs": 1} | settings
        stager.finetune(nights, replace(options, **settings))
        return stager

    return finetune


@pytest.fixture
def strangers(short_nights):
    """Return three nights of subjects that the stager does not know."""
    return [replace(n, subject=s) for n, s in zip(short_nights, "abc", strict=True)]


def weights(stager):
    return dict(stager.net.state_dict())


@pytest.mark.parametrize("adaptation", [0, 0.25])
def test_weights_are_an_average_of_old_and_fine_tuned_ones(
    finetune, trained, short_nights, adaptation
):
    before, after = weights(trained), weights(finetune(short_nights, adaptation=1.0))
    found = weights(finetune(short_nights, adaptation=adaptation))
    for name, tensor in found.items():
        mean = before[name] + adaptation * (after[name] - before[name])
        torch.testing.assert_close(tensor, mean.to(tensor.dtype))
    if adaptation == 0:
        assert_equal(found, before)


def test_pretrained_weights_are_replaced_by_fine_tuned_ones(
    finetune, trained, short_nights, options
):
    """Their heads have not been fine-tuned yet, so there is nothing to keep."""
    stager = copy.deepcopy(trained)
    stager.pretrain(short_nights, replace(options, pretrain_train_epochs=1))
    whole, part = (finetune(short_nights, stager, adaptation=a) for a in (1.0, 0.25))
    assert_equal(weights(part), weights(whole))


def test_scores_are_of_the_weights_that_are_kept(finetune, short_nights):
    kept, changed = (
        finetune(short_nights, adaptation=a, learning_rate=9.0) for a in (0, 1.0)
    )
    assert kept.scores["validation_macro_f1"] > changed.scores["validation_macro_f1"]


def test_one_subject_keeps_the_temperature_and_by_default_the_weights(
    finetune, trained, strangers
):
    """Nobody can be left out to choose by."""
    half, auto = (finetune(strangers[:1], adaptation=a) for a in (0.5, "auto"))
    assert half.calibration_temperature == trained.calibration_temperature != 1
    assert auto.calibration_temperature == trained.calibration_temperature
    assert_equal(weights(auto), weights(trained))


def test_old_weights_count_as_two_subjects(trained, short_nights, as_embeddings):
    net, temperature = trained.net, trained.calibration_temperature
    blended = blend_targets(net, as_embeddings(net, short_nights[:2]), temperature)
    old = trained.stage(short_nights[:1])
    expected = (old + np.eye(5)[short_nights[0].stages]) / 2
    np.testing.assert_allclose(blended[0].soft_stages, expected, atol=1e-6)


def test_harmful_finetuning_is_not_used(finetune, trained, strangers):
    """Weights and calibration that a huge learning rate spoils stay unchanged."""
    stager = finetune(strangers, adaptation="auto", learning_rate=10.0)
    assert_equal(weights(stager), weights(trained))
    assert stager.calibration_temperature == trained.calibration_temperature
    assert stager.scores["validation_macro_f1"] > 0


def test_share_is_chosen_on_subjects_left_out(finetune, trained, strangers):
    """The weights are an average of the old ones and of those fine-tuned to all."""
    chosen = finetune(strangers, adaptation="auto")
    found = weights(chosen)["total_head.weight"]
    expected = [
        weights(finetune(strangers, adaptation=share, validation_fraction=0.0))
        for share in SHARES
    ]
    assert any(torch.allclose(found, w["total_head.weight"]) for w in expected)
    assert chosen.provenance[-1]["subjects"] == ["a", "b", "c"]
    assert chosen.provenance[-1]["validation_subjects"] == []


def test_known_validation_subjects_stay_held_out(finetune, trained, strangers):
    """The share is then chosen on them."""
    known = trained.validation_subjects[0]
    strangers[2] = replace(strangers[2], subject=known)
    stager = finetune(strangers, adaptation="auto")
    assert stager.provenance[-1]["subjects"] == ["a", "b"]
    assert stager.provenance[-1]["validation_subjects"] == [known]
