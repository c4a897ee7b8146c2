"""The grid never moves: epoch i begins 30 i seconds after the first sample."""

from fractions import Fraction

import edfio
import mne
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from signals import make_noise, make_raw, make_wavelet

from mne_mc2sleep.data.reading import read_stages
from mne_mc2sleep.io.recordings import _epoch_edges, read_recording

pytestmark = [
    pytest.mark.filterwarnings("ignore:The recording is sampled"),
    # What MNE says of annotations that reach beyond a file.
    pytest.mark.filterwarnings("ignore:(Omitted|Limited) .* annotation"),
]

RATES = st.one_of(
    st.integers(50, 1024).map(float),
    st.integers(5000, 102_400).map(lambda rate: rate / 100),
    st.floats(50, 1024),
)
FRACTIONS = st.floats(0, 1)
SECONDS = st.floats(2, 28)  # of the burst in its epoch
ANNOTATIONS = st.lists(
    st.tuples(
        st.floats(-1000, 1000) | st.integers(-4, 8).map(lambda i: 15.0 * i),
        st.floats(0, 100) | st.sampled_from([0.0, 15.1, 1e9, 1e300, np.inf]),
        st.sampled_from(["BAD_move", "bad", "Bad boundary", "arousal", "not BAD"]),
    ),
    max_size=4,
)
GAPS = st.lists(
    st.tuples(
        FRACTIONS,
        st.integers(1, 5) | st.integers(1, 40_000),
        st.sampled_from([np.nan, np.inf, -np.inf, 1e30]),
    ),
    max_size=3,
)


