"""Hypnogram files: what is written is read back, and what labs have is read."""

import os
from datetime import UTC, datetime

import edfio
import mne
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rehearsal import STAGES, nsrr_xml
from yasa import Hypnogram

from mne_mc2sleep.io.hypnograms import (
    hypnogram_to_annotations,
    make_hypnogram,
    read_hypnogram,
    stages_on_grid,
    write_hypnogram,
)

START = datetime(2024, 3, 5, 22, 30, 0, 250000, tzinfo=UTC)
SHORT = ["W", "W", "N1", "N2", "N3", "R", "Art", "Uns"]
NIGHTS = st.lists(st.integers(-2, 4), min_size=1, max_size=60)
STARTS = st.none() | st.datetimes(  # what EDF can hold
    datetime(1985, 1, 2), datetime(2084, 12, 31), timezones=st.just(UTC)
)
ANY_NIGHT = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def staged(n_epochs=50, start=START):
    """Make a hypnogram with probabilities, two of its epochs unusable."""
    proba = np.random.default_rng(0).dirichlet(np.ones(5), n_epochs)
    return make_hypnogram(proba, np.arange(n_epochs) > 1, start)


def saved(fname, hypno):
    write_hypnogram(fname, hypno, overwrite=True)
    return fname


@given(night=NIGHTS, start=STARTS)
@ANY_NIGHT
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".edf"])
def test_what_is_written_is_read_back(night, start, suffix, tmp_path):
    """Stages and start, to the microsecond; a TSV has no start."""
    hypno = Hypnogram.from_integers(night, start=start)
    back = read_hypnogram(saved(tmp_path / f"night{suffix}", hypno))
    assert back.as_int().tolist() == night
    assert back.start == (None if suffix == ".tsv" else hypno.start)
    assert back.freq == "30s"


@pytest.mark.parametrize("start", [None, START, pd.Timestamp("2024-03-05 22:30")])
def test_a_csv_keeps_every_digit_and_the_scorer(start, tmp_path):
    """Probabilities are equal, not close; a naive start stays naive."""
    hypno = staged(start=start)
    back = read_hypnogram(saved(tmp_path / "night.csv", hypno), scorer="not this one")
    pd.testing.assert_frame_equal(back.proba, hypno.proba, check_exact=True)
    assert (back.start, back.scorer) == (hypno.start, "MC2SleepNet")


def test_a_csv_keeps_the_duration_of_its_epochs(tmp_path):
    hypno = Hypnogram(SHORT, freq="20s")
    back = read_hypnogram(saved(tmp_path / "night.csv", hypno), scorer="me")
    assert (back.freq, back.scorer) == ("20s", "me")


def test_a_tsv_is_a_bids_events_file(tmp_path):
    fname = saved(tmp_path / "night.tsv", Hypnogram(SHORT, start=START))
    table = pd.read_csv(fname, sep="\t")
    assert list(table) == ["onset", "duration", "trial_type"]
    assert table.iloc[1].tolist() == [60, 30, "Sleep stage N1"]


@given(night=NIGHTS, start=STARTS)
@ANY_NIGHT
def test_mne_reads_the_edf_file(night, start, tmp_path):
    """It leaves out the start."""
    hypno = Hypnogram.from_integers(night, start=start)
    annotations = mne.read_annotations(saved(tmp_path / "night.edf", hypno))
    expected = hypnogram_to_annotations(hypno)
    np.testing.assert_allclose(annotations.onset, expected.onset, atol=1e-9)
    assert annotations.duration.tolist() == expected.duration.tolist()
    assert annotations.description.tolist() == expected.description.tolist()


def test_an_edf_file_is_in_utc(tmp_path):
    start = pd.Timestamp("2024-03-05 23:30", tz="Europe/Paris")
    fname = saved(tmp_path / "night.edf", Hypnogram(SHORT, start=start))
    assert edfio.read_edf(fname).startdatetime == datetime(2024, 3, 5, 22, 30)
    assert read_hypnogram(fname).start == start


def test_a_start_that_edf_cannot_hold_is_left_out(tmp_path):
    hypno = Hypnogram(SHORT, start="1920-03-05 23:30")
    with pytest.warns(RuntimeWarning, match="1985 to 2084, so the start 1920"):
        back = read_hypnogram(saved(tmp_path / "night.edf", hypno))
    assert (back.n_epochs, back.start) == (8, None)


