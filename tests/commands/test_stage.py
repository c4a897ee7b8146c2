"""``mne-mc2sleep stage``."""

from __future__ import annotations

import shutil
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib import pyplot as plt
from numpy.testing import assert_array_equal

from mne_mc2sleep import MC2SleepClassifier, read_hypnogram, simulate_night
from mne_mc2sleep.commands.stage import _stem

SUFFIXES = (".csv", ".tsv", ".edf", ".png")
STEMS = ("first_raw", "second")


@pytest.fixture(scope="session")
def clf(weights):
    """Load the stager."""
    return MC2SleepClassifier.from_pretrained(weights)


@pytest.fixture
def staged(run, nights, weights, tmp_path):
    """Stage both nights; return the folder and what was printed."""
    out_dir = tmp_path / "new" / "staged"
    fnames = [night.fname for night in nights]
    status, out, err = run("stage", *fnames, "--weights", weights, "--out-dir", out_dir)
    assert (status, err) == (0, "")
    return out_dir, out


def test_four_files_are_written_for_each_recording(staged):
    """The folder is made, and holds nothing else."""
    names = {path.name for path in staged[0].iterdir()}
    assert names == {f"{s}_hypnogram{suffix}" for s in STEMS for suffix in SUFFIXES}


def test_the_names_of_the_files_are_printed(staged):
    """Each file is on a line of its own."""
    out_dir, out = staged
    assert all(f"Wrote {path}\n" in out for path in out_dir.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES[:3])
def test_files_hold_the_stages_that_predict_gives(staged, clf, nights, suffix):
    """Read back, every format has the stages of clf.predict."""
    for night, stem in zip(nights, STEMS, strict=True):
        written = read_hypnogram(staged[0] / f"{stem}_hypnogram{suffix}")
        predicted = clf.predict(night.fname)
        assert_array_equal(written.as_int(), predicted.as_int())
        assert written.start == (None if suffix == ".tsv" else predicted.start)


def test_the_csv_holds_the_probabilities(staged, clf, nights):
    """Read back, they are those of clf.predict to the last digit."""
    written = read_hypnogram(staged[0] / "second_hypnogram.csv")
    assert_array_equal(written.proba, clf.predict(nights[1].fname).proba)


def test_the_picture_can_be_read(staged):
    """The PNG is an image with something on it."""
    image = matplotlib.image.imread(staged[0] / "second_hypnogram.png")
    assert image.std() > 0


def test_no_figure_stays_open(staged):
    """Staging a thousand nights must not keep a thousand figures."""
    assert plt.get_fignums() == []


def test_sleep_statistics_are_printed(staged, clf, nights):
    """The table has YASA's statistics with one digit."""
    statistics = clf.predict(nights[0].fname).sleep_statistics()
    first = staged[1].split("\n\n")[0].splitlines()
    assert first[0] == f"{nights[0].fname}: 12 epochs"
    printed = dict(line.split() for line in first[1 : 1 + len(statistics)])
    expected = {name: f"{value:.1f}".lower() for name, value in statistics.items()}
    assert {name: text.lower() for name, text in printed.items()} == expected


def test_several_picks_are_averaged(run, clf, nights, weights, tmp_path):
    """--picks with two names is predict with a list of them."""
    picks = ["EEG Fpz-Cz", "EEG Pz-Oz"]
    fname = nights[0].fname
    run("stage", fname, "--weights", weights, "--picks", *picks, "--out-dir", tmp_path)
    written = read_hypnogram(tmp_path / "first_raw_hypnogram.csv")
    assert_array_equal(written.proba, clf.predict(fname, picks=picks).proba)
    assert not np.array_equal(written.proba, clf.predict(fname).proba)


def test_files_go_to_the_current_folder(run, nights, weights, tmp_path, monkeypatch):
    """Without --out-dir."""
    monkeypatch.chdir(tmp_path)
    run("stage", nights[0].fname, "--weights", weights)
    assert Path("first_raw_hypnogram.csv").exists()


