"""Folds, and the nights of Sleep-EDF, SHHS, UCDDB and the sample recording."""

import hashlib
import shutil
from datetime import time
from types import SimpleNamespace

import edfio
import numpy as np
import pytest
from mne.datasets.sleep_physionet import age
from rehearsal import STAGES, nsrr_xml, physionet, serve

from mne_mc2sleep import datasets, fetch_sample
from mne_mc2sleep.datasets import read_night, sample, shhs, sleep_edf, ucddb


@pytest.mark.parametrize(("n_folds", "n_validation"), [(2, 0), (3, 1), (10, 4)])
def test_every_subject_is_tested_once_and_has_one_part(n_folds, n_validation):
    """Repeated subjects count once."""
    folds = datasets.make_folds([0, 0, *range(10), 1, 9], n_folds, n_validation)
    assert [subject for fold in folds for subject in fold.test] == list(range(10))
    for fold in folds:
        assert sorted(sum(fold, ())) == list(range(10))
        assert len(fold.validation) == n_validation


def test_validation_subjects_are_spread():
    """Of the others, the middle of each equal part validates."""
    fold = datasets.make_folds("abcdefghi", 9, 2)[0]
    expected = {"train": tuple("bcefgi"), "validation": ("d", "h"), "test": ("a",)}
    assert fold._asdict() == expected


@pytest.mark.parametrize(
    ("n_folds", "n_validation", "message"),
    [(1, 0, "into 1 folds"), (6, 0, "into 6 folds"), (5, 4, "left to train")],
)
def test_refuses_impossible_folds(n_folds, n_validation, message):
    with pytest.raises(ValueError, match=message):
        datasets.make_folds(range(5), n_folds, n_validation)


def test_splits_nights_by_subject():
    nights = [SimpleNamespace(subject=subject) for subject in (1, 2, 1, 3, 9)]
    parts = datasets.Fold(train=(1,), validation=(2,), test=(3,)).split(iter(nights))
    assert [[night.subject for night in part] for part in parts] == [[1, 1], [2], [3]]


# METHOD.md: the field's folds of consecutive subjects.
EDF78 = [*range(39), *range(40, 68), *range(70, 78), *range(80, 83)]
EDF78_TESTS = [EDF78[first : first + 8] for first in range(0, 64, 8)]
EDF78_TESTS += [EDF78[64:71], EDF78[71:]]


def test_nights_are_downloaded_once(server, tmp_path, monkeypatch):
    """Each with its recording, hypnogram and subject; subject 36 has one night."""
    monkeypatch.setattr(age, "BASE_URL", "http://127.0.0.1:9/")
    found = sleep_edf.fetch_nights([0, 36], tmp_path, server.url)
    assert [(r.subject, r.name, r.hypnogram.name) for r in found.records] == [
        (0, "SC4001E0-PSG", "SC4001EC-Hypnogram.edf"),
        (0, "SC4002E0-PSG", "SC4002EC-Hypnogram.edf"),
        (36, "SC4362F0-PSG", "SC4362FC-Hypnogram.edf"),
    ]
    assert not found.skipped
    server.served.clear()
    assert sleep_edf.fetch_nights([0, 36], tmp_path, server.url) == found
    assert not server.served


@pytest.mark.parametrize(
    ("fault", "error"),
    [("half", ConnectionError), ("gone", ConnectionError), ("damaged", OSError)],
)
def test_next_call_continues_after_a_fault(rehearsal_folder, tmp_path, fault, error):
    with physionet(rehearsal_folder, ()) as server:
        server.faults["SC4002E0-PSG.edf"] = fault
        with pytest.raises(error, match=r"SC4002E0-PSG.* Run the same call"):
            sleep_edf.fetch_nights([0, 36], tmp_path)
    kept = {fname.name for fname in tmp_path.rglob("*.edf")}
    assert kept == {"SC4001E0-PSG.edf", "SC4001EC-Hypnogram.edf"}
    with physionet(rehearsal_folder, ()) as server:
        sleep_edf.fetch_nights([0, 36], tmp_path)
        assert len(server.served) == 4
        assert not kept & set(server.served)