@pytest.mark.parametrize(
    ("recording", "date", "start"),
    [
        (b"Startdate X X X X", b"01.01.8500.00.00", None),
        (b"Startdate X X X X", b"01.01.8522.30.00", "1985-01-01 22:30Z"),
        (b"any text", b"24.04.8916.13.00", "1989-04-24 16:13Z"),
        (b"any text", b"24.04.0416.13.00", "2004-04-24 16:13Z"),
        (b"Startdate 24-APR-2089 X X X", b"24.04.yy16.13.00", "2089-04-24 16:13Z"),
        (b"Startdate 24-ABC-1989 X X X", b"24.04.8916.13.00", "1989-04-24 16:13Z"),
        (b"any text", b"24.13.8916.13.00", None),
    ],
)
def test_the_start_in_an_edf_header(recording, date, start, tmp_path):
    """As MNE reads it: the long date before the short one, none if anonymised."""
    fname = saved(tmp_path / "night.edf", Hypnogram(SHORT))
    content = bytearray(fname.read_bytes())
    content[88:168] = recording.ljust(80)
    content[168:184] = date
    fname.write_bytes(content)
    expected = None if start is None else pd.Timestamp(start)
    assert read_hypnogram(fname).start == expected


def test_the_edf_of_another_program_is_read_whatever_its_encoding(tmp_path):
    """Capital suffix, a Latin-1 event, no time-keeping annotation, two in a TAL."""
    fname = saved(tmp_path / "NIGHT.EDF", Hypnogram(SHORT))
    tals = (
        "+0\x1530\x14Sleep stage W\x14Körper\x14\0+30\x14Pulse\x14\0+30.0\x1530\x14N1"
    )
    before = fname.read_bytes()
    content = before[:512] + f"{tals}\x14\0".encode("latin1")
    fname.write_bytes(content.ljust(len(before), b"\0"))
    assert read_hypnogram(fname).as_int().tolist() == [0, 1]


def test_the_stages_of_a_recording_are_read_among_its_signals(tmp_path):
    signal = edfio.EdfSignal(np.zeros(12_000), 100, label="EEG")
    stages = [edfio.EdfAnnotation(30 * i, 30, f"N{i + 1}@@EEG") for i in range(3)]
    edfio.Edf([signal], annotations=stages).write(tmp_path / "night.edf")
    assert read_hypnogram(tmp_path / "night.edf").as_int().tolist() == [1, 2, 3]


# One night in many files: W W N1 N2 N3 R UNS.
NIGHT = [0, 0, 1, 2, 3, 4, -2]
NAMES = ["W", "W", "N1", "N2", "N3", "R", "UNS"]
CODES = ["0", "0", "1", "2", "3", "4", "-2"]
VENDOR = ["Wach", "Wach", "NREM 1", "N2", "S4", "REM", "?"]
DATED = pd.Timestamp("2024-02-05 22:00:30")
YASA = Hypnogram.from_integers(NIGHT, start=DATED, scorer="me")
MNE = hypnogram_to_annotations(Hypnogram.from_integers(NIGHT, start=DATED))
UNDATED = hypnogram_to_annotations(Hypnogram.from_integers(NIGHT))


def lines(rows, *head, sep=None):
    rows = rows if sep is None else (sep.join(map(str, row)) for row in rows)
    return "\n".join([*head, *rows]) + "\n"


def epochs(names, *formats):
    """Return rows of an epoch's number, onset or time, and its name."""
    columns = {
        "i": range(7),
        "onset": np.arange(0, 210, 30),
        "ms": np.arange(0, 210_000, 30_000),
        "dur": [30] * 7,
        "clock": [f"22:0{(i + 1) // 2}:{'03'[(i + 1) % 2]}0" for i in range(7)],
        "name": names,
    }
    columns["comma"] = [f"{onset},0" for onset in columns["onset"]]
    columns["ISO"] = [f"2024-02-05 {clock}" for clock in columns["clock"]]
    return list(zip(*(columns[x] for x in formats), strict=True))


