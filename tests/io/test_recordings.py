"""From a recording to epochs on a grid that never moves."""

import math
import warnings
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import mne
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from signals import MEAS_DATE, make_noise, make_raw, make_wavelet

from mne_mc2sleep.io.recordings import read_recording

NOXTURNAL = Path(__file__).parents[3] / "shared/data/device_edf/noxturnal_2min.edf"


@given(
    sfreq=st.one_of(st.integers(50, 512), st.floats(50, 512)),
    duration=st.floats(30, 130),
    first_samp=st.integers(0, 10_000),
    where=st.tuples(st.floats(0, 1), st.floats(3, 27)),
)
@example(sfreq=99.97, duration=90.0, first_samp=0, where=(1.0, 12.0))
@example(sfreq=63.93, duration=90.0, first_samp=7, where=(0.5, 27.0))
@settings(max_examples=30, deadline=None)
@pytest.mark.filterwarnings("ignore:The recording is sampled:RuntimeWarning")
def test_an_event_is_found_at_its_time_at_any_rate(sfreq, duration, first_samp, where):
    """Epochs are floor(duration / 30), and epoch i starts at 30 i seconds."""
    n_times = math.ceil(duration * sfreq)
    n_epochs = int(n_times / Fraction(sfreq) / 30)
    epoch, second = int(where[0] * (n_epochs - 1)), where[1]
    times = np.arange(n_times) / sfreq
    signal = make_noise(n_times) + make_wavelet(times, 30 * epoch + second)
    recording = read_recording(make_raw(signal, sfreq, first_samp))
    assert recording.signals.shape == (n_epochs, 3000)
    assert recording.usable.all()
    assert abs(recording.signals[epoch].argmax() - 100 * second) <= 1.5


def test_the_grid_does_not_drift_at_a_rate_of_many_decimals():
    """Two hours on, a rate that no short ratio meets still puts an event in place."""
    sfreq = 100.0037
    times = np.arange(round(7200.1 * sfreq)) / sfreq
    signal = make_noise(times.size) + make_wavelet(times, 7180)
    recording = read_recording(make_raw(signal, sfreq))
    assert recording.n_epochs == 240
    assert abs(recording.signals[239].argmax() - 1000) <= 1


@pytest.mark.parametrize(
    ("n_times", "n_epochs"), [(3000, 1), (4500, 1), (5999, 1), (6000, 2)]
)
def test_incomplete_last_epoch_is_dropped(n_times, n_epochs):
    """30 s are one epoch; 45 s and 59.99 s are one, too."""
    assert read_recording(make_raw(make_noise(n_times))).n_epochs == n_epochs


def test_dropped_end_is_logged():
    """The log reports the number of seconds that were dropped."""
    with mne.utils.catch_logging(verbose="INFO") as log:
        read_recording(make_raw(make_noise(4500)))
    assert "Dropped the last 15.00 s" in log.getvalue()


def test_less_than_one_epoch_is_refused():
    """20 s cannot be staged."""
    with pytest.raises(ValueError, match=r"lasts 20 s.* 30 s"):
        read_recording(make_raw(make_noise(2000)))


def test_rate_in_single_precision_loses_no_epoch(tmp_path):
    """FIF files round the rate; the last epoch stays."""
    fname = tmp_path / "night_raw.fif"
    make_raw(make_noise(299_910), 99.97).save(fname, verbose=False)
    assert mne.io.read_raw(fname, verbose=False).info["sfreq"] > 99.97
    assert read_recording(fname).n_epochs == 100


@pytest.mark.parametrize("sfreq", [100.0, 128.0, 200.0, 256.0, 512.0, 99.97])
def test_a_sine_in_the_band_keeps_amplitude_and_phase(sfreq):
    """10 Hz, 50 µV come out at 100 Hz as the same sine, also at the edges of epochs."""
    times = np.arange(math.ceil(90 * sfreq)) / sfreq
    raw = make_raw(50 * np.sin(2 * np.pi * 10 * times) + 1e5, sfreq)
    expected = 50 * np.sin(2 * np.pi * 10 * np.arange(9000) / 100)
    signal = read_recording(raw).signals.ravel()
    assert signal.dtype == np.float32
    assert_allclose(signal[100:-100], expected[100:-100], atol=0.5)


