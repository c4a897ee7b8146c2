"""The picture of a whole night."""

from datetime import UTC, datetime

import mne
import numpy as np
import pandas as pd
import pytest
from signals import make_noise, make_raw

from mne_mc2sleep.io.hypnograms import make_hypnogram
from mne_mc2sleep.viz import plot_night


@pytest.fixture
def raw():
    """Return ten epochs of noise with 10 Hz in the sixth."""
    signal = make_noise(30_000, amplitude=5.0)
    signal[15_000:18_000] += 60 * np.sin(2 * np.pi * np.arange(3000) / 10)
    signal[9000:12_000] = np.nan
    return make_raw(signal)


def find_peak(ax):
    """Return the epoch and the frequency of the highest power in a spectrogram."""
    mesh = ax.collections[0]
    power = mesh.get_array()
    frequency, epoch = np.unravel_index(power.argmax(), power.shape)
    return epoch, mesh.get_coordinates()[frequency : frequency + 2, 0, 1].mean()


def test_spindles_stand_out_of_the_spectrogram(hypno):
    """A burst of 13 Hz of 2 s in noise of 1/f, as in a real epoch."""
    rng = np.random.default_rng(0)
    frequencies = np.fft.rfftfreq(30_000, 0.01)
    spectrum = rng.standard_normal((2, frequencies.size)).T @ [1, 1j]
    signal = np.fft.irfft(spectrum / np.maximum(frequencies, 0.3))
    signal *= 30 / signal.std()
    burst = np.hanning(200) * 30 * np.sin(2 * np.pi * 13 * np.arange(200) / 100)
    signal[22_000:22_200] += burst
    spectrogram = plot_night(make_raw(signal), hypno, show=False).axes[2]
    assert find_peak(spectrogram) == pytest.approx((7, 13), abs=0.5)


def test_rows_show_the_same_time_and_epochs_without_eeg_are_blank(raw, hypno):
    """Neither power nor confidence, and a grey bar in every row."""
    rows = plot_night(raw, hypno, show=False).axes[:4]
    assert len({ax.get_xlim() for ax in rows}) == 1
    assert [bool(ax.get_xlabel()) for ax in rows] == [False, False, False, True]
    assert rows[2].collections[0].get_array().mask[:, 3].all()
    assert find_peak(rows[2]) == pytest.approx((5, 10), abs=0.1)
    confidence = rows[3].patches[0].get_data()[0]
    assert np.isnan(confidence[3])
    np.testing.assert_allclose(np.delete(confidence, 3), 0.8)
    for ax in rows:
        (bar,) = ax.collections[-1].get_paths()
        onset = 86_400 * (bar.vertices[:, 0].min() - ax.get_xlim()[0])
        assert onset == pytest.approx(3 * 30, abs=1e-3)


def test_an_expert_is_drawn_above_with_the_disagreement(raw, hypno, stages):
    """Epochs that only one of them scored do not count."""
    stages[[3, 5, 6]] = [4, 2, 2]
    fig = plot_night(raw, hypno, stages, show=False)
    labels = [ax.get_ylabel() for ax in fig.axes[:3]]
    assert labels == ["Expert", "Stager", "Probability"]
    (legend,) = fig.axes[1].get_legend().get_texts()
    assert legend.get_text() == "disagree\n(22%)"


def test_epochs_to_review_lights_off_and_the_title_are_drawn(raw, hypno, tmp_path):
    raw.set_annotations(mne.Annotations([60], [0], ["Lights Off"]))
    raw.save(tmp_path / "night_raw.fif", verbose="ERROR")
    rows = plot_night(tmp_path / "night_raw.fif", hypno, review=0.3, show=False).axes
    assert rows[0].get_title() == f"night_raw.fif, {raw.ch_names[0]}, MC2SleepNet"
    (legend,) = rows[3].get_legend().get_texts()
    assert legend.get_text() == "review\n(3)"
    for ax in rows[:4]:
        onsets = [86_400 * (x.get_xdata()[0] - ax.get_xlim()[0]) for x in ax.lines]
        assert 60 in np.round(onsets, 3)
    assert "lights off" in [text.get_text() for text in rows[0].texts]
    rows = plot_night(raw, hypno, review=0, title="Anna", show=False).axes
    assert rows[0].get_title() == "Anna"
    assert rows[3].get_legend() is None


def test_a_finer_hypnodensity_is_drawn_at_the_centres_of_its_windows(raw, hypno, proba):
    onsets = np.arange(0, 271, 10.0)
    fine = pd.DataFrame(proba[:1].repeat(28, axis=0), onsets, hypno.proba.columns[:5])
    ax = plot_night(raw, hypno, proba=fine, show=False).axes[1]
    times = ax.collections[0].get_paths()[0].vertices[:, 0] - ax.get_xlim()[0]
    times = 86_400 * np.array([times.min(), times.max()])
    assert times == pytest.approx([10, 290], abs=1e-3)


def test_the_hypnogram_must_be_that_of_the_recording(raw, hypno, proba):
    of_another_day = make_hypnogram(proba, np.ones(10, bool), datetime(2001, 1, 1))
    dated = raw.copy().set_meas_date(datetime(2001, 1, 2, tzinfo=UTC))
    with pytest.raises(ValueError, match="have no epoch in common"):
        plot_night(dated, of_another_day, show=False)
    with pytest.raises(ValueError, match="has 10 epochs and the recording 9"):
        plot_night(raw.crop(0, 280), hypno, show=False)
