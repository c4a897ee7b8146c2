"""The scripts that train on real cohorts, rehearsed from nothing to their tables."""

import shutil

import estimate_hours
import folder
import numpy as np
import pandas as pd
import protocol
import pytest
import rehearsal
import shhs
import sleep_edf

from mne_mc2sleep import MC2SleepClassifier, score_stages

FOLDS = [f"seed-0/fold-0{i}" for i in range(3)]
OPTIONS = ["--fast", "--size", "small"]

pytestmark = pytest.mark.usefixtures("tiny_small")


def edf_options(base, out_dir):
    """Return the options of sleep_edf.py, its data and prepared nights in ``base``."""
    data, prepared = base / "fetched", base / "prepared"
    data.mkdir(exist_ok=True)
    paths = ["--data", data, "--prepared", prepared, "--out-dir", base / out_dir]
    return [*OPTIONS, "--protocol", "edf20", *map(str, paths)]


def read_probabilities(out_dir):
    return [np.load(out_dir / fold / "result.npz")["probabilities"] for fold in FOLDS]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tmp_path_factory.mktemp("sleep_edf")


@pytest.fixture(scope="module")
def rehearse(base):
    """Return a function that runs sleep_edf.py in this process, with its server."""

    def rehearse(out_dir, *options):
        with rehearsal.physionet(base, rehearsal.FAST_SUBJECTS) as server:
            arguments = [*edf_options(base, out_dir), *options]
            return sleep_edf.main(arguments), server.served

    return rehearse


@pytest.fixture(scope="module")
def whole(rehearse, base):
    """Run the script from nothing; return the folder of the results."""
    status, _ = rehearse("whole")
    assert status == 0
    return base / "whole"


def test_sleep_edf_goes_from_nothing_to_its_table(whole):
    """It has a row of this package, published ones, and the counts of epochs."""
    text = (whole / "results.md").read_text()
    assert "| **this package**, `small`, seed 0 |" in text
    assert "| SleePyCo (Lee et al. 2024) | 86.8 | 81.2 | .820 |" in text
    assert "| 465 | 3 | 3 of 3 |" in text


def test_a_finished_run_does_nothing_again(rehearse, whole):
    """It writes the table alone, and asks the server for nothing."""
    before = [(whole / fold / "result.npz").stat().st_mtime_ns for fold in FOLDS]
    assert rehearse("whole") == (0, [])
    after = [(whole / fold / "result.npz").stat().st_mtime_ns for fold in FOLDS]
    assert after == before


def test_the_scores_are_those_of_the_pooled_epochs(whole):
    """The CSV holds accuracy, macro-F1 and F1 in percent, and kappa."""
    results = [np.load(whole / fold / "result.npz") for fold in FOLDS]
    reference = np.concatenate([result["reference"] for result in results])
    predicted = np.concatenate(read_probabilities(whole)).argmax(axis=1)
    scores = score_stages(reference, predicted)
    row = pd.read_csv(whole / "results.csv").iloc[0]
    assert row["n_epochs"] == scores["n_epochs"] == 465
    for name in ("accuracy", "macro_f1", "f1_WAKE"):
        assert float(row[name]) == pytest.approx(100 * scores[name])
    assert float(row["kappa"]) == pytest.approx(scores["kappa"])


def test_the_stager_of_each_fold_is_saved(whole):
    """It tells whom it was not trained on, and stages by the cohort's channel."""
    tested = []
    for fold in FOLDS:
        clf = MC2SleepClassifier.from_pretrained(whole / fold / "stager.safetensors")
        told = clf.stager_.provenance[-1]
        assert clf.picks == "EEG Fpz-Cz"
        assert told["n_subjects"] == len(told["validation_subjects"]) == 1
        tested += told["test_subjects"]
    assert tested == list(rehearsal.FAST_SUBJECTS)


def test_results_of_other_options_are_not_mixed(rehearse, whole, capsys):
    status, _ = rehearse("whole", "--batch-size", "16")
    err = capsys.readouterr().err
    assert status == 2
    assert "error: " in err
    assert "batch_size is 32 there and 16 here); pass another --out-dir" in err


@pytest.fixture(scope="module")
def nsrr(tmp_path_factory):
    """Write four nights as the NSRR has them, one with malformed stages."""
    base = tmp_path_factory.mktemp("nsrr")
    for seed, subject in enumerate(("200001", "200002", "200003", "200004")):
        rehearsal.write_shhs_night(base, subject, seed=seed)
    (malformed,) = base.rglob("*200002-nsrr.xml")
    malformed.write_text(malformed.read_text()[:300])
    return base


def test_shhs_goes_from_a_folder_to_its_table(nsrr, tmp_path):
    options = [str(nsrr), *OPTIONS, "--out-dir", str(tmp_path)]
    assert shhs.main(options) == 0
    text = (tmp_path / "results.md").read_text()
    assert text.startswith("# SHHS\n")
    assert "| 1 of 1 |" in text
    assert "| MC2SleepNet (Na et al. 2025) | 88.6 |" in text
    assert "| found | 3 |" in text


@pytest.fixture
def table(nsrr, tmp_path):
    subjects = ["200001", "200003", "200004"]
    rows = [
        [*(next(nsrr.rglob(f"*{subject}*.{kind}")) for kind in ("edf", "xml")), subject]
        for subject in subjects
    ]
    fname = tmp_path / "nights.csv"
    columns = ["recording", "hypnogram", "subject"]
    pd.DataFrame(rows, columns=columns).to_csv(fname, index=False)
    return fname


def folder_options(table, out_dir):
    picks = ["--picks", "EEG", "--trim", "margin"]
    return [str(table), *picks, *OPTIONS, "--out-dir", str(out_dir)]


def test_a_folder_goes_to_its_table(table, tmp_path):
    out_dir = tmp_path / "results"
    options = folder_options(table, out_dir)
    assert folder.main(options) == 0
    # As if the other seed had been run before.
    shutil.copytree(out_dir / "seed-0", out_dir / "seed-7")
    assert folder.main([*options, "--seed", "0", "7"]) == 0
    rows = pd.read_csv(out_dir / "results.csv")
    seeds = ["seed 0", "seed 7", "mean of 2 seeds"]
    assert [name.split(", ")[-1] for name in rows["stager"]] == seeds
    assert rows["kappa"][2] == pytest.approx(rows["kappa"][:2].mean(), abs=1e-3)


def test_a_batch_is_shared_evenly(table, tmp_path, monkeypatch, capsys):
    """A size that cannot be shared is told before anything is read."""
    monkeypatch.setattr(protocol, "n_processes", lambda: 3)
    assert folder.main(folder_options(table, tmp_path / "new")) == 2
    assert "pass a multiple of 3." in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_hours_follow_from_the_throughput():
    """Twenty passes of pretraining over 15 of the 20 subjects, in each of 20 folds."""
    rates = dict.fromkeys(("encoding", "fine-tuning", "preparing"), np.inf)
    hours = estimate_hours.estimate(
        estimate_hours.make_plans()["edf20"], rates | {"pretraining": 100}
    )
    expected = 20 * 20 * 42308 * 15 / 20 / 100 / 3600
    assert hours["training and testing, h"] == pytest.approx(expected)
