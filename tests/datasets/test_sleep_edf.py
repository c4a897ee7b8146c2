"""Fetching Sleep-EDF from a local server, its protocols and its counts."""

import pytest
from mne.datasets.sleep_physionet import age
from rehearsal import physionet

from mne_mc2sleep.datasets import sleep_edf

# METHOD.md: the field's folds of consecutive subjects.
EDF78_TESTS = [
    *([*range(first, first + 8)] for first in (0, 8, 16, 24)),
    [*range(32, 39), 40],
    *([*range(first, first + 8)] for first in (41, 49, 57)),
    [65, 66, 67, 70, 71, 72, 73],
    [74, 75, 76, 77, 80, 81, 82],
]


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