@pytest.mark.parametrize("n_bytes", [100_000, 0])
def test_damaged_file_on_disk_is_downloaded_again(server, tmp_path, n_bytes):
    (record,), _ = sleep_edf.fetch_nights([36], tmp_path)
    content = record.recording.read_bytes()
    record.recording.write_bytes(content[:n_bytes])
    server.served.clear()
    sleep_edf.fetch_nights([36], tmp_path)
    assert record.recording.read_bytes() == content
    assert server.served == ["SC4362F0-PSG.edf"]


def test_refuses_what_does_not_exist(tmp_path):
    with pytest.raises(ValueError, match=r"no subjects \[39, 83\]"):
        sleep_edf.fetch_nights([0, 39, 83], tmp_path)
    with pytest.raises(ValueError, match="no protocol 'edf40'"):
        sleep_edf.get_folds("edf40")


def test_folds_are_those_of_the_field():
    """Consecutive subjects are tested; four or seven of the others validate."""
    folds = sleep_edf.get_folds("edf20")
    assert [fold.test for fold in folds] == [(subject,) for subject in range(20)]
    assert {len(fold.validation) for fold in folds} == {4}
    folds = sleep_edf.get_folds("edf78")
    assert [list(fold.test) for fold in folds] == EDF78_TESTS
    assert {len(fold.validation) for fold in folds} == {7}


@pytest.fixture
def add_night(tmp_path, shhs_night):
    """Return a function that adds a night to a folder, and returns its files."""

    def add_night(subject):
        fnames = []
        for source in shhs_night:
            relative = source.relative_to(source.parents[3])
            name = source.name.replace("200001", subject)
            fname = tmp_path / relative.with_name(name)
            fname.parent.mkdir(parents=True, exist_ok=True)
            fnames.append(shutil.copy(source, fname))
        return fnames

    return add_night


