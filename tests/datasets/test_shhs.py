"""Finding the nights of SHHS in a folder of the NSRR."""

import shutil

import numpy as np
import pytest
from rehearsal import STAGES, nsrr_xml

from mne_mc2sleep.datasets import read_night, shhs


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
