r"""A rehearsal of real cohorts: their files and their server, with simulated nights.

As a program it runs a training script against a server of its own::

    python tests/rehearsal.py FOLDER training_scripts/sleep_edf.py --fast \
        --protocol edf20 --data FOLDER/fetched --out-dir FOLDER/results
"""

import hashlib
import os
import runpy
import sys
import threading
from contextlib import contextmanager, suppress
from datetime import date, time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import edfio
import numpy as np
import pandas as pd
from mne.datasets.sleep_physionet import age
from mne.filter import resample

from mne_mc2sleep import simulate_night

DAY = 24 * 3600
WAKE, N1, N2, N3, REM, UNSCORED = 0, 1, 2, 3, 4, -1
RECORDS = pd.read_csv(age.AGE_SLEEP_RECORDS)
# Those of `sleep_edf.py --fast`, of one night each; 36 has records of 60 s.
FAST_SUBJECTS = (13, 36, 52)

# 89 min: 35 min of wake on both sides of the sleep, which are trimmed to 30.
EVENING, MORNING = [WAKE] * 70, [WAKE] * 70
SLEEP = [N1] * 3 + [N2] * 8 + [UNSCORED] + [N3] * 12 + [N2] * 4 + [REM] * 8 + [WAKE] * 2
STAGES = np.array(EVENING + SLEEP + MORNING)


def simulate_signals(stages, seed, sfreq=100):
    """Make two channels of EEG in µV, (2, n_times): a simulated night in other order.

    Unscored epochs are like wake.
    """
    raw, hypno = simulate_night(3 * 3600, random_state=seed)
    simulated = hypno.as_int().to_numpy()
    order = np.empty(len(stages), dtype=int)
    for stage in range(5):
        wanted = np.maximum(stages, WAKE) == stage
        order[wanted] = np.resize(np.flatnonzero(simulated == stage), wanted.sum())
    epochs = 1e6 * raw.get_data().reshape(2, simulated.size, -1)
    signals = epochs[:, order].reshape(2, -1)
    return signals if sfreq == 100 else resample(signals, sfreq, 100)


def write_sleep_edf_night(folder, row, stages=STAGES, seed=0):
    """Write a recording and its hypnogram as PhysioNet has them.

    ``row`` is a line of MNE's table of the recordings. SC4362F0 has records of 60 s.
    """
    name = row["fname"]
    startdate = date(1989, 4, 24)
    sex = row["sex"][0].upper()
    patient = edfio.Patient(sex=sex, name=f"{row['sex'].title()}_{row['age']}yr")
    shared = {
        "patient": patient,
        "recording": edfio.Recording(startdate=startdate),
        "starttime": time(16, 13),
    }
    if row["record type"] == "Hypnogram":
        annotations = _rk_annotations(stages)
        edfio.Edf([], annotations=annotations, **shared).write(folder / name)
        return
    seconds = 60 if name.startswith("SC4362F0") else 30
    n_slow = len(stages) * 30
    slow = np.random.default_rng(seed).normal(0, 100, n_slow)
    fpz, pz = simulate_signals(stages, seed)
    signals = [
        _signal(fpz, 100, "EEG Fpz-Cz"),
        _signal(pz, 100, "EEG Pz-Oz"),
        _signal(0.5 * fpz, 100, "EOG horizontal"),
        _signal(slow, 1, "Resp oro-nasal", ""),
        _signal(slow, 1, "EMG submental"),
        _signal(slow, 1, "Temp rectal", "DegC"),
        _signal(slow, 1, "Event marker", ""),
    ]
    edfio.Edf(signals, data_record_duration=seconds, **shared).write(folder / name)


