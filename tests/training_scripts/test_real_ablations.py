"""Tests of the ablations on real EEG, with heads of noise."""

import json
from pathlib import Path

import numpy as np
import pytest
import real_ablations

VARIANTS = ["whole method", "no pretraining"]

pytestmark = pytest.mark.usefixtures("tiny_small")


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    """Write heads of four subjects; return the command line of a rehearsal."""
    folder, rng = tmp_path_factory.mktemp("heads"), np.random.default_rng(0)
    names = [f"SC4{subject}1E0" for subject in ("00", "01", "04", "07")]
    np.savez(
        folder / "heads.npz",
        x=rng.normal(0, 200, (4 * 44, 500)).astype(np.int16),
        scale=0.1,
        night=np.repeat(names, 44),
        stage=np.tile(np.repeat([0, 2, 3, 4], 11), 4),
    )
    options = ["--heads", folder / "heads.npz", "--fast", "--variants", *VARIANTS]
    return [str(option) for option in [folder / "results.json", *options]]


def test_only_subjects_who_are_not_scored_are_trained_on(arguments):
    """A night of a subject who is validated or tested on would leak."""
    args = real_ablations.parse_args(arguments)
    nights = real_ablations.RealNights(args.heads)
    assert [night.subject for night in nights.nights] == ["SC400", "SC401"]
    sets = real_ablations.read_sets(args)
    n_nights = {name: len(found) for name, found in sets.items()}
    assert n_nights == {"heads, validation": 1, "heads, test": 1}


def test_a_pass_reads_the_same_epochs_of_signals_and_targets(arguments):
    """Half of each night; a part of each target is the epoch's own stage."""
    args = real_ablations.parse_args(arguments)
    nights = real_ablations.RealNights(args.heads)
    for number in range(3):
        for night in nights.draw(real_ablations.Variant(), number):
            assert len(night.signals) == len(night.stages) == 22
            own = night.soft_stages[np.arange(22), night.stages]
            assert (own > 0.14).all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_rehearsal_fills_the_file_and_is_not_repeated(arguments, capsys, monkeypatch):
    """Each variant is scored on each set; the same command only prints the tables."""
    monkeypatch.setattr(real_ablations, "N_WAKE", 40)
    real_ablations.main(arguments)
    text = capsys.readouterr().out
    results = json.loads(Path(arguments[0]).read_text())
    runs = [f"{name}|0" for name in VARIANTS]
    assert sorted(results) == sorted([*runs, *real_ablations.MECHANISMS])
    for run in results.values():
        assert {"heads, validation", "heads, test"} <= set(run["scores"])
    real_ablations.main(arguments)
    again = capsys.readouterr().out
    assert again.count("|") > 30
    assert text.endswith(again)
