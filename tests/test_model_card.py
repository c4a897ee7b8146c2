"""Tests of the model card of the shipped weights."""

import subprocess
import sys
from pathlib import Path

from mne_mc2sleep import MC2SleepClassifier

ROOT = Path(__file__).parents[1]


def test_the_card_is_what_its_script_writes(tmp_path):
    """No figure in it was typed, and it is of the weights and scores that are here."""
    script = ROOT / "training_scripts" / "write_model_card.py"
    made = tmp_path / "card.md"
    command = [sys.executable, script, ROOT / "docs" / "accuracy.json", made]
    subprocess.run(command, check=True)
    assert made.read_text() == (ROOT / "docs" / "model_card.md").read_text()


def test_the_card_begins_with_what_the_weights_are_not():
    """It states the training data first, and that it is not a medical device."""
    begin = (ROOT / "docs" / "model_card.md").read_text()[:900]
    assert "Trained on resynthesised nights" in begin
    assert "Not a medical device" in begin


def test_weights_were_not_trained_on_whom_they_are_tested_on():
    """Ten subjects or more were kept for tests, apart from those of validation."""
    told = MC2SleepClassifier.from_pretrained(device="cpu").stager_.provenance[-1]
    assert len(told["test_subjects"]) >= 10
    assert not set(told["test_subjects"]) & set(told["validation_subjects"])