@pytest.mark.parametrize(
    ("recording", "stem"),
    [
        ("a/night.edf", "night"),
        ("night_raw.fif.gz", "night_raw"),
        ("sub-01.v2.bdf", "sub-01.v2"),
    ],
)
def test_the_stem_is_the_name_without_its_format(recording, stem):
    """Dots in a name and compression are handled."""
    assert _stem(recording) == stem


def test_equal_stems_are_refused_before_staging(fails, nights, weights, tmp_path):
    """Two recordings must not overwrite each other's hypnograms."""
    out_dir = tmp_path / "staged"
    fnames = [nights[1].fname, tmp_path / "second.bdf"]
    match = "2 of the recordings would all be written as second_hypnogram.*"
    fails("stage", *fnames, "--weights", weights, "--out-dir", out_dir, match=match)
    assert not out_dir.exists()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_existing_files_are_kept(fails, nights, weights, tmp_path, suffix):
    """One file that exists is an error, and nothing is written."""
    fname = tmp_path / f"second_hypnogram{suffix}"
    fname.write_text("mine")
    command = ("stage", nights[1].fname, "--weights", weights, "--out-dir", tmp_path)
    fails(*command, match=f"Found {fname}; pass --overwrite")
    assert fname.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [fname]


def test_existing_files_are_replaced_if_asked(run, nights, weights, tmp_path):
    """--overwrite writes all four anew."""
    fnames = [tmp_path / f"second_hypnogram{suffix}" for suffix in SUFFIXES]
    for fname in fnames:
        fname.write_text("old")
    command = ("stage", nights[1].fname, "--weights", weights, "--out-dir", tmp_path)
    status, _, err = run(*command, "--overwrite")
    assert (status, err) == (0, "")
    assert all(fname.read_bytes() != b"old" for fname in fnames)


def test_a_recording_that_fails_does_not_stop_the_others(
    run, nights, weights, tmp_path
):
    """Its name and what is wrong go to stderr, and the exit code is 2."""
    fnames = ["nowhere.edf", nights[0].fname]
    status, out, err = run(
        "stage", *fnames, "--weights", weights, "--out-dir", tmp_path
    )
    assert status == 2
    assert err.startswith("mne-mc2sleep: error: nowhere.edf: There is no recording")
    assert err.count("\n") == 1
    assert "first_raw_hypnogram.csv" in out


def make_file(folder, kind):
    """Write a recording that cannot be staged."""
    if kind == "short.edf":
        raw, _ = simulate_night(30.0, random_state=0)
        raw.crop(0, 20).export(folder / kind, verbose="ERROR")
    elif kind == "text.edf":
        (folder / kind).write_text("no recording")
    elif kind == "flat_raw.fif":
        raw, _ = simulate_night(60.0, random_state=0)
        raw._data[:] = 0
        raw.save(folder / kind, verbose="ERROR")
    return folder / kind


@pytest.mark.parametrize(
    ("kind", "match"),
    [
        ("short.edf", "at least one epoch of 30 s"),
        ("text.edf", "MNE cannot read"),
        ("text.xyz", "There is no recording"),
        ("flat_raw.fif", "cannot be staged"),
    ],
)
def test_bad_recordings_are_one_sentence(fails, weights, tmp_path, kind, match):
    """What cannot be staged is told by the file's name and the reason."""
    fname = make_file(tmp_path, kind)
    command = ("stage", fname, "--weights", weights, "--out-dir", tmp_path)
    fails(*command, match=f"{fname}: ")
    fails(*command, match=match)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (("--picks", "Cz"), "no channel 'Cz'. Its EEG channels are ['EEG Fpz-Cz'"),
        (("--device", "abacus"), "cannot compute on the device 'abacus'"),
        (("--device", "cuda:99"), "cannot compute on the device 'cuda:99'"),
        (("--weights", "no.safetensors"), "no file of weights 'no.safetensors'"),
        (("--out-dir", __file__), "is a file; pass a folder as --out-dir"),
    ],
)
def test_bad_options_are_one_sentence(fails, nights, weights, tmp_path, options, match):
    """What the user can mend is told without a traceback."""
    command = ("stage", nights[0].fname, "--weights", weights, "--out-dir", tmp_path)
    fails(*command, *options, match=match)
    assert list(tmp_path.iterdir()) == []


