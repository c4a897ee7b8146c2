"""How far fine-tuning moves weights that can stage already."""

import copy
from dataclasses import replace

import pytest
import torch

from mne_mc2sleep.training.adaptation import SHARES


@pytest.fixture
def automatic(options):
    """Return settings of a short fine-tuning that chooses how far to go."""
    return replace(options, finetune_train_epochs=2, adaptation="auto")


def state(stager):
    """Return a copy of all weights."""
    return copy.deepcopy(stager.net.state_dict())


def own_subjects(nights, names):
    """Give each night a subject that the stager does not know."""
    return [replace(n, subject=s) for n, s in zip(nights, names, strict=True)]


def test_harmful_finetuning_is_not_used(trained, short_nights, automatic):
    """Weights that a huge learning rate spoils stay as they were."""
    stager, before = copy.deepcopy(trained), state(trained)
    nights = own_subjects(short_nights[:3], "abc")
    stager.finetune(nights, replace(automatic, learning_rate=10.0))
    after = stager.net.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert stager.scores["validation_macro_f1"] > 0


def test_share_is_chosen_on_subjects_left_out(trained, short_nights, automatic):
    """The weights are an average of the old ones and of those fine-tuned to all."""
    nights = own_subjects(short_nights[:3], "abc")
    chosen, whole = copy.deepcopy(trained), copy.deepcopy(trained)
    chosen.finetune(nights, automatic)
    whole.finetune(nights, replace(automatic, adaptation=1.0, validation_fraction=0.0))
    name = "total_head.weight"
    before, after = state(trained)[name], state(whole)[name]
    found = state(chosen)[name]
    distances = [
        (found - before.lerp(after, share)).abs().max().item() for share in SHARES
    ]
    assert min(distances) < 1e-6


def test_one_subject_keeps_the_temperature(trained, short_nights, automatic):
    """Nobody can be left out to choose by or to calibrate on."""
    stager = copy.deepcopy(trained)
    stager.finetune(own_subjects(short_nights[:1], "a"), automatic)
    assert stager.calibration_temperature == trained.calibration_temperature


def test_all_subjects_are_trained_on(trained, short_nights, automatic):
    """Few subjects are too valuable to hold any out."""
    stager = copy.deepcopy(trained)
    stager.finetune(own_subjects(short_nights[:3], "abc"), automatic)
    assert stager.provenance[-1]["subjects"] == ["a", "b", "c"]
    assert stager.provenance[-1]["validation_subjects"] == []


def test_known_validation_subjects_stay_held_out(trained, short_nights, automatic):
    """The share is then chosen on them."""
    stager = copy.deepcopy(trained)
    known = stager.validation_subjects[0]
    stager.finetune(own_subjects(short_nights[:3], ["a", "b", known]), automatic)
    assert stager.provenance[-1]["subjects"] == ["a", "b"]
    assert stager.provenance[-1]["validation_subjects"] == [known]
