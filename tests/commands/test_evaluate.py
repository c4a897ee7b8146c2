"""``mne-mc2sleep evaluate``."""

from __future__ import annotations

import io
import shutil

import numpy as np
import pandas as pd
import pytest

from mne_mc2sleep import MC2SleepClassifier, read_hypnogram, simulate_night
from mne_mc2sleep.metrics import expected_calibration_error, score_stages

COLUMNS = ["level", "n_epochs", "accuracy", "kappa", "macro_f1"]
COLUMNS += ["f1_WAKE", "f1_N1", "f1_N2", "f1_N3", "f1_REM", "ece"]


def parse(printed):
    """Read the printed table; file names must have no spaces."""
    return pd.read_csv(io.StringIO(printed), sep=r"\s+", index_col=0)


def bare_night(folder):
    """Write a recording without annotations."""
    raw, _ = simulate_night(360.0, random_state=0)
    raw.save(folder / "bare_raw.fif", verbose="ERROR")
    return folder / "bare_raw.fif"


@pytest.fixture
def clf(weights):
    """Load the stager."""
    return MC2SleepClassifier.from_pretrained(weights)


@pytest.fixture
def evaluated(run, nights, weights, tmp_path):
    """Evaluate on both nights; return the table in the file and what was printed."""
    out = tmp_path / "table.csv"
    fnames = [night.fname for night in nights]
    hypno_fnames = [night.hypno_fname for night in nights]
    options = ("--hypnograms", *hypno_fnames, "--weights", weights, "--out", out)
    status, printed, err = run("evaluate", *fnames, *options)
    assert (status, err) == (0, "")
    return pd.read_csv(out, index_col="name"), printed


def test_the_table_has_a_row_for_each_recording_and_the_pool(evaluated, nights):
    """Rows are named by the recordings as they were given."""
    table, _ = evaluated
    assert list(table.index) == [*(night.fname for night in nights), "pooled"]
    assert list(table.columns) == COLUMNS
    assert list(table["n_epochs"]) == [12, 15, 27]


def test_the_printed_table_is_that_of_the_file(evaluated):
    """It has three digits."""
    table, printed = evaluated
    pd.testing.assert_frame_equal(parse(printed), table.round(3), check_names=False)


def test_the_scores_are_those_of_the_pooled_epochs(evaluated, clf, nights):
    """The last row is not the mean of the others."""
    predicted = clf.predict([night.fname for night in nights])
    reference = [read_hypnogram(night.hypno_fname).as_int() for night in nights]
    expected = score_stages(
        np.concatenate(reference), np.concatenate([p.as_int() for p in predicted])
    )
    pooled = evaluated[0].loc["pooled"]
    assert pooled.drop(["ece", "level"]).to_dict() == pytest.approx(
        expected, nan_ok=True
    )


def test_kappa_is_that_of_score(evaluated, clf, nights):
    """The command and the classifier agree."""
    fname, hypno_fname = nights[1]
    kappa = clf.score(fname, hypno_fname)
    assert evaluated[0].loc[fname, "kappa"] == pytest.approx(kappa)


def test_the_calibration_error_is_that_of_the_probabilities(evaluated, clf, nights):
    """The table's last column is `expected_calibration_error`."""
    fname, hypno_fname = nights[0]
    reference = read_hypnogram(hypno_fname).as_int().to_numpy()
    proba = clf.predict_proba(fname).to_numpy()
    expected = expected_calibration_error(proba, reference)
    assert evaluated[0].loc[fname, "ece"] == pytest.approx(expected)


def test_own_annotations_are_the_reference(run, evaluated, nights, weights):
    """Without --hypnograms, the result is the same: the nights are annotated."""
    fnames = [night.fname for night in nights]
    status, printed, err = run("evaluate", *fnames, "--weights", weights)
    assert (status, err) == (0, "")
    assert printed == evaluated[1]


def test_unusable_epochs_do_not_count(run, weights, nights, tmp_path):
    """An epoch without EEG is scored by nobody."""
    raw, _ = simulate_night(360.0, random_state=0)
    signals = raw.get_data()
    signals[:, 3000:6000] = 0
    raw._data[:] = signals
    raw.save(tmp_path / "gap_raw.fif", verbose="ERROR")
    options = ("--hypnograms", nights[0].hypno_fname, "--weights", weights)
    status, printed, err = run("evaluate", tmp_path / "gap_raw.fif", *options)
    assert (status, err) == (0, "")
    assert list(parse(printed)["n_epochs"]) == [11, 11]


def test_hypnograms_are_paired_in_the_order_given(run, nights, weights, tmp_path):
    """If the names do not say otherwise."""
    other = tmp_path / "scored_by_anna.tsv"
    other.write_text("onset\tduration\ttrial_type\n0\t180\tSleep stage 2\n")
    options = ("--hypnograms", other, nights[1].hypno_fname, "--weights", weights)
    status, printed, err = run("evaluate", *(n.fname for n in nights), *options)
    assert (status, err) == (0, "")
    assert list(parse(printed)["n_epochs"]) == [6, 15, 21]


