"""Which epochs of a recording hold no EEG."""

import mne
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from signals import make_noise, make_raw

from mne_mc2sleep.io.recordings import read_recording


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e12, -1e12])
@pytest.mark.parametrize("span", [slice(7000, 7001), slice(5900, 6700), slice(200)])
def test_missing_samples_make_only_their_epochs_unusable(value, span):
    """NaN, Inf and absurd values are named; other epochs come out as without them."""
    clean = make_noise(18_000)
    holed = clean.copy()
    holed[span] = value
    recording = read_recording(make_raw(holed))
    touched = np.unique(np.arange(18_000)[span] // 3000)
    assert_array_equal(np.flatnonzero(~recording.usable), touched)
    assert set(recording.reasons[touched]) == {"not finite"}
    assert np.isfinite(recording.signals).all()
    expected = read_recording(make_raw(clean)).signals
    difference = np.abs(recording.signals - expected)
    # At the edge the filter feels that the noise within the gap is gone.
    assert difference[recording.usable].max() < 60
    assert difference.ravel()[_away_from(span, 18_000)].max() < 0.05


def _away_from(span, n_times):
    """Return which samples are at least ten seconds away from the span."""
    samples = np.arange(n_times)
    touched = samples[span]
    return (samples < touched[0] - 1000) | (samples > touched[-1] + 1000)


def test_flat_epochs_are_unusable_and_do_not_disturb_others():
    """Five minutes at a rail far away are flat; the rest comes out as without them."""
    clean = make_noise(60_000) + 1e4  # an electrode's offset
    flat = clean.copy()
    flat[15_000:45_000] = 3e5
    recording = read_recording(make_raw(flat))
    assert_array_equal(recording.reasons, [""] * 5 + ["flat"] * 10 + [""] * 5)
    expected = read_recording(make_raw(clean)).signals
    difference = np.abs(recording.signals - expected)
    assert difference[recording.usable].max() < 60
    away = _away_from(slice(15_000, 45_000), 60_000)
    assert difference.ravel()[away].max() < 0.05


@pytest.mark.parametrize(("seconds", "reason"), [(14, ""), (16, "flat")])
def test_an_epoch_is_flat_if_more_than_half_of_it_is_constant(seconds, reason):
    signal = make_noise(9000)
    signal[4000 : 4000 + seconds * 100] = 5
    assert read_recording(make_raw(signal)).reasons[1] == reason


def test_an_epoch_of_hardly_any_amplitude_is_flat():
    signal = make_noise(18_000)
    signal[6000:12_000] *= 0.002
    reasons = read_recording(make_raw(signal)).reasons
    assert_array_equal(reasons, ["", "", "flat", "flat", "", ""])


def test_clipped_epochs_are_unusable():
    signal = make_noise(12_000)
    wave = 1000 * np.sin(2 * np.pi * np.arange(3000) / 100)
    signal[3000:6000] = wave
    reasons = read_recording(make_raw(signal.clip(-500, 500))).reasons
    assert_array_equal(reasons, ["", "clipped", "", ""])


@pytest.mark.parametrize(
    ("signal", "match"),
    [
        (np.where(np.arange(6000) % 7, make_noise(6000), 100), "cut off at 100 µV by"),
        (np.repeat(make_noise(120), 75), "stored in steps of"),
        (16 * np.round(make_noise(9000).cumsum() / 160), "stored in steps of 16 µV"),
    ],
)
def test_a_recorder_that_cuts_off_or_rounds_warns(signal, match):
    """No run is as long as in clipped and flat epochs."""
    with pytest.warns(RuntimeWarning, match=match):
        assert read_recording(make_raw(signal)).usable.all()


@pytest.mark.parametrize("description", ["BAD_move", "bad", "Bad artefact"])
@pytest.mark.parametrize("first_samp", [0, 777])
def test_epochs_mostly_annotated_as_bad_stay_on_the_grid(description, first_samp):
    """More than half under BAD annotations is unusable; nothing is cut out."""
    raw = make_raw(make_noise(15_000), first_samp=first_samp)
    clean = read_recording(raw)
    # Two overlapping spans that cover 16 s of epoch 1, then 14 s of epoch 3.
    onsets, durations = [32, 40, 90], [10, 8, 14]
    raw.set_annotations(mne.Annotations(onsets, durations, description))
    recording = read_recording(raw)
    assert_array_equal(recording.reasons, ["", "bad annotation", "", "", ""])
    assert_array_equal(recording.signals, clean.signals)


@pytest.mark.parametrize(
    ("description", "ch_names", "reason"),
    [
        ("BAD", (), "bad annotation"),
        ("BAD", ("C4-M1",), "bad annotation"),
        ("BAD", ("ECG",), ""),
        ("Sleep stage W", (), ""),
        ("EDGE boundary", (), ""),
    ],
)
def test_only_bad_annotations_of_the_channel_count(description, ch_names, reason):
    raw = make_raw(make_noise(9000))
    raw.add_channels([make_raw(make_noise(9000), ch_name="ECG")])
    annotations = mne.Annotations(30, 30, description, ch_names=[ch_names])
    raw.set_annotations(annotations)
    assert read_recording(raw).reasons[1] == reason
