"""How far fine-tuning moves weights that were fine-tuned before."""

import copy
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from mne_mc2sleep.training.adaptation import SHARES, blend_targets

assert_equal = partial(torch.testing.assert_close, rtol=0, atol=0)


@pytest.fixture
def finetune(trained, options):
    """Return a function that fine-tunes a copy of the trained stager."""

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
    """Return all weights."""
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
        finetune(short_nights, adaptation=a, learning_rate=0.1) for a in (0, 1.0)
    )
    assert kept.scores["validation_macro_f1"] > changed.scores["validation_macro_f1"]


@pytest.mark.parametrize("adaptation", [0.5, "auto"])
def test_one_subject_keeps_the_temperature(finetune, trained, strangers, adaptation):
    """Nobody can be left out to choose by, so "auto" keeps the weights too."""
    stager = finetune(strangers[:1], adaptation=adaptation)
    assert stager.calibration_temperature == trained.calibration_temperature != 1
    if adaptation == "auto":
        assert_equal(weights(stager), weights(trained))


def test_old_weights_count_as_two_subjects(trained, strangers, as_embeddings):
    nights = as_embeddings(trained.net, strangers[:2])
    temperature = trained.calibration_temperature
    blended = blend_targets(trained.net, nights, temperature)
    for night, found in zip(strangers, blended, strict=False):
        old = trained.stage([night.signals], [night.usable])
        expected = (old + np.eye(5)[night.stages]) / 2
        np.testing.assert_allclose(found.soft_stages, expected, atol=1e-6)


def test_harmful_finetuning_is_not_used(finetune, trained, strangers):
    """Weights and calibration that a huge learning rate spoils stay unchanged."""
    stager = finetune(strangers, adaptation="auto", learning_rate=10.0)
    assert_equal(weights(stager), weights(trained))
    assert stager.calibration_temperature == trained.calibration_temperature
    assert stager.scores["validation_macro_f1"] > 0


def test_share_is_chosen_on_subjects_left_out(finetune, trained, strangers):
    """The weights are an average of the old ones and of those fine-tuned to all."""
    chosen = finetune(strangers, adaptation="auto")
    whole = finetune(strangers, adaptation=1.0, validation_fraction=0.0)
    name = "total_head.weight"
    before, after = weights(trained)[name], weights(whole)[name]
    found = weights(chosen)[name]
    distances = [
        (found - before.lerp(after, share)).abs().max().item() for share in SHARES
    ]
    assert min(distances) < 1e-6
    assert chosen.provenance[-1]["subjects"] == ["a", "b", "c"]
    assert chosen.provenance[-1]["validation_subjects"] == []


def test_known_validation_subjects_stay_held_out(finetune, trained, strangers):
    """The share is then chosen on them."""
    known = trained.validation_subjects[0]
    strangers[2] = replace(strangers[2], subject=known)
    stager = finetune(strangers, adaptation="auto")
    assert stager.provenance[-1]["subjects"] == ["a", "b"]
    assert stager.provenance[-1]["validation_subjects"] == [known]