@pytest.mark.parametrize("frequency", [0.05, 45, 50, 60, 70, 99, 110])
def test_frequencies_outside_the_band_are_removed(frequency):
    """Drift, mains and what would alias below 35 Hz lose 99 % of their amplitude."""
    times = np.arange(90 * 256) / 256
    wave = 1000 * np.sin(2 * np.pi * frequency * times)
    noise = make_noise(times.size)
    with_wave = read_recording(make_raw(noise + wave, 256.0)).signals
    without = read_recording(make_raw(noise, 256.0)).signals
    assert np.abs(with_wave - without)[1].max() < 10


def test_the_callers_raw_is_untouched():
    """Data, info, annotations and first_samp stay as they were, bit for bit."""
    signal = make_noise(25_600)
    signal[3000:3100], signal[9000:17_000] = np.nan, 0
    raw = make_raw(signal, 256.0, first_samp=300)
    raw.set_annotations(mne.Annotations(5, 10, "BAD_move", ch_names=[["C4-M1"]]))
    before = raw.copy()
    read_recording(raw)
    assert_array_equal(raw.get_data(), before.get_data())
    assert mne.utils.object_diff(raw.info, before.info) == ""
    assert raw.annotations == before.annotations
    assert raw.first_samp == before.first_samp


def test_a_lazy_raw_is_not_loaded(tmp_path):
    """Only the one channel is read, the recording stays on the disk."""
    make_raw(make_noise(6000)).save(tmp_path / "night_raw.fif", verbose=False)
    raw = mne.io.read_raw(tmp_path / "night_raw.fif", verbose=False)
    read_recording(raw)
    assert not raw.preload


def test_a_channel_named_like_a_type_is_read_alone():
    """The name "eeg" means that channel, not all of the type."""
    raw = make_raw(make_noise(6000), ch_name="eeg")
    other = make_raw(make_noise(6000, seed=1), ch_name="other")
    both = other.copy().add_channels([raw.copy()])
    signals = read_recording(both, picks="eeg").signals
    assert_array_equal(signals, read_recording(raw).signals)


@pytest.mark.parametrize("first_samp", [0, 12_345])
def test_start_is_the_time_of_the_first_sample(first_samp):
    """Start is meas_date + first_time in UTC, as YASA sets it."""
    start = read_recording(make_raw(make_noise(3000), first_samp=first_samp)).start
    assert start == MEAS_DATE + timedelta(seconds=first_samp / 100)
    assert start.utcoffset() == timedelta(0)


def test_start_is_none_without_a_date():
    """A recording without a date has no start."""
    raw = make_raw(make_noise(3000), first_samp=200)
    raw.set_meas_date(None)
    assert read_recording(raw).start is None


@pytest.mark.parametrize("dated", [True, False])
def test_annotations_count_from_the_first_sample(dated):
    """Onsets are seconds from the first sample, whatever first_samp and the date."""
    raw = make_raw(make_noise(12_000), first_samp=5000)
    if not dated:
        raw.set_meas_date(None)
    raw.set_annotations(mne.Annotations([30.0], [30.0], ["Sleep stage 2"]))
    raw.crop(tmin=10)
    annotations = read_recording(raw).annotations
    assert annotations.orig_time is None
    assert_allclose(annotations.onset, [20.0])
    assert_array_equal(annotations.description, ["Sleep stage 2"])


@pytest.mark.parametrize("factor", [1e6, 1e-6, 1e3])
def test_wrong_units_warn(factor):
    """A signal in µV stored as V, or too small, is told with the amplitude found."""
    raw = make_raw(make_noise(6000) * factor)
    with pytest.warns(RuntimeWarning, match=r"amplitude of .* µV .*5-100 µV.*volts"):
        recording = read_recording(raw)
    assert recording.usable.all()


