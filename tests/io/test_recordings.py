"""From a recording to epochs on a grid that never moves."""

import math
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from signals import MEAS_DATE, make_noise, make_raw, make_wavelet

from mne_mc2sleep.io.recordings import read_recording

NOXTURNAL = Path(__file__).parents[3] / "shared/data/device_edf/noxturnal_2min.edf"


def test_the_grid_does_not_drift_at_a_rate_of_many_decimals():
    """Two hours on, a rate that no short ratio meets still puts an event in place."""
    sfreq = 100.0037
    times = np.arange(round(7200.1 * sfreq)) / sfreq
    signal = make_noise(times.size) + make_wavelet(times, 7180)
    recording = read_recording(make_raw(signal, sfreq))
    assert recording.n_epochs == 240
    assert abs(recording.signals[239].argmax() - 1000) <= 1


def test_rate_in_single_precision_loses_no_epoch(tmp_path):
    fname = tmp_path / "night_raw.fif"
    make_raw(make_noise(299_910), 99.97).save(fname, verbose=False)
    assert mne.io.read_raw(fname, verbose=False).info["sfreq"] > 99.97
    assert read_recording(fname).n_epochs == 100


@pytest.mark.filterwarnings("ignore:.* was (low-pass filtered|cut off)")
@pytest.mark.parametrize("sfreq", [100.0, 128.0, 200.0, 256.0, 512.0, 99.97])
def test_a_sine_in_the_band_keeps_amplitude_and_phase(sfreq):
    """10 Hz, 50 µV come out at 100 Hz as the same sine, also at the edges of epochs."""
    times = np.arange(math.ceil(900 * sfreq)) / sfreq
    raw = make_raw(50 * np.sin(2 * np.pi * 10 * times) + 1e5, sfreq)
    expected = 50 * np.sin(2 * np.pi * 10 * np.arange(90_000) / 100)
    signal = read_recording(raw).signals.ravel()
    assert signal.dtype == np.float32
    assert_allclose(signal[100:-100], expected[100:-100], atol=0.5)
    assert_allclose(signal[1000:-1000], expected[1000:-1000], atol=0.01)


@pytest.mark.parametrize("frequency", [0.05, 45, 50, 60, 70, 99, 110])
def test_frequencies_outside_the_band_are_removed(frequency):
    """Drift, mains and what would alias below 35 Hz lose 99 % of their amplitude."""
    times = np.arange(90 * 256) / 256
    wave = 1000 * np.sin(2 * np.pi * frequency * times)
    noise = make_noise(times.size)
    with_wave = read_recording(make_raw(noise + wave, 256.0)).signals
    without = read_recording(make_raw(noise, 256.0)).signals
    assert np.abs(with_wave - without)[1].max() < 10


def test_a_channel_named_like_a_type_is_read_alone():
    """The name "eeg" means that channel, not all of the type."""
    raw = make_raw(make_noise(6000), ch_name="eeg")
    other = make_raw(make_noise(6000, seed=1), ch_name="other")
    both = other.copy().add_channels([raw.copy()])
    signals = read_recording(both, picks="eeg").signals
    assert_array_equal(signals, read_recording(raw).signals)


@pytest.mark.parametrize("first_samp", [0, 12_345])
def test_start_is_the_time_of_the_first_sample(first_samp):
    """Start is meas_date + first_time in UTC, as YASA sets it; None without a date."""
    raw = make_raw(make_noise(3000), first_samp=first_samp)
    start = read_recording(raw).start
    assert start == MEAS_DATE + timedelta(seconds=first_samp / 100)
    assert start.utcoffset() == timedelta(0)
    assert read_recording(raw.set_meas_date(None)).start is None


@pytest.mark.parametrize("dated", [True, False])
def test_annotations_count_from_the_first_sample(dated):
    raw = make_raw(make_noise(12_000), first_samp=5000)
    if not dated:
        raw.set_meas_date(None)
    raw.set_annotations(mne.Annotations([30.0], [30.0], ["Sleep stage 2"]))
    raw.crop(tmin=10)
    annotations = read_recording(raw).annotations
    assert annotations.orig_time is None
    assert_allclose(annotations.onset, [20.0])
    assert_array_equal(annotations.description, ["Sleep stage 2"])


@pytest.mark.parametrize("name", ["night.xyz", "night.edf", "night_raw.fif"])
def test_a_file_that_mne_cannot_read_is_named(tmp_path, name):
    (tmp_path / name).write_text("no recording at all")
    with pytest.raises(ValueError, match=rf"[cC]annot read .*{name}"):
        read_recording(str(tmp_path / name))