@st.composite
def lengths(draw, sfreq):
    """Draw samples of one to four epochs, often right at the border of one."""
    n_epochs = draw(st.integers(1, 4))
    exact = Fraction(sfreq) * 30 * n_epochs
    offset = st.sampled_from([-1, 0, 1]) | st.integers(0, int(30 * sfreq))
    return max(-int(-exact // 1) + draw(offset), -int(-Fraction(sfreq) * 30 // 1))


def floor_epochs(n_times, sfreq):
    """Return floor(duration / 30), in exact arithmetic.

    A fractional rate may have been rounded up to single precision.
    """
    slack = Fraction(0 if sfreq.is_integer() else 1e-7)
    return int(n_times / Fraction(sfreq) / 30 * (1 + slack))


def bad_seconds(annotations, n_epochs):
    """Return how long each epoch is under BAD annotations, overlaps counted once."""
    seconds = np.zeros(n_epochs)
    spans = sorted(
        (onset, onset + duration)
        for onset, duration, text in annotations
        if text.upper().startswith("BAD")
    )
    for epoch in range(n_epochs):
        reached = 30.0 * epoch
        for start, stop in spans:
            stop = min(stop, 30.0 * (epoch + 1))
            seconds[epoch] += max(0.0, stop - max(start, reached))
            reached = max(reached, stop)
    return seconds


def epochs_of(samples, sfreq):
    """Return which epochs hold samples, and which may do by rounding of a border."""
    certain, possible = (
        {int(epoch) for epoch in (samples + half) // (30 * sfreq)}
        for half in (0.49, 0.51)
    )
    return certain & possible, certain | possible


@st.composite
def recordings(draw):
    """Draw a recording with a burst, and what surrounds it."""
    sfreq = draw(RATES)
    n_times = draw(lengths(sfreq))
    n_epochs = floor_epochs(n_times, sfreq)
    epoch, second = draw(st.integers(0, n_epochs - 1)), draw(SECONDS)
    times = np.arange(n_times) / sfreq
    burst = 30 * epoch + second
    signal = make_noise(n_times) + make_wavelet(times, burst, duration=0.05)
    missing = np.zeros(n_times, bool)
    for where, n_samples, value in draw(GAPS):
        gap = slice(int(where * n_times), int(where * n_times) + n_samples)
        kept = np.abs(times[gap] - burst) > 1.5
        signal[gap] = np.where(kept, value, signal[gap])
        missing[gap] |= kept
    raw = make_raw(signal, sfreq, draw(st.integers(0, 1_000_000)))
    if draw(st.booleans()):
        raw.set_meas_date(None)
    annotations = draw(ANNOTATIONS)
    for onset, duration, text in annotations:
        # Unlike set_annotations, this crops nothing.
        raw.annotations.append(onset + raw.first_time, duration, text)
    return raw, n_epochs, (epoch, second), annotations, np.flatnonzero(missing)


@given(recordings())
@settings(max_examples=100, deadline=None)
def test_a_burst_is_in_its_epoch_whatever_surrounds_it(drawn):
    """No rate, length, first sample, annotation or gap moves or drops an epoch."""
    raw, n_epochs, (epoch, second), annotations, missing = drawn
    sfreq = raw.info["sfreq"]
    seconds = bad_seconds(annotations, n_epochs)
    certain, possible = epochs_of(missing, sfreq)
    reasons = [
        {"not finite"} if i in certain else
        {"bad annotation"} if seconds[i] > 15 else {""}
        for i in range(n_epochs)
    ]  # fmt: skip
    for i in range(n_epochs):
        # What the rounding to whole samples decides may go either way.
        if abs(seconds[i] - 15) < 4 / sfreq:
            reasons[i] |= {"", "bad annotation"} - ({""} if i in certain else set())
        if i in possible - certain:
            reasons[i].add("not finite")
    if not any("" in allowed for allowed in reasons):
        with pytest.raises(ValueError, match="cannot be staged"):
            read_recording(raw)
        return
    assume({""} in reasons)
    recording = read_recording(raw)
    assert recording.signals.shape == (n_epochs, 3000)
    assert np.isfinite(recording.signals).all()
    for found, allowed in zip(recording.reasons, reasons, strict=True):
        assert found in allowed
    assert abs(recording.signals[epoch].argmax() - 100 * second) <= 1.5


@given(
    RATES,
    st.integers(1, 30_000),
    st.sampled_from([-2, -1, 0, 1, 2]) | st.integers(-2000, 2000),
)
@example(512.0, 960, -1)
@example(1024.0, 2880, -9)
@settings(max_examples=200, deadline=None)
def test_epochs_of_nights_and_weeks_are_floor_of_duration_by_30(sfreq, k, offset):
    """One sample short of k epochs is k - 1, however long the recording."""
    n_times = max(round(30 * k * sfreq) + offset, -int(-30 * Fraction(sfreq) // 1))
    edges = _epoch_edges(n_times, sfreq)
    n_epochs = len(edges) - 1
    assert n_epochs == floor_epochs(n_times, sfreq)
    starts = 30 * sfreq * np.arange(n_epochs)
    assert np.abs(edges[:-1] - starts).max() <= 0.5 + 1e-6
    assert edges[-1] <= n_times


def make_signal(kind, signal, sfreq, label):
    """Return a channel of an EDF or BDF file; the signal is in µV."""
    unit = {"physical_dimension": "uV", "label": label}
    if kind == "int":
        digital = np.rint(signal).clip(-3000, 3000).astype(np.int16)
        limits = (-3000, 3000)
        return edfio.EdfSignal.from_digital(
            digital, sfreq, physical_range=limits, digital_range=limits, **unit
        )
    signal_class = edfio.BdfSignal if kind == "bdf" else edfio.EdfSignal
    return signal_class(signal, sfreq, **unit)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder for files that may overwrite each other."""
    return tmp_path_factory.mktemp("edf")


@given(
    kind=st.sampled_from(["int", "float", "bdf"]),
    record=st.sampled_from([0.5, 0.75, 1, 1.28, 2, 10]),
    rate=st.floats(50, 1024),
    duration=st.floats(30, 100),
    where=st.tuples(FRACTIONS, SECONDS),
    others=st.lists(st.sampled_from([1, 2, 3]), max_size=2),
    position=st.integers(0, 2),
)
@settings(max_examples=50, deadline=None)
def test_a_burst_in_a_file_is_in_its_epoch(
    kind, record, rate, duration, where, others, position, folder
):
    """EDF of integers or floats and BDF; rates of n samples per record, any order."""
    n_samples = -int(-rate * record // 1)
    sfreq = n_samples / record
    n_records = -int(-duration // record)
    times = np.arange(n_records * n_samples) / sfreq
    n_epochs = floor_epochs(times.size, sfreq)
    epoch, second = int(where[0] * (n_epochs - 1)), where[1]
    burst = 30 * epoch + second
    signal = make_noise(times.size) + make_wavelet(times, burst, duration=0.05)
    signals = [
        make_signal(kind, make_noise(times.size * k, 500.0), sfreq * k, f"ECG {i}")
        for i, k in enumerate(others)
    ]
    signals.insert(position, make_signal(kind, signal, sfreq, "EEG C4-M1"))
    file = (edfio.Bdf if kind == "bdf" else edfio.Edf)(
        signals, data_record_duration=record
    )
    fname = folder / ("night.bdf" if kind == "bdf" else "night.edf")
    file.write(fname)
    recording = read_recording(fname)
    assert recording.ch_name == "EEG C4-M1"
    assert recording.n_epochs == n_epochs
    assert recording.usable.all()
    assert abs(recording.signals[epoch].argmax() - 100 * second) <= 1.5


@given(
    sfreq=RATES,
    first_samp=st.integers(0, 1_000_000),
    is_dated=st.booleans(),
    stages=st.lists(st.sampled_from("W123R"), min_size=5, max_size=8),
    before=st.floats(0, 14),
)
@settings(max_examples=30, deadline=None)
def test_own_stages_are_on_the_grid_of_the_signal(
    sfreq, first_samp, is_dated, stages, before
):
    """Each epoch gets the stage that the recording's annotations give its time."""
    n_epochs = 4
    raw = make_raw(make_noise(-int(-120 * Fraction(sfreq) // 1)), sfreq, first_samp)
    if not is_dated:
        raw.set_meas_date(None)
    # The scorer's epochs begin up to 14 s before or after the recording's.
    for shift in (-before, before):
        raw.set_annotations(mne.Annotations([], [], []))
        for i, stage in enumerate(stages):
            onset = 30 * i + shift + raw.first_time
            raw.annotations.append(onset, 30, f"Sleep stage {stage}")
        found = read_stages(read_recording(raw), None)
        assert_array_equal(found, ["W123R".index(s) for s in stages[:n_epochs]])