def write_sleep_edf(folder, subjects):
    """Write all nights of some subjects, and MNE's table with the hashes of the files.

    Returns the table's path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = RECORDS.copy()
    for index, row in table[table["subject"].isin(subjects)].iterrows():
        seed = 2 * row["subject"] + row["night"]
        write_sleep_edf_night(folder, row, seed=seed)
        content = (folder / row["fname"]).read_bytes()
        table.loc[index, "sha"] = hashlib.sha1(content).hexdigest()
    fname = folder / "age_records.csv"
    table.to_csv(fname, index=False)
    return fname


def write_shhs_night(folder, subject, stages=STAGES, seed=0):
    """Write a recording and its annotations in the layout of the NSRR."""
    edfs = folder / "polysomnography" / "edfs" / "shhs1"
    events = folder / "polysomnography" / "annotations-events-nsrr" / "shhs1"
    edfs.mkdir(parents=True, exist_ok=True)
    events.mkdir(parents=True, exist_ok=True)
    c4, c3 = simulate_signals(stages, seed, sfreq=125)
    slow = np.random.default_rng(seed).normal(95, 1, len(stages) * 30)
    signals = [
        _signal(slow, 1, "SaO2", ""),
        _signal(c3, 125, "EEG(sec)"),
        _signal(c4, 125, "EEG"),
    ]
    edf = edfio.Edf(signals, data_record_duration=1, starttime=time(22, 12, 30))
    edf.write(edfs / f"shhs1-{subject}.edf")
    (events / f"shhs1-{subject}-nsrr.xml").write_text(nsrr_xml(stages))


def nsrr_xml(stages):
    """Write stages as an annotation file of the NSRR, among events of other kinds."""
    names = ["Wake|0", "Stage 1 sleep|1", "Stage 2 sleep|2", "Stage 3 sleep|3"]
    names += ["REM sleep|5", "Unscored|9"]
    events = [("", "Recording Start Time", 0, 30 * len(stages))]
    events += [
        ("Stages|Stages", "Stage 4 sleep|4" if is_deep else names[stage], onset, length)
        for stage, onset, length, is_deep in _runs(stages)
    ]
    events.append(("Respiratory|Respiratory", "Hypopnea|Hypopnea", 70.5, 12.1))
    lines = [
        f"<ScoredEvent><EventType>{kind}</EventType><EventConcept>{name}"
        f"</EventConcept><Start>{onset}</Start><Duration>{length}</Duration>"
        "</ScoredEvent>"
        for kind, name, onset, length in events
    ]
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n<PSGAnnotation>'
        "<SoftwareVersion>Compumedics</SoftwareVersion><EpochLength>30</EpochLength>\n"
        "<ScoredEvents>\n" + "\n".join(lines) + "\n</ScoredEvents></PSGAnnotation>\n"
    )


class Server(ThreadingHTTPServer):
    """Serves a folder on 127.0.0.1, and can be told to fail.

    ``faults`` maps the name of a file to what happens to it, once: ``"damaged"`` (one
    byte is wrong), ``"half"`` (the connection ends in the middle) or ``"gone"`` (the
    same, and the server takes no more connections). ``served`` are the names asked for.
    """

    daemon_threads = True

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=folder))
        self.faults = {}
        self.served = []

    @property
    def url(self):
        """Where MNE is to look, with the slash that its own address ends in."""
        return f"http://127.0.0.1:{self.server_port}/"


class _Handler(SimpleHTTPRequestHandler):
    def do_GET(self):
        name = self.path.rsplit("/", 1)[-1]
        self.server.served.append(name)
        fault = self.server.faults.pop(name, None)
        if fault is None:
            return super().do_GET()
        content = bytearray((Path(self.directory) / name).read_bytes())
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if fault == "damaged":
            content[-1] ^= 1
            return self.wfile.write(content)
        if fault == "gone":
            self.server.shutdown()
            self.server.socket.close()
        return self.wfile.write(content[: len(content) // 2])

    def log_message(self, *_args):
        """Stay silent."""


@contextmanager
def serve(folder):
    server = Server(folder)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}
    )
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def physionet(folder, subjects):
    """Let the nights of some subjects be fetched from a local server.

    Its address and the hashes of its files replace those in MNE.
    """
    served = Path(folder) / "physionet"
    if not served.exists():
        # Other processes may do the same; the first to end is the one for all.
        part = served.with_name(f"physionet_{os.getpid()}")
        write_sleep_edf(part, subjects)
        with suppress(OSError):
            part.rename(served)
    records = served / "age_records.csv"
    real = age.BASE_URL, age.AGE_SLEEP_RECORDS
    with serve(served) as server:
        age.BASE_URL, age.AGE_SLEEP_RECORDS = server.url, str(records)
        try:
            yield server
        finally:
            age.BASE_URL, age.AGE_SLEEP_RECORDS = real


def _signal(values, sfreq, label, unit="uV"):
    return edfio.EdfSignal(
        np.asarray(values, dtype=float), sfreq, label=label, physical_dimension=unit
    )


def _runs(stages):
    """Yield (stage, onset, duration, is stage 4) of each bout; N3 begins as stage 3."""
    is_deep = (stages == N3) & (np.roll(stages, 6) == N3)
    codes = stages + 10 * is_deep
    first = np.flatnonzero(np.append(True, codes[1:] != codes[:-1]))
    length = np.diff(np.append(first, len(stages)))
    for i, n_epochs in zip(first, length, strict=True):
        yield int(stages[i]), 30 * int(i), 30 * int(n_epochs), bool(is_deep[i])


def _rk_annotations(stages):
    """Score by R&K, with a tail of "Sleep stage ?" until 24 h after the start."""
    names = [f"Sleep stage {name}" for name in "W123R"] + ["Movement time"]
    annotations = [
        edfio.EdfAnnotation(onset, length, "Sleep stage 4" if is_deep else names[stage])
        for stage, onset, length, is_deep in _runs(stages)
    ]
    end = 30 * len(stages)
    annotations.append(edfio.EdfAnnotation(end, DAY - end, "Sleep stage ?"))
    return annotations


if __name__ == "__main__":
    _, folder, script, *arguments = sys.argv
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(Path(script).parent))
    with physionet(folder, FAST_SUBJECTS):
        runpy.run_path(script, run_name="__main__")
