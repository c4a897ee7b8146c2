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
    figures = [ROOT / "docs" / f"{name}.json" for name in ("accuracy", "real_eeg")]
    command = [sys.executable, script, *figures, made]
    subprocess.run(command, check=True)
    assert made.read_text() == (ROOT / "docs" / "model_card.md").read_text()


def test_the_card_begins_with_a_warning():
    """The weights are not a medical device."""
    assert "Not a medical device" in (ROOT / "docs" / "model_card.md").read_text()[:900]


def test_subjects_of_the_tests_were_not_trained_on():
    """In none of the steps, and no subject is in two parts."""
    steps = MC2SleepClassifier.from_pretrained(device="cpu").stager_.provenance
    assert len(steps[0]["test_subjects"]) >= 10
    assert not set(steps[0]["test_subjects"]) & set(steps[0]["validation_subjects"])
    parts = [
        set(steps[-1][f"heads_{part}subjects"]) for part in ("", "validation_", "test_")
    ]
    assert len(set.union(*parts)) == sum(map(len, parts))
    assert parts[2] <= set(steps[0]["test_subjects"])
