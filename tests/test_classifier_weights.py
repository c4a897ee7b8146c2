"""Tests of the parameter that names the weights that a stager starts from."""

import pytest
import torch
from sklearn.base import clone

from mne_mc2sleep import MC2SleepClassifier


def _state(clf):
    return {name: t.clone() for name, t in clf.stager_.net.state_dict().items()}


def test_copies_of_loaded_weights_are_fine_tuned(fitted, scored_raws, tmp_path):
    """A clone remembers its weights: fit adapts them, and the backbones stay."""
    fitted.save(tmp_path / "lab.safetensors")
    loaded = MC2SleepClassifier.from_pretrained(tmp_path / "lab.safetensors")
    adapted = clone(loaded).set_params(random_state=1).fit(*scored_raws)
    before, after = _state(loaded), _state(adapted)
    backbones = {name: t for name, t in before.items() if "backbone" in name}
    assert all(torch.equal(t, after[name]) for name, t in backbones.items())
    assert not torch.equal(before["total_head.weight"], after["total_head.weight"])
    assert set(adapted.history_["phase"]) == {"Fine-tuning"}


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_either_stage_goes_on_from_the_weights_parameter(
    fitted, scored_raws, tmp_path, stage
):
    """Without weights at hand, those that the parameter names are loaded."""
    fitted.save(tmp_path / "lab.safetensors")
    loaded = MC2SleepClassifier.from_pretrained(tmp_path / "lab.safetensors")
    clf = clone(loaded).set_params(learning_rate=1e-12)
    getattr(clf, stage)(*scored_raws)
    old, new = _state(fitted), _state(clf)
    head = "total_head.weight"
    torch.testing.assert_close(old[head], new[head], atol=1e-6, rtol=0)


def test_saved_weights_name_no_file_of_this_machine(fitted, tmp_path):
    """Where weights came from is not saved with them."""
    for name in ("first", "second"):
        fitted.save(tmp_path / f"{name}.safetensors")
        fitted = MC2SleepClassifier.from_pretrained(tmp_path / f"{name}.safetensors")
    assert fitted.weights == str(tmp_path / "second.safetensors")
    assert str(tmp_path).encode() not in (tmp_path / "second.safetensors").read_bytes()


def test_weights_of_another_length_are_not_fine_tuned(fitted, scored_raws, tmp_path):
    """The parameters must be those of the weights; the message says how."""
    fitted.save(tmp_path / "lab.safetensors")
    clf = MC2SleepClassifier(weights=tmp_path / "lab.safetensors", sequence_length=11)
    with pytest.raises(ValueError, match="another 'size' or 'sequence_length'"):
        clf.fit(*scored_raws)