REMLOGIC = "Sleep Stage\tPosition\tTime [hh:mm:ss]\tEvent\tDuration[s]\tLocation"
SLEEP_NAMES = [f"SLEEP-{x}" for x in ("S0", "S0", "S1", "S2", "S4", "REM", "UNSCORED")]
PROFUSION = "<CMPStudyConfig><EpochLength>30</EpochLength><ScoredEvents/><SleepStages>"
PROFUSION += "".join(f"<SleepStage>{code}</SleepStage>" for code in "0012459")
PROFUSION += "</SleepStages></CMPStudyConfig>"


def table(header, *formats, names=NAMES, sep=","):
    return lines(epochs(names, *formats, "name"), header.replace(",", sep), sep=sep)


TIMED = ("onset", "dur")
UNDATED_FILES = {
    "names.txt": lines(NAMES),
    "names.hyp": lines(VENDOR),
    "line.csv": ",".join(NAMES),
    "names.csv": lines(NAMES, "Stage"),
    "comment.eannot": lines(NAMES, "# scored by me"),
    "integers.txt": lines(CODES),
    "integers.csv": lines(CODES, "hypno"),
    "floats.txt": lines(f"{float(code):.18e}" for code in CODES),
    "epochs.csv": table("Epoch,Stage", "i"),
    "pandas.csv": table(",0", "i", names=CODES),
    "no_header.txt": lines(epochs(NAMES, *TIMED, "name"), sep=" "),
    "usleep.tsv": table("onset,duration,sleep_stage", *TIMED, sep="\t"),
    "stage_events.tsv": table("onset,duration,stage", *TIMED, names=VENDOR, sep="\t"),
    "value_events.tsv": table("onset,duration,value", *TIMED, sep="\t"),
    "codes.tsv": table("onset,duration,trial_type", *TIMED, names=CODES, sep="\t"),
    "excel.csv": table("onset,duration,stage", "comma", "dur", sep=";"),
    "ms.csv": table("onset,duration,description", "ms", "dur"),
    "seconds.csv": table("onset,duration,description", *TIMED),
    "channel.csv": table(
        "Onset [s],Duration [s],Annotation",
        *TIMED,
        names=[f"Sleep stage {name}@@C4-M1" for name in NAMES],
    ),
    "utf16.txt": lines(VENDOR, "Stage").encode("utf-16"),
    "cp1252.csv": lines(["Éveil", *NAMES[1:]]).encode("cp1252"),
    "bom.txt": lines(NAMES).encode("utf-8-sig"),
    "profusion.XML": PROFUSION,
    "ucddb002_stage.txt": lines("0023518"),
}
CLOCKED = epochs(NAMES, "clock", "name")
DOMINO = [f"{time},000; {name}" for time, name in CLOCKED]
DATED_FILES = {
    "clock.csv": table("Time,me", "ISO"),
    "both.csv": table("epoch,onset,time,stage", "i", "onset", "ISO"),
    "domino.txt": lines(
        [*DOMINO[:-1], DOMINO[-1].replace("UNS", "A")],
        *("Signal ID: SchlafProfil\\profil", "Start Time: 05.02.2024 22:00:30"),
        *("Events list: N3,N2,N1,Rem,Wake,Artifact", "Rate: 30 s", ""),
    ),
    "domino_us.txt": lines(
        DOMINO, "Signal ID: x", "Start Time: 2/5/2024 10:00:30 PM", "Rate: 30 s", ""
    ),
    "remlogic.txt": lines(
        [
            f"W\tLeft side\t{row[0]}\t{stage}\t30\tROC"
            for row, stage in zip(CLOCKED, SLEEP_NAMES, strict=True)
        ],
        *("RemLogic Event Export", "Patient:\tX", "Recording Date:\t05/02/2024"),
        *("Events Included:", "SLEEP-S0", REMLOGIC, "S2\tL\t22:00:35\tMCAP-A1\t6\tEEG"),
    ),
}


def write(fname, content):
    fname.write_bytes(content.encode() if isinstance(content, str) else content)
    return fname


