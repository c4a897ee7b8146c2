"""The file of band powers, made from Sleep-EDF as a local server has it."""

import numpy as np
import pytest
import rehearsal

from mne_mc2sleep.datasets import read_night, sleep_edf


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("powers")


@pytest.fixture(scope="module")
def powers(folder):
    """Make the file from two nights, and read it as the training does."""
    import band_power_nights
    import make_band_powers

    with rehearsal.physionet(folder, (13, 36)):
        data = folder / "fetched"
        data.mkdir()
        arguments = [folder / "powers.npz", "--data", data, "--subjects", 13, 36]
        make_band_powers.main([*map(str, arguments)])
    return band_power_nights.read_power_nights(folder / "powers.npz")


def test_nights_and_stages_are_those_of_the_recordings(folder, powers):
    """Subject 36 has one night; wake is trimmed."""
    with rehearsal.physionet(folder, (13, 36)):
        records = sleep_edf.fetch_nights((13, 36), folder / "fetched").records
    assert [night.name for night in powers] == [r.name[:8] for r in records]
    for night, record in zip(powers, records, strict=True):
        np.testing.assert_array_equal(night.stages, read_night(record).stages)


def test_powers_are_densities_of_the_signal(powers):
    """In N3, delta power is much of the variance, and more than in wake."""
    night = powers[0]
    delta = night.log_band_power[:, 0, 0].astype(float)
    assert np.median(delta[night.stages == 3]) > np.median(delta[night.stages == 0]) + 1
    # A density times the width of its band is at most the whole variance.
    widths = np.log([3.5, 4, 5, 17, 20])
    total = np.exp(night.log_band_power[:, 0].astype(float) + widths).sum(axis=1)
    ratio = total / np.exp(night.log_variance[:, 0].astype(float))
    assert 0.5 < np.median(ratio) < 1.1