def test_a_folder_is_paired_by_name(run, nights, weights, tmp_path):
    """Files without a partner are named; the stager's hypnograms are not used."""
    for name in ("SC4001E0-PSG", "alone"):
        shutil.copy(nights[1].fname, tmp_path / f"{name}.edf")
    shutil.copy(nights[1].hypno_fname, tmp_path / "SC4001EC-Hypnogram.csv")
    run("stage", tmp_path / "alone.edf", "--weights", weights, "--out-dir", tmp_path)
    status, printed, err = run("evaluate", tmp_path, "--weights", weights)
    assert status == 0
    assert list(parse(printed)["n_epochs"]) == [15, 15, 30]
    assert "alone.edf: it has no hypnogram; its own annotations are used." in err
    assert err.count("\n") == 1
    options = ("--hypnograms", tmp_path, tmp_path / "nobody.csv")
    _, _, err = run("evaluate", tmp_path, *options, "--weights", weights)
    assert "nobody.csv: no recording has this name; it is not used." in err


def test_a_table_names_recordings_and_hypnograms(run, nights, weights, tmp_path):
    """With paths from its folder."""
    for fname in nights[1]:
        shutil.copy(fname, tmp_path)
    table = tmp_path / "nights.csv"
    table.write_text("recording,subject,hypnogram\nsecond.edf,1,second-stages.csv\n")
    status, printed, _ = run("evaluate", table, "--weights", weights)
    assert status == 0
    assert list(parse(printed)["n_epochs"]) == [15, 15]


def test_channels_are_averaged(run, clf, nights, weights):
    """--average-channels is the parameter of predict."""
    channels = ["EEG Fpz-Cz", "EEG Pz-Oz"]
    fname, hypno_fname = nights[0]
    options = ("--weights", weights, "--average-channels", ",".join(channels))
    _, printed, _ = run("evaluate", fname, *options)
    reference = read_hypnogram(hypno_fname).as_int()
    predicted = clf.predict(fname, average_channels=channels).as_int()
    accuracy = score_stages(reference, predicted)["accuracy"]
    assert parse(printed).loc["pooled", "accuracy"] == pytest.approx(accuracy, abs=1e-3)


def test_a_recording_that_fails_does_not_stop_the_others(run, nights, weights):
    """It is left out of the table, and the exit status is 1."""
    fnames = ["nowhere.edf", nights[0].fname]
    status, printed, err = run("evaluate", *fnames, "--weights", weights)
    assert status == 1
    assert "mne-mc2sleep: error: nowhere.edf: There is no recording" in err
    assert list(parse(printed).index) == [nights[0].fname, "pooled"]


def test_no_table_is_made_of_nothing(fails, weights, tmp_path):
    """If every recording fails there is nothing to write."""
    out = tmp_path / "table.csv"
    options = ("--weights", weights, "--out", out)
    fails("evaluate", "nowhere.edf", *options, match="There is no recording", status=1)
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "match", "status"),
    [
        (("--hypnograms", "a.edf", "b.edf"), "None of the 2 --hypnograms", 2),
        (("--hypnograms", "no.edf"), "no.edf does not exist", 1),
        (("--picks", "Cz"), "'Cz'", 1),
        (("--weights", "no.safetensors"), "'no.safetensors'", 2),
        (("--device", "abacus"), "device 'abacus'", 2),
        (("--out", "nowhere/table.csv"), "does not exist", 2),
        (("--out", "table.txt"), "must end in .csv", 2),
    ],
)
def test_bad_options_are_one_sentence(fails, nights, weights, options, match, status):
    """What cannot be used is named without a traceback."""
    command = ("evaluate", nights[0].fname, "--weights", weights)
    fails(*command, *options, match=match, status=status)


def test_a_recording_without_stages_is_one_sentence(fails, weights, tmp_path):
    """There is nothing to compare with."""
    fname = bare_night(tmp_path)
    fails(
        "evaluate", fname, "--weights", weights, match="no 'Sleep stage ...'", status=1
    )


def test_an_unscored_hypnogram_is_one_sentence(fails, weights, tmp_path):
    """A hypnogram without any stage gives no score."""
    hypno_fname = tmp_path / "stages.tsv"
    hypno_fname.write_text("onset\tduration\ttrial_type\n0\t360\tSleep stage ?\n")
    options = ("--hypnograms", hypno_fname, "--weights", weights)
    match = "No epoch is scored"
    fails("evaluate", bare_night(tmp_path), *options, match=match, status=1)


def test_an_existing_table_is_kept(fails, run, nights, weights, tmp_path):
    """It is replaced only if --overwrite says so."""
    out = tmp_path / "table.csv"
    out.write_text("mine")
    command = ("evaluate", nights[0].fname, "--weights", weights, "--out", out)
    fails(*command, match="exists. Pass --overwrite")
    assert out.read_text() == "mine"
    assert run(*command, "--overwrite")[0] == 0
    assert out.read_text() != "mine"