@pytest.mark.parametrize("name", [*UNDATED_FILES, *DATED_FILES])
def test_the_files_of_labs_are_read(name, tmp_path):
    content = (UNDATED_FILES | DATED_FILES)[name]
    hypno = read_hypnogram(write(tmp_path / name, content))
    assert hypno.as_int().tolist() == NIGHT
    expected = pd.Timestamp(DATED) if name in DATED_FILES else None
    start = hypno.start
    assert (start if start is None else start.replace(tzinfo=None)) == expected
    stages = stages_on_grid(tmp_path / name, 7, None if start is None else DATED)
    assert stages.tolist() == np.clip(NIGHT, -1, None).tolist()


WRITERS = {
    "yasa.csv": (YASA, lambda fname: YASA.hypno.to_csv(fname)),
    "events.csv": (None, lambda fname: YASA.as_events().to_csv(fname)),
    "events.tsv": (None, lambda fname: YASA.as_events().to_csv(fname, sep="\t")),
    "yasa.json": (YASA, lambda fname: YASA.to_json(fname)),
    "integers.csv": (None, lambda fname: pd.Series(NIGHT).to_csv(fname)),
    "array.npy": (None, lambda fname: np.save(fname, NIGHT)),
    "column.npy": (None, lambda fname: np.save(fname, np.array([NAMES]).T)),
    "mne.csv": (YASA, lambda fname: MNE.save(fname)),
    "mne.txt": (YASA, lambda fname: MNE.save(fname)),
    "mne-annot.fif": (YASA, lambda fname: MNE.save(fname)),
    "undated.csv": (None, lambda fname: UNDATED.save(fname)),
    "undated.txt": (None, lambda fname: UNDATED.save(fname)),
}


@pytest.mark.parametrize("name", WRITERS)
def test_the_files_of_yasa_numpy_and_mne_are_read(name, tmp_path):
    dated, save = WRITERS[name]
    save(tmp_path / name)
    hypno = read_hypnogram(tmp_path / name)
    assert hypno.as_int().tolist() == NIGHT
    start = None if hypno.start is None else hypno.start.replace(tzinfo=None)
    assert start == (None if dated is None else DATED)
    if "events" in name or name == "yasa.json":
        assert hypno.scorer == "me"


def test_a_late_first_stage_stays_late(tmp_path):
    """MNE itself would move the night of a CSV without a date to 0 s."""
    late = mne.Annotations([90, 120], [30, 30], ["Sleep stage 2", "Sleep stage R"])
    for suffix in (".csv", ".txt"):
        late.save(tmp_path / f"late{suffix}")
        hypno = read_hypnogram(tmp_path / f"late{suffix}")
        assert hypno.as_int().tolist() == [-2, -2, -2, 2, 4]
    # MNE writes an onset at midnight as a date without a time.
    mne.Annotations(0, 3000, "Sleep stage W").save(tmp_path / "midnight.csv")
    assert read_hypnogram(tmp_path / "midnight.csv").n_epochs == 100


def test_the_night_of_an_nsrr_file_begins_with_the_recording(tmp_path):
    """Not with its first stage. Elements outside of events do not matter."""
    text = nsrr_xml(STAGES).replace("Wake|0", "Unscored|9", 1)
    text = text.replace("<EpochLength>", "<Start>x</Start><EpochLength>")
    hypno = read_hypnogram(write(tmp_path / "shhs1-200001-nsrr.xml", text))
    assert len(hypno) == len(STAGES)
    assert (hypno.hypno[:70] == "UNS").all()


def test_onsets_count_if_a_clock_has_no_date(tmp_path):
    rows = "epoch,onset,duration,time,stage\n2,60,30,22:01:00,W\n3,90,30,22:01:30,R\n"
    hypno = read_hypnogram(write(tmp_path / "late.csv", rows))
    assert hypno.as_int().tolist() == [-2, -2, 0, 4]


@pytest.mark.parametrize("where", [0, 3, 6])
@pytest.mark.parametrize("head", ["stage\n", "time,stage\n"])
def test_an_epoch_of_an_unknown_name_keeps_its_place(where, head, tmp_path):
    names, expected = NAMES.copy(), NIGHT.copy()
    names[where], expected[where] = "light", -2
    rows = epochs(names, *["ISO"] * ("time" in head), "name")
    fname = write(tmp_path / "night.csv", head + lines(rows, sep=","))
    with pytest.warns(RuntimeWarning, match=r"\['light'\] cover 0.5 min"):
        assert read_hypnogram(fname).as_int().tolist() == expected


