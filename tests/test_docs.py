"""The pages name all that is public, and their figures come from scripts."""

import json
import re
import shutil
import sys
import tomllib
from pathlib import Path

import ablations
import pytest
import real_ablations
import write_model_card

import mne_mc2sleep
from mne_mc2sleep import MC2SleepClassifier, datasets, network, simulation

ROOT = Path(__file__).parents[1]
API_PAGE = ROOT / "docs" / "api.rst"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md"))]
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s]+)\)")


def test_every_public_name_is_on_the_api_page():
    listed = re.findall(r"^   ([\w.]+)$", API_PAGE.read_text("utf-8"), re.MULTILINE)
    top = [name for name in listed if "." not in name]
    assert sorted(top) == sorted(mne_mc2sleep.__all__)
    for package in (datasets, network, simulation):
        prefix = package.__name__.rpartition(".")[2]
        source = Path(package.__file__).read_text("utf-8")
        for name in set(re.findall(r" as (\w+)$", source, re.M)) - set(top):
            assert any(f"{entry}.".startswith(f"{prefix}.{name}.") for entry in listed)


def test_the_table_of_the_ablations_is_what_its_script_prints(capsys):
    ablations.print_table(ROOT / "docs" / "ablations.json")
    table = capsys.readouterr().out
    assert table.count("|") > 50
    assert table in (ROOT / "docs" / "ablations.md").read_text("utf-8")


def test_the_tables_of_real_eeg_are_what_their_script_prints(capsys):
    real_ablations.main([str(ROOT / "docs" / "real_ablations.json"), "--table"])
    page = (ROOT / "docs" / "ablations.md").read_text("utf-8")
    tables = capsys.readouterr().out.strip().split("\n\n")
    assert len(tables) == 6
    assert all(table in page for table in tables)


def test_the_table_of_layers_is_the_import_contract():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    table = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("| layer |")[2]
    cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    listed = [sorted(re.findall(r"`(\w+)`", cell)) for cell in cells]
    assert listed == [sorted(re.split(r" [|:] ", layer)) for layer in layers]


def anchors(page):
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}


def broken_links(page):
    """Return the links of a page that lead to no file, or to no heading of it."""
    for link in LINK.findall(page.read_text("utf-8")):
        name, _, heading = link.partition("#")
        if name == "auto_examples/index.rst":
            name = "../examples/README.txt"
        # The site's pages of the examples are made from the scripts.
        name = re.sub(r"auto_examples/(plot_\w+)\.rst", r"../examples/\1.py", name)
        target = (page.parent / name) if name else page
        if not target.exists() or (heading and heading not in anchors(target)):
            yield link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_a_page_and_its_heading(page):
    """Within the repository; links to the examples lead to their scripts."""
    assert list(broken_links(page)) == []


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
