"""Downloading UCDDB and the sample recording from a local server."""

import hashlib
from datetime import time

import edfio
import numpy as np
import pytest
from rehearsal import serve

from mne_mc2sleep import fetch_sample
from mne_mc2sleep.datasets import read_night, sample, ucddb

CODES = [0, 0, 2, 3, 4, 5, 1, 6, 7, 0]
STAGES = [0, 0, 1, 2, 3, 3, 4, -1, -1, 0]


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
def server(tmp_path):
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


def test_nights_are_downloaded_and_read(server, tmp_path):
    """R&K codes become AASM stages; artefacts and unknown epochs are unscored."""
    found = ucddb.fetch_nights(["022", "002"], tmp_path, server.url)
    assert [(record.subject, record.recording.name) for record in found.records] == [
        ("022", "ucddb022.edf"),
        ("002", "ucddb002.edf"),
    ]
    assert read_night(found.records[0]).stages.tolist() == STAGES
    server.served.clear()
    assert ucddb.fetch_nights(["022", "002"], tmp_path, server.url) == found
    assert not server.served
    with pytest.raises(OSError, match=r"SHA256SUMS\.txt does not list ucddb003\.rec"):
        ucddb.fetch_nights(["003"], tmp_path, server.url)


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
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        monkeypatch.setitem(sample._SHA256, name, digest)
    with serve(folder) as server:
        raw, hypno = fetch_sample(tmp_path, server.url)
    assert hypno.hypno.tolist() == ["WAKE", "N1", "N2", "N3"]
    assert raw.get_data(units="uV")[0, 0] == pytest.approx(10.01)
    assert raw.times.size == 4 * 3000