@pytest.mark.parametrize("step", [20, 1])
def test_the_duration_of_epochs_may_be_told(step, tmp_path):
    fname = write(tmp_path / "night.txt", lines(np.repeat(NAMES, 60 // step)))
    hypno = read_hypnogram(fname, epoch_duration=step)
    assert stages_on_grid(hypno, 14)[::2].tolist() == np.clip(NIGHT, -1, 9).tolist()


def test_a_duration_that_contradicts_the_file_is_refused(tmp_path):
    fname = write(tmp_path / "night.csv", DATED_FILES["clock.csv"])
    with pytest.raises(ValueError, match=r"epochs of 30 s, but epoch_duration=10"):
        read_hypnogram(fname, epoch_duration=10)


def test_foreign_bids_events_may_hold_other_events_and_gaps(tmp_path):
    fname = write(
        tmp_path / "sub-01_events.tsv",
        "onset\tduration\tvalue\ttrial_type\n"
        "0\tn/a\t8\tLights off\n15\t30\tn/a\tN1\n45\t60\t2\tREM\n3\t0\t1\tn/a\n",
    )
    assert read_hypnogram(fname).as_int().tolist() == [-2, -2, 4]
    assert stages_on_grid(fname, 3).tolist() == [-1, -1, 4]


CSV = "epoch,onset,duration,time,stage\n0,0,30,2024-02-05 22:00:00,W\n"
IMPULSES = "Signal ID: Flow\nSignal Type: Impuls\n\n00:41:31,5-00:41:42,7; 11;Hypopnea"
ENTITIES = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbb">]><a>&b;</a>'
REFUSED = {
    # Re-saved by a spreadsheet.
    "seconds lost.csv": ("Time,Stage\n22:00,W\n22:00,W\n22:01,N1\n", "not a time as"),
    "date turned.csv": ("Time,Stage\n05.02.2024 22:00:00,W\n", "not a time as"),
    "rounded.csv": ("Time,Stage\n22:00:00,W\n22:00:00,W\n22:01:00,R\n", "the seconds,"),
    "turned.csv": (f"{CSV}1,30,30,2024-05-02 22:00:30,W\n", "follow each other: row 2"),
    "edited.csv": ("epoch,onset,duration,stage\n0,0,30,W\n1,45,30,W\n", "at one dura"),
    "sorted.csv": (f"{CSV}-1,-30,30,2024-02-05 21:59:30,W\n", "does not count"),
    # In another unit, or another code.
    "ms.csv": (
        table("onset,duration,stage", "ms", "dur").replace(",30,", ",30000,"),
        "lasts 30000 s or longer.*may be in ms",
    ),
    "min.tsv": (
        "onset\tduration\tstage\n" + "".join(f"{i / 2}\t0.5\tN2\n" for i in range(9)),
        "none over 0.5 s.* or minutes",
    ),
    "5.txt": (lines("0012355"), r"found \[5.0\].*5 is REM"),
    # Two scorers.
    "two.csv": (
        "epoch,anna,bob\n0,W,W\n1,N1,N2\n2,R,R\n",
        "both hold stages, but 'N1'",
    ),
    "both.txt": ("W\tW\nN1\tN2\nR\tR\n", "both hold stages, but 'N1' is not"),
    "names.csv": (
        "epoch,Stage (A),Stage (B)\n0,W,W\n1,N1,N2\n",
        "several different columns 'stage'",
    ),
    # Damaged or empty.
    "empty.txt": ("", "file is empty"),
    "short.tsv": ("onset\tduration\ttrial_type\n0\t10\tW\n", "from one epoch to one"),
    "header.csv": ("epoch,duration,stage\n", "and no rows"),
    "comment.txt": ("# nothing\n", "cannot be read"),
    "late.csv": ("epoch,stage\n5,W\n6,N1\n", "begins with 5.*rows are missing"),
    "late clock.csv": ("epoch,time,stage\n5,22:02:30,W\n", "begins with 5"),
    "rows missing.csv": ("epoch,duration,stage\n0,30,W\n2,30,W\n", "rows are missing"),
    "word.csv": ("epoch,duration,stage\n0,30,W\nx,30,W\n", "'epoch' must hold"),
    "proba.csv": ("epoch,duration,stage,N1\n0,30,W,2\n", "must sum to 1"),
    "damaged.edf": (b"\0" * 600, "has no valid EDF header"),
    "utf16.csv": (b"\xff\xfe\0\0\x81", "cannot be read"),
    "quote.tsv": ('onset\tstage\n"0', "A cell"),
    # Another format.
    "events.tsv": ("onset\tduration\ttrial_type\n0\t30\tGo\n", "No column .* stages"),
    "other.csv": ("a,b\n1,2\n", "No column .* holds sleep stages"),
    "words.txt": ("Dear all\nhello\n", "cannot be read as a hypnogram: .*'Dear all'"),
    "title.txt": ("Dr. X\nW\nN1\n", "first line, 'Dr. X', is neither"),
    "binary.txt": (b"\x00\x01\x02", "cannot be read as a hypnogram: it is none of"),
    "night.xlsx": (b"PK\x03\x04", "spreadsheet; save it as 'CSV UTF-8'"),
    "night.mat": (b"MATLAB", "MATLAB file; load it by scipy"),
    "night.rml": ("<PatientStudy/>", "Philips Sleepware study; export"),
    "other.xml": ("<PatientStudy/>", "outermost element is 'PatientStudy'"),
    "other.json": ("[1, 2]", "not a hypnogram of yasa"),
    "pickle.npy": (b"\x80\x04K\x01.", "not a NumPy array"),
    "night.fif": ("nothing", "holds no annotations that MNE can read"),
    "impulses.txt": (IMPULSES, "'Sleep profile'"),
    # A document type could let entities grow; a missing onset would become a gap.
    "entities.xml": (ENTITIES, "The XML declares a document type"),
    "entities16.xml": (ENTITIES.encode("utf-16"), "The XML declares a document type"),
    "onset.xml": (
        nsrr_xml(STAGES).replace("<Start>2100", "<Start>"),
        "column 'onset' is empty",
    ),
    "ucddb001_stage.txt": ("0\n9\n", "code from 0 to 8"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_files_are_refused_in_one_sentence(name, tmp_path):
    content, match = REFUSED[name]
    with pytest.raises(ValueError, match=f"^{name}: .*{match}"):
        read_hypnogram(write(tmp_path / name, content))


def test_an_array_of_probabilities_is_refused(tmp_path):
    """The order of its columns is not known."""
    np.save(tmp_path / "night.npy", np.zeros((7, 5)))
    with pytest.raises(ValueError, match=r"array\.argmax"):
        read_hypnogram(tmp_path / "night.npy")


def test_a_missing_file_and_a_folder_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"night.edf does not exist"):
        stages_on_grid(str(tmp_path / "night.edf"), 3)
    with pytest.raises(ValueError, match="It is a folder; pass the file in it"):
        read_hypnogram(tmp_path)


def test_an_existing_file_is_kept_unless_overwritten(tmp_path):
    fname = saved(tmp_path / "night.csv", Hypnogram(["W"]))
    with pytest.raises(FileExistsError, match="overwrite=True"):
        write_hypnogram(fname, Hypnogram(["R"]))
    assert read_hypnogram(fname).as_int().tolist() == [0]
    write_hypnogram(fname, Hypnogram(["R"]), overwrite=True)
    assert read_hypnogram(fname).as_int().tolist() == [4]


@pytest.mark.parametrize(
    ("name", "hypno", "error", "match"),
    [
        ("night.xlsx", Hypnogram(["W"]), ValueError, r"\.edf or \.csv or \.tsv"),
        ("night", Hypnogram(["W"]), ValueError, r"\.edf or \.csv or \.tsv"),
        ("no/night.csv", Hypnogram(["W"]), FileNotFoundError, "Create it"),
        ("night.csv", [0, 1], TypeError, "found list"),
        ("night.csv", Hypnogram(["W", "S"], n_stages=2), ValueError, "has 2 stages"),
    ],
)
def test_what_cannot_be_written_is_refused(name, hypno, error, match, tmp_path):
    with pytest.raises(error, match=match):
        write_hypnogram(tmp_path / name, hypno)
    assert not os.listdir(tmp_path)