@pytest.mark.parametrize("sfreq", [50.0, 64.0])
def test_a_low_rate_is_accepted_with_one_warning(sfreq):
    """Under 70 Hz the band does not reach 35 Hz: one warning, not two."""
    raw = make_raw(make_noise(round(60 * sfreq)), sfreq)
    with pytest.warns(RuntimeWarning) as record:
        recording = read_recording(raw)
    assert [str(w.message)[:31] for w in record] == [
        f"The recording is sampled at {sfreq:g} "
    ]
    assert recording.n_epochs == 2


def test_a_rate_below_the_band_is_refused():
    """At 32 Hz too little of the band is left."""
    with pytest.raises(ValueError, match=r"sampled at 32 Hz.*40 Hz"):
        read_recording(make_raw(make_noise(3200), 32.0))


@pytest.mark.parametrize(
    ("l_freq", "h_freq", "match"),
    [
        (None, 12, "low-pass filtered at 12 Hz"),
        (2, None, "high-pass filtered at 2 Hz"),
        (2, 12, "low-pass filtered at 12 Hz .* high-pass filtered at 2 Hz"),
    ],
)
def test_a_filtered_recording_warns_once(l_freq, h_freq, match):
    """What MNE knows of earlier filters is told, in one warning."""
    raw = make_raw(make_noise(6000)).filter(l_freq, h_freq, verbose=False)
    with pytest.warns(RuntimeWarning, match=match) as record:
        read_recording(raw)
    assert len(record) == 1


def test_usual_filters_do_not_warn():
    """0.5-35 Hz, as many recorders filter, is fine."""
    read_recording(make_raw(make_noise(6000)).filter(0.5, 35, verbose=False))


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((1, 3000)),
        [1, 2],
        None,
        mne.EpochsArray(np.zeros((1, 1, 9)), mne.create_info(1, 9), verbose=False),
    ],
)
def test_what_is_no_raw_and_no_path_is_refused(wrong):
    """The error says what to pass."""
    with pytest.raises(TypeError, match=r"must be a mne.io.Raw or the path"):
        read_recording(wrong)


def test_a_missing_file_is_named(tmp_path):
    """The error names the file that does not exist."""
    with pytest.raises(FileNotFoundError, match=r"nothing\.edf"):
        read_recording(tmp_path / "nothing.edf")


@pytest.mark.parametrize("name", ["night.xyz", "night.edf", "night_raw.fif"])
def test_a_file_that_mne_cannot_read_is_named(tmp_path, name):
    """The error names the file and says what MNE found."""
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


def test_edf_channel_is_read_at_its_own_rate(edf):
    """No other channel's rate gets into the signal, be it higher or lower."""
    fname, eeg = edf
    recording = read_recording(fname)
    assert recording.ch_name == "EEG C4-A1"
    expected = read_recording(make_raw(eeg, 128.0)).signals
    assert_allclose(recording.signals, expected, atol=0.05)


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
    content = bytearray(fname.read_bytes())
    content[236:244] = str(n_records).encode().ljust(8)
    n_header = int(content[184:192])
    fname.write_bytes(content[: n_header + int(cut * (len(content) - n_header))])
    with pytest.warns(RuntimeWarning, match=match) as found:
        recording = read_recording(fname)
    assert recording.n_epochs == (1 if cut < 1 else 2)
    assert len(found) == 1
    raw = mne.io.read_raw(fname, verbose="ERROR")
    with pytest.warns(RuntimeWarning, match=match):
        read_recording(raw, "EEG C4-A1")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "The file is empty"),
        (b"0" * 100, "no valid EDF header"),
        (None, "a header but no data"),
    ],
)
def test_an_edf_file_without_content_is_one_sentence(content, match, edf):
    """Also one that was cut within or after its header."""
    if content is None:
        content = edf[0].read_bytes()
        content = content[: int(content[184:192])]
    edf[0].write_bytes(content)
    with pytest.raises(ValueError, match=rf"Cannot read .*night.edf.*: .*{match}"):
        read_recording(edf[0])