@pytest.fixture(params=[512, 64])
def edf(request, tmp_path):
    """Return an EDF+ file whose channels differ in rate, with the EEG's signal."""
    edfio = pytest.importorskip("edfio")
    eeg = make_noise(64 * 128)
    unit = {"physical_dimension": "uV"}
    sfreq, filters = request.param, "LP:10Hz"
    ecg = edfio.EdfSignal(
        make_noise(64 * sfreq), sfreq, label="ECG", prefiltering=filters, **unit
    )
    signals = [ecg, edfio.EdfSignal(eeg, 128, label="EEG C4-A1", **unit)]
    annotations = [
        edfio.EdfAnnotation(0, 30, "BAD@@ECG"),
        edfio.EdfAnnotation(30, 30, "BAD@@EEG C4-A1"),
    ]
    fname = tmp_path / "night.edf"
    edfio.Edf(signals, annotations=annotations).write(fname)
    return fname, eeg


def patch(fname, first, content):
    """Overwrite bytes of a file from the place ``first`` on."""
    before = fname.read_bytes()
    fname.write_bytes(before[:first] + content + before[first + len(content) :])


def test_edf_channel_is_read_at_its_own_rate(edf):
    fname, eeg = edf
    recording = read_recording(fname)
    assert recording.ch_name == "EEG C4-A1"
    expected = read_recording(make_raw(eeg, 128.0)).signals
    assert_allclose(recording.signals, expected, atol=0.05)


def test_a_file_without_annotations_is_read_as_by_mne(tmp_path):
    fname = tmp_path / "night.edf"
    make_raw(make_noise(60_000)).export(fname, verbose="error")
    found, expected = map(read_recording, (fname, mne.io.read_raw(fname)))
    assert_array_equal(found.signals, expected.signals)
    assert (found.start, found.ch_name) == (expected.start, expected.ch_name)


@pytest.mark.parametrize(
    ("n_records", "cut", "match"),
    [
        (64, 0.75, r"night.edf is cut short: 16 s of the 1.07 min .* are missing"),
        (128, 1.0, r"cut short: 1.07 min of the 2.13 min .* are missing"),
        (5760, 1.0, r"cut short: 1.58 h of the 1.6 h .* are missing"),
        (-1, 1.0, r"was not closed properly .* 1.07 min of signals were found"),
        (32, 1.0, r"holds 1.07 min of signals, but its header states 32 s"),
    ],
)
def test_an_edf_recording_of_another_length_than_stated_warns(
    n_records, cut, match, edf
):
    """What is there is read, and one warning says how much is missing."""
    fname = edf[0]
    patch(fname, 236, str(n_records).encode().ljust(8))
    content = fname.read_bytes()
    n_header = int(content[184:192])
    fname.write_bytes(content[: n_header + int(cut * (len(content) - n_header))])
    with pytest.warns(RuntimeWarning, match=match) as found:
        recording = read_recording(fname)
    assert recording.n_epochs == (1 if cut < 1 else 2)
    assert len(found) == 1
    raw = mne.io.read_raw(fname, verbose="ERROR")
    with pytest.warns(RuntimeWarning, match=match):
        read_recording(raw, "EEG C4-A1")


def read_quietly(recording):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        read_recording(recording)
    return [str(w.message) for w in found]


@pytest.fixture
def write_psg(tmp_path):
    """Return a function that writes an EDF file of channels with filters."""
    edfio = pytest.importorskip("edfio")

    def write(**prefilters):
        signals = [
            edfio.EdfSignal(
                make_noise(64 * 200, seed=i), 200, physical_dimension="uV",
                label=label.replace("_", " "), prefiltering=prefilter,
            )
            for i, (label, prefilter) in enumerate(prefilters.items())
        ]  # fmt: skip
        edfio.Edf(signals).write(tmp_path / "night.edf")
        return tmp_path / "night.edf"

    return write


