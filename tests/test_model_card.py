"""Tests of the model card of the shipped weights."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import write_model_card

from mne_mc2sleep import MC2SleepClassifier

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def test_card_metrics_and_readme_are_what_their_script_writes(tmp_path, monkeypatch):
    scores = [DOCS / "accuracy.json", DOCS / "real_eeg.json"]
    card = tmp_path / "model_card.md"
    readme = shutil.copy(ROOT / "README.md", tmp_path)
    options = [*scores, card, "--readme", readme]
    monkeypatch.setattr(sys, "argv", ["", *map(str, options)])
    write_model_card.main()
    for written in (DOCS / card.name, DOCS / "metrics.json", ROOT / "README.md"):
        made = tmp_path / written.name
        assert made.read_text("utf-8") == written.read_text("utf-8")


def test_front_matter_of_the_card_gives_the_scores_of_the_metrics():
    yaml = pytest.importorskip("yaml")
    _, front, text = (DOCS / "model_card.md").read_text("utf-8").split("---\n", 2)
    (model,) = yaml.safe_load(front)["model-index"]
    metrics = json.loads((DOCS / "metrics.json").read_text("utf-8"))
    assert model["name"] == metrics["model"]
    kappas = {r["dataset"]["name"]: r["metrics"][0]["value"] for r in model["results"]}
    real = {name: round(found["kappa"], 3) for name, found in metrics["real"].items()}
    assert kappas == real
    assert "Not a medical device" in text[:500]


def test_subjects_of_the_tests_were_not_trained_on():
    steps = MC2SleepClassifier.from_pretrained(device="cpu").stager_.provenance
    assert len(steps[0]["test_subjects"]) >= 10
    assert not set(steps[0]["test_subjects"]) & set(steps[0]["validation_subjects"])
    parts = [
        set(steps[-1][f"heads_{part}subjects"]) for part in ("", "validation_", "test_")
    ]
    assert len(set.union(*parts)) == sum(map(len, parts))
    assert parts[2] <= set(steps[0]["test_subjects"])
