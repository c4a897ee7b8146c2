"""Recordings with pauses: epochs and annotations stay in true time."""

from datetime import datetime, timedelta

import edfio
import mne
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.io import savemat
from signals import make_noise, make_raw, make_wavelet, write_edf_with_pauses

from mne_mc2sleep.data.reading import read_stages
from mne_mc2sleep.io.recordings import read_recording

SFREQ = 100
DURATION = 300  # of the joined parts
STAGES = np.arange(20) % 5


def make_signal(*bursts):
    """Return noise with bursts at the given seconds of the joined recording."""
    times = np.arange(DURATION * SFREQ) / SFREQ
    return make_noise(times.size) + sum(make_wavelet(times, burst) for burst in bursts)


def make_edf(signal, record=1.0, kind="edf"):
    """Return a file of one channel that holds a stage for each 30 s of true time."""
    make, add = (
        (edfio.Bdf, edfio.BdfSignal) if kind == "bdf" else (edfio.Edf, edfio.EdfSignal)
    )
    channel = add(signal, SFREQ, label="EEG C4-A1", physical_dimension="uV")
    stages = [
        edfio.EdfAnnotation(30.0 * i, 30, f"Sleep stage {'W123R'[stage]}")
        for i, stage in enumerate(STAGES)
    ]
    return make([channel], annotations=stages, data_record_duration=record)


def find_burst(recording):
    """Return when the burst of a recording peaks."""
    epoch = np.abs(recording.signals).max(axis=1).argmax()
    return 30 * epoch + recording.signals[epoch].argmax() / 100


@pytest.mark.parametrize("is_path", [True, False])
@pytest.mark.parametrize(
    ("kind", "record", "pauses", "true_time", "unusable"),
    [
        ("edf", 1, {130: 120}, 370, range(4, 9)),
        ("edf", 0.5, {120: 45, 300: 600}, 895, [2, 3, *range(6, 27)]),
        ("bdf", 2, {100: 7.25}, 257.25, [6]),
        ("edf", 1, {240: 30}, 280, [8]),
        ("edf", 10, {20: 3600}, 3850, [*range(6, 127)]),
    ],
)
def test_an_edf_file_with_pauses_keeps_its_times(
    kind, record, pauses, true_time, unusable, is_path, tmp_path
):
    fname = tmp_path / f"night.{kind}"
    write_edf_with_pauses(fname, make_edf(make_signal(250), record, kind), pauses)
    raw = fname if is_path else mne.io.read_raw(fname, verbose="ERROR")
    recording = read_recording(raw)
    assert recording.n_epochs == (DURATION + sum(pauses.values())) // 30
    assert abs(find_burst(recording) - true_time) < 0.02
    found = np.flatnonzero(recording.reasons == "pause")
    expected = [i for i in unusable if i < recording.n_epochs]
    # An epoch that lacks less than 10 % may be staged.
    assert set(found) <= set(expected)
    assert len(expected) - len(found) <= 2
    n_scored = min(recording.n_epochs, STAGES.size)
    assert_array_equal(read_stages(recording, None)[:n_scored], STAGES[:n_scored])


def test_an_edf_plus_d_file_without_pauses_is_like_any_other(tmp_path):
    edf = make_edf(make_signal(100))
    edf.write(tmp_path / "continuous.edf")
    write_edf_with_pauses(tmp_path / "marked.edf", edf, {})
    one, other = (
        read_recording(tmp_path / name) for name in ("continuous.edf", "marked.edf")
    )
    assert_array_equal(one.signals, other.signals)
    assert one.annotations == other.annotations


def test_a_section_of_a_raw_with_a_pause_starts_in_true_time(tmp_path):
    """Before, across and after the pause; what was annotated in memory moves along."""
    fname = tmp_path / "night.edf"
    write_edf_with_pauses(fname, make_edf(make_signal(250)), {130: 120})
    raw = mne.io.read_raw(fname, verbose="ERROR", preload=True)
    raw.annotations.append(200, 30, "BAD_move")
    start = read_recording(fname).start
    for tmin, true_tmin in ((60, 60), (180, 300)):
        recording = read_recording(raw.copy().crop(tmin))
        assert recording.start - start == timedelta(seconds=true_tmin)
        assert abs(find_burst(recording) - (370 - true_tmin)) < 0.02
        bad = np.flatnonzero(recording.reasons == "bad annotation")
        assert_array_equal(30 * bad + true_tmin, [330])


@pytest.mark.parametrize(
    ("pauses", "match"),
    [
        ({130: -5}, "before the end of the one before"),
        ({130: 8 * 86_400}, "pauses of 192 h in total"),
        ({}, "not when each data record begins"),
    ],
)
def test_impossible_or_missing_times_of_records_are_refused(pauses, match, tmp_path):
    fname = tmp_path / "night.edf"
    write_edf_with_pauses(fname, make_edf(make_signal()), pauses)
    if not pauses:
        fname.write_bytes(fname.read_bytes().replace(b"\x14\x14", b"\0\0"))
    with pytest.raises(ValueError, match=match):
        read_recording(fname)


