"""``mne-mc2sleep evaluate``."""

import io
import shutil

import pandas as pd

from mne_mc2sleep import evaluate, simulate_night


def parse(printed):
    """Read the printed table; file names must have no spaces."""
    return pd.read_csv(io.StringIO(printed), sep=r"\s+", index_col=0)


def test_the_table_is_that_of_evaluate(run, clf, nights, weights, tmp_path):
    """Printed and in the file, by hypnograms or by the recordings' own annotations."""
    fnames, hypnos = map(list, zip(*nights, strict=True))
    expected = evaluate(clf, fnames, hypnos, verbose="ERROR")
    out = tmp_path / "table.csv"
    command = ("evaluate", *fnames, "--weights", weights)
    status, printed, err = run(*command, "--hypnograms", *hypnos, "--out", out)
    assert (status, err) == (0, "")
    table = pd.read_csv(out, index_col="name")
    pd.testing.assert_frame_equal(table, expected, check_names=False)
    rounded = expected.round(3)
    pd.testing.assert_frame_equal(parse(printed), rounded, check_names=False)
    assert run(*command) == (0, printed, "")


def test_hypnograms_are_paired_in_the_order_given(run, clf, nights, weights, tmp_path):
    """And channels are averaged."""
    other, channels = tmp_path / "scored_by_anna.tsv", ["EEG Fpz-Cz", "EEG Pz-Oz"]
    other.write_text("onset\tduration\ttrial_type\n0\t180\tSleep stage 2\n")
    fnames, hypnos = [n.fname for n in nights], [other, nights[1].hypno_fname]
    options = ("--weights", weights, "--average-channels", ",".join(channels))
    status, printed, err = run("evaluate", *fnames, "--hypnograms", *hypnos, *options)
    assert (status, err) == (0, "")
    averaged = {"average_channels": channels, "verbose": "ERROR"}
    expected = evaluate(clf, fnames, hypnos, **averaged).round(3)
    pd.testing.assert_frame_equal(parse(printed), expected, check_names=False)
    assert list(expected["n_epochs"]) == [6, 15, 21]


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
    for fname in nights[1]:
        shutil.copy(fname, tmp_path)
    table = tmp_path / "nights.csv"
    table.write_text("recording,subject,hypnogram\nsecond.edf,1,second-stages.csv\n")
    status, printed, _ = run("evaluate", table, "--weights", weights)
    assert status == 0
    assert list(parse(printed)["n_epochs"]) == [15, 15]


def test_a_recording_that_fails_does_not_stop_the_others(run, nights, weights):
    fnames = ["nowhere.edf", nights[0].fname]
    status, printed, err = run("evaluate", *fnames, "--weights", weights)
    assert status == 1
    assert "mne-mc2sleep: error: nowhere.edf: There is no recording" in err
    assert list(parse(printed).index) == [nights[0].fname, "pooled"]


def test_no_table_is_made_of_nothing(fails, weights, tmp_path):
    raw, _ = simulate_night(360.0, random_state=0)
    fname, hypno_fname = tmp_path / "bare_raw.fif", tmp_path / "stages.tsv"
    raw.save(fname, verbose="ERROR")
    out = tmp_path / "table.csv"
    command = ("evaluate", fname, "--weights", weights, "--out", out)
    fails(*command, match="no 'Sleep stage ...'", status=1)
    hypno_fname.write_text("onset\tduration\ttrial_type\n0\t360\tSleep stage ?\n")
    options = ("--hypnograms", hypno_fname)
    fails(*command, *options, match="No epoch is scored", status=1)
    assert not out.exists()


def test_an_existing_table_is_kept(fails, run, nights, weights, tmp_path):
    out = tmp_path / "table.csv"
    out.write_text("mine")
    command = ("evaluate", nights[0].fname, "--weights", weights, "--out", out)
    fails(*command, match="exists. Pass --overwrite")
    assert out.read_text() == "mine"
    assert run(*command, "--overwrite")[0] == 0
    assert out.read_text() != "mine"