def test_damaged_weights_are_one_sentence(fails, nights, weights, tmp_path):
    """A file that is cut short is no stager."""
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(Path(weights).read_bytes()[:1000])
    fails("stage", nights[0].fname, "--weights", damaged, match="is damaged")


def test_weights_without_stages_are_one_sentence(fails, nights, tmp_path):
    """Weights that were pretrained alone cannot stage."""
    clf = MC2SleepClassifier(pretrain_train_epochs=1, random_state=0)
    raw, _ = simulate_night(600.0, random_state=0)
    clf.pretrain(raw, verbose="ERROR").save(tmp_path / "pretrained.safetensors")
    command = (
        "stage",
        nights[0].fname,
        "--weights",
        tmp_path / "pretrained.safetensors",
    )
    fails(*command, "--out-dir", tmp_path, match="cannot stage yet")


@pytest.mark.filterwarnings("default:The recording was:RuntimeWarning")
@pytest.mark.filterwarnings("default:Channel .* is unlike:RuntimeWarning")
def test_a_warning_names_the_recording(run, weights, tmp_path):
    """What is odd about a recording is told in one line, and it is staged."""
    raw, _ = simulate_night(600.0, random_state=0)
    fname = tmp_path / "smooth_raw.fif"
    raw.filter(None, 12, verbose="ERROR").save(fname, verbose="ERROR")
    status, _, err = run("stage", fname, "--weights", weights, "--out-dir", tmp_path)
    assert status == 0
    first, *others = err.splitlines()
    assert first.startswith(
        f"mne-mc2sleep: warning: {fname}: The recording was low-pass"
    )
    # It is unlike the training, too.
    assert all(line.startswith(f"mne-mc2sleep: warning: {fname}: ") for line in others)
    assert len(others) <= 1


def test_recordings_are_not_modified(run, weights, tmp_path, nights):
    """The file of the recording is the same afterwards, even beside its hypnogram."""
    fname = tmp_path / "second.edf"
    shutil.copy(nights[1].fname, fname)
    before = fname.read_bytes()
    run("stage", fname, "--weights", weights, "--out-dir", tmp_path)
    assert fname.read_bytes() == before


@pytest.fixture(scope="session")
def folder(nights, tmp_path_factory):
    """Fill a folder with recordings, and with files that are none."""
    folder = tmp_path_factory.mktemp("recordings")
    for night in nights:
        shutil.copy(night.fname, folder)
    shutil.copy(nights[1].fname, folder / "SC4001EC-Hypnogram.edf")
    (folder / "notes.txt").write_text("Slept badly.")
    return folder


def test_a_folder_stands_for_the_recordings_in_it(run, folder, weights, tmp_path):
    """Hypnograms and other files are passed over."""
    status, _, err = run("stage", folder, "--weights", weights, "--out-dir", tmp_path)
    assert (status, err) == (0, "")
    names = {path.stem for path in tmp_path.iterdir()}
    assert names == {"first_raw_hypnogram", "second_hypnogram"}


def test_several_jobs_write_and_print_the_same(run, folder, weights, tmp_path):
    """In the same order, with the warnings of the recording that fails."""
    command = ["stage", folder, folder / "no.edf", "--weights", weights, "--out-dir"]
    results = []
    for n_jobs in (1, 2):
        out_dir = tmp_path / str(n_jobs)
        status, out, err = run(*command, out_dir, "--n-jobs", n_jobs)
        tables = [(out_dir / f"{name}_hypnogram.csv").read_text() for name in STEMS]
        results.append((status, out.replace(str(out_dir), ""), err, tables))
    assert results[0] == results[1]
    assert results[0][0] == 2
    assert "no.edf: There is no recording" in results[0][2]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (("--n-jobs", "0"), "--n-jobs must be 1 or more, or -1"),
        ((), "holds no recording that ends in one of .edf"),
    ],
)
def test_what_cannot_be_staged_at_all(fails, nights, weights, tmp_path, options, match):
    """No jobs and an empty folder are one sentence each."""
    recording = nights[0].fname if options else tmp_path
    fails("stage", recording, "--weights", weights, *options, match=match)