def cut(fname):
    content = fname.read_bytes()
    fname.write_bytes(content[: len(content) // 2])


def rename_eeg(fname):
    fname.write_bytes(fname.read_bytes().replace(b"EEG     ", b"EEG2    ", 1))


def test_reads_a_night(add_night, tmp_path):
    """C4-A1 at 125 Hz becomes 100 Hz, and wake is cut to the most frequent stage."""
    add_night("200001")
    (record,) = shhs.find_nights(tmp_path).records
    night = read_night(record)
    sleep = np.flatnonzero(STAGES > 0)
    # N2 and N3 have 12 epochs each; so much wake is left, all of it in the morning.
    np.testing.assert_array_equal(night.stages, STAGES[sleep[0] : sleep[-1] + 13])
    assert night.inputs.shape == (len(night.stages), 3000)
    assert night.usable.all()


FAULTS = {
    "no hypnogram": (1, lambda fname: fname.unlink(), "there is no hypnogram"),
    "no recording": (0, lambda fname: fname.unlink(), "there is no recording"),
    "half a recording": (0, cut, "is cut short: its header"),
    "other channels": (0, rename_eeg, "has no channel 'EEG'; it has ['SaO2', 'EEG(sec"),
    "half an XML": (1, cut, "damaged or cut off"),
    "no N1": (
        1,
        lambda fname: fname.write_text(nsrr_xml(np.where(STAGES == 1, 2, STAGES))),
        "shhs1-200002-nsrr.xml has no epoch of N1.",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_names_what_it_skips(add_night, tmp_path, training_log, fault):
    add_night("200001")
    files = add_night("200002")
    index, damage, reason = FAULTS[fault]
    damage(files[index])
    records, skipped = shhs.find_nights(tmp_path)
    assert [record.subject for record in records] == ["200001"]
    assert list(skipped) == ["shhs1-200002"]
    assert reason in skipped["shhs1-200002"]
    assert "Skipped shhs1-200002: " in training_log.text


def test_takes_the_subjects_asked_for(add_night, tmp_path):
    files = [add_night(subject) for subject in ("200001", "200002", "200003")]
    records, skipped = shhs.find_nights(tmp_path, subjects=[200002, "200003"])
    assert [record.subject for record in records] == ["200002", "200003"]
    assert [[r.recording, r.hypnogram] for r in records] == files[1:]
    assert not skipped


def test_refuses_a_folder_without_usable_nights(add_night, tmp_path):
    with pytest.raises(FileNotFoundError, match="polysomnography/edfs/shhs1"):
        shhs.find_nights(tmp_path)
    cut(add_night("200001")[0])
    with pytest.raises(ValueError, match="None of 1 nights"):
        shhs.find_nights(tmp_path)


@pytest.mark.parametrize(
    ("n_subjects", "expected"),
    [(5463, (3724, 100, 1639)), (100, (63, 7, 30)), (3, (1, 1, 1))],
)
def test_splits_70_to_30(n_subjects, expected):
    """30 % are tested; of the others 100 validate, or a tenth where they are few."""
    fold = shhs.split_subjects(range(n_subjects))
    assert tuple(map(len, fold)) == expected
    assert sorted(sum(fold, ())) == list(range(n_subjects))


def test_split_depends_on_the_seed_alone():
    fold = shhs.split_subjects(range(50))
    assert shhs.split_subjects([*range(49, -1, -1), 3]) == fold
    assert shhs.split_subjects(range(50), random_state=1) != fold


CODES = [0, 0, 2, 3, 4, 5, 1, 6, 7, 0]
SCORED = [0, 0, 1, 2, 3, 3, 4, -1, -1, 0]


def write_subject(folder, subject):
    """Write one night as PhysioNet has it: ``.rec`` is EDF, 128 Hz."""
    rng = np.random.default_rng(int(subject))
    noise = rng.normal(0, 30, (4, 128 * 30 * len(CODES)))
    labels = ("Lefteye", "C3A2", "C4A1", "ECG")
    signals = [
        edfio.EdfSignal(signal, 128, label=label, physical_dimension="uV")
        for signal, label in zip(noise, labels, strict=True)
    ]
    fname = folder / f"ucddb{subject}.edf"
    edfio.Edf(signals, starttime=time(0, 11, 4)).write(fname)
    fname.rename(fname.with_suffix(".rec"))
    stages = folder / f"ucddb{subject}_stage.txt"
    stages.write_text("\n".join(map(str, CODES)) + "\n")


@pytest.fixture
def ucddb_server(tmp_path):
    """Serve two subjects with PhysioNet's list of checksums."""
    folder = tmp_path / "server"
    folder.mkdir()
    for subject in ("002", "022"):
        write_subject(folder, subject)
    lines = [
        f"{hashlib.sha256(fname.read_bytes()).hexdigest()} {fname.name}"
        for fname in sorted(folder.iterdir())
    ]
    (folder / "SHA256SUMS.txt").write_text("\n".join(lines))
    with serve(folder) as server:
        yield server


def test_nights_are_downloaded_and_read(ucddb_server, tmp_path):
    """R&K codes become AASM stages; artefacts and unknown epochs are unscored."""
    found = ucddb.fetch_nights(["022", "002"], tmp_path, ucddb_server.url)
    nights = [(record.subject, record.recording.name) for record in found.records]
    assert nights == [("022", "ucddb022.edf"), ("002", "ucddb002.edf")]
    assert read_night(found.records[0]).stages.tolist() == SCORED
    ucddb_server.served.clear()
    assert ucddb.fetch_nights(["022", "002"], tmp_path, ucddb_server.url) == found
    assert not ucddb_server.served
    with pytest.raises(OSError, match=r"SHA256SUMS\.txt does not list ucddb003\.rec"):
        ucddb.fetch_nights(["003"], tmp_path, ucddb_server.url)


def test_sample_is_cut_to_its_scoring_grid(tmp_path, monkeypatch):
    """The first epoch begins at 10.01 s; codes become stages."""
    folder = tmp_path / "server"
    folder.mkdir()
    signal = np.arange(1001 + 4 * 3000 + 500) * 0.01
    np.savetxt(folder / "segment_data.csv", signal, fmt="%.4g")
    (folder / "segment_stages.csv").write_text(
        "Time,Stage\n0,5\n40.0100000000002,3\n70.01,2\n100.01,1\n130.01,4\n"
    )
    for name in sample._SHA256:
        content = (folder / f"segment_{name}.csv").read_bytes()
        monkeypatch.setitem(sample._SHA256, name, hashlib.sha256(content).hexdigest())
    with serve(folder) as server:
        raw, hypno = fetch_sample(tmp_path, server.url)
    assert hypno.hypno.tolist() == ["WAKE", "N1", "N2", "N3"]
    assert raw.get_data(units="uV")[0, 0] == pytest.approx(10.01)
    assert raw.times.size == 4 * 3000