def read_quietly(recording):
    """Return what reading a recording warns of."""
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
    content = bytearray(edf[0].read_bytes())
    content[88:168] = b"polysomnography".ljust(80)
    content[168:184] = f"{date:8}{time:8}".encode()
    edf[0].write_bytes(content)
    raw = edf[0] if is_path else mne.io.read_raw(edf[0], verbose="ERROR")
    found = read_recording(raw).start
    assert found == (start and datetime(*start, tzinfo=UTC))


def test_a_start_that_was_set_in_memory_counts(edf):
    """Only what MNE made of an odd header is corrected."""
    content = bytearray(edf[0].read_bytes())
    content[176:184] = b"22:10:00"
    edf[0].write_bytes(content)
    raw = mne.io.read_raw(edf[0], verbose="ERROR").set_meas_date(MEAS_DATE)
    assert read_recording(raw).start == MEAS_DATE


@pytest.mark.parametrize("text", ["\xc9veil", "Atemst\xf6rung", "Pause \x85 caf\xe9"])
def test_annotations_in_another_encoding_do_no_harm(text, edf):
    """Latin-1 and cp1252, as old devices write; other annotations still count."""
    content = edf[0].read_bytes()
    assert b"BAD@@ECG" in content
    text = text.encode("latin1")[:8].ljust(8, b"_")
    edf[0].write_bytes(content.replace(b"BAD@@ECG", text))
    assert_array_equal(read_recording(edf[0]).reasons, ["", "bad annotation"])


def test_edf_annotations_of_other_channels_do_no_harm(edf):
    """BAD of the ECG is not BAD of the EEG."""
    assert_array_equal(read_recording(edf[0]).reasons, ["", "bad annotation"])


def test_an_edf_without_signals_is_refused(tmp_path):
    """A file of annotations alone, as Sleep-EDF's hypnograms are, has no channel."""
    edfio = pytest.importorskip("edfio")
    fname = tmp_path / "hypnogram.edf"
    annotations = [edfio.EdfAnnotation(0, 30, "Sleep stage W")]
    edfio.Edf([], annotations=annotations).write(fname)
    with pytest.raises(ValueError, match=r"annotations but no signals.*its hypnogram"):
        read_recording(fname)


@pytest.mark.parametrize("name", ["night.tsv", "hypnogram.txt", "night-profusion.xml"])
def test_a_hypnogram_among_recordings_is_told(name, tmp_path):
    """By its suffix, where MNE can make nothing of it."""
    (tmp_path / name).write_text("onset\tduration\ttrial_type\n0\t30\tN2\n")
    with pytest.raises(ValueError, match=rf"{name}.*If it is a hypnogram, pass"):
        read_recording(tmp_path / name)


@pytest.mark.skipif(not NOXTURNAL.exists(), reason=f"{NOXTURNAL} is missing")
@pytest.mark.parametrize("picks", [None, "C4-M1", ["Cz", "C4-M1"]])
def test_a_home_recorders_file(picks):
    """Two minutes of a device's own EDF become four usable epochs of plausible EEG."""
    recording = read_recording(NOXTURNAL, picks)
    assert recording.ch_name == "C4-M1"
    assert recording.usable.tolist() == [True] * 4
    assert 5 < np.median(recording.signals.std(axis=1)) < 100


@pytest.mark.parametrize("time", [b"25.61.00", b"24.00.00", b"10.00.99"])
def test_a_start_that_does_not_exist_is_told(time, edf):
    """MNE refuses such a file; the message says where the fault is."""
    fname = edf[0]
    content = bytearray(fname.read_bytes())
    content[176:184] = time
    fname.write_bytes(content)
    with pytest.raises(ValueError, match="start time in its header does not exist"):
        read_recording(fname)
