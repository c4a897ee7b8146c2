"""The picture of a whole night."""

import numpy as np
import pytest
from signals import make_noise, make_raw

from mne_mc2sleep.viz import plot_night


@pytest.fixture
def raw():
    """Return ten epochs of noise with 10 Hz in the sixth."""
    signal = make_noise(30_000, amplitude=5.0)
    signal[15_000:18_000] += 60 * np.sin(2 * np.pi * np.arange(3000) / 10)
    signal[9000:12_000] = np.nan
    return make_raw(signal)


def test_all_rows_have_one_time_axis(raw, hypno):
    """What is above each other happened at once."""
    rows = plot_night(raw, hypno, show=False).axes[:4]
    assert len({ax.get_xlim() for ax in rows}) == 1


def test_only_the_last_row_names_the_time(raw, hypno):
    """The others would repeat it."""
    rows = plot_night(raw, hypno, show=False).axes[:4]
    assert [bool(ax.get_xlabel()) for ax in rows] == [False, False, False, True]


def test_the_spectrogram_has_the_power_of_each_epoch(raw, hypno):
    """The burst of 10 Hz is in its epoch and at its frequency."""
    mesh = plot_night(raw, hypno, show=False).axes[2].collections[0]
    power = mesh.get_array()
    frequency, epoch = np.unravel_index(power.argmax(), power.shape)
    edges = mesh.get_coordinates()[:, 0, 1]
    assert epoch == 5
    assert edges[frequency] < 10 < edges[frequency + 1]


def test_epochs_without_eeg_are_blank(raw, hypno):
    """Neither power nor confidence."""
    rows = plot_night(raw, hypno, show=False).axes
    assert rows[2].collections[0].get_array().mask[:, 3].all()
    assert np.isnan(rows[3].patches[0].get_data()[0][3])


def test_the_confidence_is_the_highest_probability(raw, hypno):
    """One step for each epoch."""
    values, edges, _ = plot_night(raw, hypno, show=False).axes[3].patches[0].get_data()
    np.testing.assert_allclose(np.delete(values, 3), 0.8)
    assert len(edges) == 11


def test_the_hypnogram_must_be_that_of_the_recording(raw, hypno):
    """The message gives both counts."""
    with pytest.raises(ValueError, match="has 10 epochs and the recording 9"):
        plot_night(raw.crop(0, 280), hypno, show=False)