@pytest.mark.parametrize(
    ("eeg", "match"),
    [
        ("HP:0.3Hz LP:35Hz", None),
        ("", None),
        ("HP:DC LP:N/A", None),
        ("HP:0.3s LP:70 Hz", None),
        ("HP: 0.3Hz LP: 15Hz", "low-pass filtered at 15 Hz"),
        ("HP 2.0 Hz, LP 35", "high-pass filtered at 2 Hz"),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("is_path", [True, False])
def test_only_the_filters_of_the_channel_itself_warn(
    eeg, match, order, is_path, write_psg
):
    """MNE keeps the EMG's high-pass and the airflow's low-pass for all channels."""
    channels = {"C4-M1": eeg, "EMG_chin": "HP:10Hz LP:100Hz", "Airflow": "LP:12Hz"}
    recording = write_psg(**dict([*channels.items()][::order]))
    if not is_path:
        recording = mne.io.read_raw(recording, verbose="ERROR")
    messages = read_quietly(recording)
    assert len(messages) == (match is not None)
    assert match is None or match in messages[0]


def test_a_filter_applied_in_memory_warns_whatever_the_file_says(write_psg):
    """No channel's header has it."""
    fname = write_psg(EEG_C4="HP:0.3Hz LP:35Hz", EMG_chin="HP:10Hz LP:100Hz")
    raw = mne.io.read_raw(fname, preload=True, verbose="ERROR").filter(None, 13)
    assert "low-pass filtered at 13 Hz" in read_quietly(raw)[0]


def test_a_filter_that_no_header_states_is_found_in_the_signal():
    raw = make_raw(mne.filter.filter_data(make_noise(6000), 100, None, 12))
    assert "it has hardly any power above 16 Hz" in read_quietly(raw)[0]


@pytest.mark.parametrize("other", ["EMG chin", "Airflow", "EOG(L)"])
def test_without_an_edf_header_another_channels_filter_does_not_warn(other):
    """A FIF file of a polysomnography keeps the filters that MNE took from the EDF."""
    raw = make_raw(make_noise(6000)).add_channels(
        [make_raw(make_noise(6000), ch_name=other)]
    )
    with raw.info._unlock():
        raw.info["highpass"] = 10.0
    assert read_quietly(raw) == []


@pytest.mark.parametrize(
    ("date", "time", "start"),
    [
        ("13.09.02", "22:10:00", (2002, 9, 13, 22, 10, 0)),
        ("13.09.02", "22-10-05", (2002, 9, 13, 22, 10, 5)),
        ("13.09.02", "22.10.05", (2002, 9, 13, 22, 10, 5)),
        ("13.09.02", "00.00.00", (2002, 9, 13, 0, 0, 0)),
        ("13.09.02", "25:10:00", None),
        ("13.09.02", "evening", None),
        ("13/09/02", "22.10.00", None),
    ],
)
@pytest.mark.parametrize("is_path", [True, False])
def test_the_start_is_as_in_the_header_or_none(date, time, start, is_path, edf):
    """Never midnight because a device writes a colon."""
    patch(edf[0], 88, f"{'polysomnography':80}{date:8}{time:8}".encode())
    raw = edf[0] if is_path else mne.io.read_raw(edf[0], verbose="ERROR")
    found = read_recording(raw).start
    assert found == (start and datetime(*start, tzinfo=UTC))


def test_a_start_that_was_set_in_memory_counts(edf):
    """Only what MNE made of an odd header is corrected."""
    patch(edf[0], 176, b"22:10:00")
    raw = mne.io.read_raw(edf[0], verbose="ERROR").set_meas_date(MEAS_DATE)
    assert read_recording(raw).start == MEAS_DATE


@pytest.mark.parametrize("text", ["BAD@@ECG", "\xc9veil", "Pause \x85 caf\xe9"])
def test_annotations_of_others_and_in_another_encoding_do_no_harm(text, edf):
    """BAD of the ECG is not BAD of the EEG; Latin-1 and cp1252 are read."""
    content = edf[0].read_bytes()
    assert b"BAD@@ECG" in content
    text = text.encode("latin1")[:8].ljust(8, b"_")
    edf[0].write_bytes(content.replace(b"BAD@@ECG", text))
    assert_array_equal(read_recording(edf[0]).reasons, ["", "bad annotation"])


@pytest.mark.parametrize("name", ["night.tsv", "hypnogram.txt", "night-profusion.xml"])
def test_a_hypnogram_among_recordings_is_told(name, tmp_path):
    """By its suffix, where MNE can make nothing of it."""
    (tmp_path / name).write_text("onset\tduration\ttrial_type\n0\t30\tN2\n")
    with pytest.raises(ValueError, match=rf"{name}.*If it is a hypnogram, pass"):
        read_recording(tmp_path / name)


@pytest.mark.parametrize("time", [b"25.61.00", b"24.00.00", b"10.00.99"])
def test_a_start_that_does_not_exist_is_told(time, edf):
    patch(edf[0], 176, time)
    with pytest.raises(ValueError, match="start time in its header does not exist"):
        read_recording(edf[0])