def read_with_pause(raw, pause):
    """Read a recording with a pause before its burst, None if that is unknown."""
    if pause is None:
        with pytest.raises(ValueError, match=r"joined from parts at (129.995|130) s"):
            read_recording(raw)
        return None
    recording = read_recording(raw)
    assert recording.n_epochs == (DURATION + pause) // 30
    assert abs(find_burst(recording) - (250 + pause)) < 0.02
    return recording


def write_brainvision(folder, signal, segments):
    """Write a BrainVision file; segments are (second in the file, date)."""
    text = [
        "Brain Vision Data Exchange Marker File, Version 1.0",
        *("[Common Infos]", "Codepage=UTF-8", "DataFile=night.eeg", "[Marker Infos]"),
    ]
    for number, (second, date) in enumerate(segments, start=1):
        date = "" if date is None else f",{date:%Y%m%d%H%M%S%f}"
        text.append(f"Mk{number}=New Segment,,{int(second * SFREQ) + 1},1,0{date}")
    text.append(f"Mk{number + 1}=Comment,BAD_move,{200 * SFREQ + 1},{30 * SFREQ},0")
    (folder / "night.vmrk").write_text("\n".join(text))
    (folder / "night.vhdr").write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n"
        "[Common Infos]\nDataFile=night.eeg\nMarkerFile=night.vmrk\n"
        "DataFormat=BINARY\nDataOrientation=MULTIPLEXED\nNumberOfChannels=1\n"
        f"SamplingInterval={1e6 / SFREQ:g}\n"
        "[Binary Infos]\nBinaryFormat=IEEE_FLOAT_32\n"
        "[Channel Infos]\nCh1=C4-M1,,1,µV\n"
    )
    signal.astype("<f4").tofile(folder / "night.eeg")
    return folder / "night.vhdr"


BEGIN = datetime(2024, 2, 28, 23, 0, 0)


@pytest.mark.parametrize(
    ("segments", "pause"),
    [
        ([(0, BEGIN), (130, BEGIN + timedelta(seconds=250))], 120),
        ([(0, BEGIN), (60, BEGIN + timedelta(seconds=100)),
          (130, BEGIN + timedelta(seconds=250))], 120),
        ([(0, BEGIN), (130, BEGIN + timedelta(seconds=130))], 0),
        ([(0, BEGIN), (130, BEGIN + timedelta(seconds=129.9))], 0),
        ([(0, None)], 0),
        ([(0, BEGIN), (130, None)], None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_path", [True, False])
def test_segments_of_a_brainvision_file_keep_their_times(
    segments, pause, is_path, tmp_path
):
    """The dates of "New Segment" markers give the pauses; other markers move along."""
    raw = write_brainvision(tmp_path, make_signal(250), segments)
    if not is_path:
        raw = mne.io.read_raw(raw, verbose="ERROR")
    if found := read_with_pause(raw, pause):
        bad = found.annotations.description == "Comment/BAD_move"
        assert_array_equal(found.annotations.onset[bad], [200 + pause])


def write_eeglab(fname, signal, boundaries):
    """Write an EEGLAB file; boundaries are (second in the file, seconds cut out)."""
    rows = [("boundary", t * SFREQ + 0.5, gap * SFREQ) for t, gap in boundaries]
    events = [(name, object) for name in ("type", "latency", "duration")]
    channels = [(name, object) for name in ("labels", "X", "Y", "Z")]
    eeg = {"nbchan": 1.0, "trials": 1.0, "pnts": float(signal.size), "setname": ""}
    eeg |= {"srate": float(SFREQ), "xmin": 0.0, "xmax": DURATION, "epoch": []}
    eeg |= {"data": signal[np.newaxis], "event": np.array(rows, events)}
    eeg |= {"chanlocs": np.array([("C4-M1", 0.0, 95.0, 0.0)], channels)}
    savemat(fname, {"EEG": eeg})
    return fname


@pytest.mark.filterwarnings("ignore:The data contains 'boundary' events")
@pytest.mark.filterwarnings("ignore:Omitted 1 annotation")
@pytest.mark.parametrize(
    ("boundaries", "pause"),
    [
        *(([(130, 120)], 120), ([(60, 30), (130, 90)], 120), ([(0, np.nan)], 0)),
        *(([], 0), ([(130, 0)], None), ([(130, np.nan)], None)),
    ],
)
def test_what_eeglab_cut_out_is_a_pause(boundaries, pause, tmp_path):
    """A boundary lasts as long as what was removed; 0 where data sets were joined."""
    fname = write_eeglab(tmp_path / "night.set", make_signal(250), boundaries)
    read_with_pause(fname, pause)


@pytest.mark.parametrize("dated", [True, False])
def test_concatenated_raws_are_refused_until_the_user_says_that_nothing_lacks(dated):
    """MNE keeps no pause; without its marks, the parts follow each other."""
    parts = [make_raw(make_noise(9000, seed=i)) for i in range(2)]
    if not dated:
        parts = [part.set_meas_date(None) for part in parts]
    raw = mne.concatenate_raws(parts)
    with pytest.raises(ValueError, match=r"parts at 90 s.*delete the annotations"):
        read_recording(raw)
    raw.annotations.delete(
        [i for i, a in enumerate(raw.annotations) if "boundary" in a["description"]]
    )
    assert read_recording(raw).n_epochs == 6
