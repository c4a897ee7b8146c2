"""Tests on real data that lie beside the project; they skip where there are none.

The nights are of the Sleep-EDF Database Expanded 1.0.0 (Kemp et al. 2000, Goldberger et
al. 2000): experts' hypnograms, and signals resynthesised from the band powers of the
same epochs. They are in-distribution for a stager that was trained on such signals.
"""

from datetime import timedelta
from pathlib import Path

import mne
import numpy as np
import pytest
from band_power_nights import read_power_nights
from synthesis import resynthesize

from mne_mc2sleep import MC2SleepClassifier, read_hypnogram, simulate_night
from mne_mc2sleep.io.hypnograms import stages_on_grid
from mne_mc2sleep.simulation import make_raw

DATA = Path(__file__).parents[2] / "shared" / "data"
SLEEP_EDF = DATA / "sleep_edf"
CHANNEL = "EEG Fpz-Cz"
TEST_SUBJECTS = ("SC400", "SC401", "SC402", "SC403")
N_TRAIN_SUBJECTS, N_TRAIN_EPOCHS = 12, 400

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"there is no {DATA}")


def make_recording(night, seed, n_epochs=None):
    """Return the first epochs of a night as a recording, and its experts' stages."""
    powers = night.log_band_power[:n_epochs, :1], night.log_variance[:n_epochs, :1]
    # A dozen nights are too few to learn what the texture's random draws hide.
    signal = resynthesize(
        *(power.astype(float) for power in powers), texture=0, random_state=seed
    )
    return make_raw(signal, [CHANNEL]), night.stages[:n_epochs]


def write_night(night, seed, folder):
    """Write a night as EDF that starts when it did; return its path and hypnogram's.

    None if the data lack some of its epochs, so that their times are not known.
    """
    hypnogram = next((SLEEP_EDF / "hypnograms").glob(night.name[:6] + "*"))
    hypno = read_hypnogram(hypnogram)
    day = stages_on_grid(hypno.as_int().to_numpy(), len(hypno))
    raw, stages = make_recording(night, seed)
    # The data are trimmed to 30 min of wake before the first sleep.
    offset = np.flatnonzero(day > 0)[0] - 60
    if not np.array_equal(day[offset : offset + stages.size], stages):
        return None
    raw.set_meas_date(hypno.start + timedelta(seconds=30 * int(offset)))
    fname = folder / f"{night.name}.edf"
    raw.export(fname, verbose="error")
    return fname, hypnogram


@pytest.mark.slow
def test_stages_people_it_has_not_seen(tmp_path):
    """Trained on 12 subjects, `small` has kappa 0.55 or more on 4 others' EDFs."""
    nights = read_power_nights(SLEEP_EDF / "band_power_nights.npz")
    first = {night.subject: i for i, night in reversed([*enumerate(nights)])}
    known = [i for s, i in sorted(first.items()) if s not in TEST_SUBJECTS]
    train = [
        make_recording(nights[i], i, N_TRAIN_EPOCHS) for i in known[:N_TRAIN_SUBJECTS]
    ]
    raws, stages = zip(*train, strict=True)
    clf = MC2SleepClassifier(
        CHANNEL, pretrain_train_epochs=5, finetune_train_epochs=10, random_state=0
    )
    clf.fit(list(raws), list(stages))
    unseen = [i for i, night in enumerate(nights) if night.subject in TEST_SUBJECTS]
    files = [*filter(None, (write_night(nights[i], i, tmp_path) for i in unseen))]
    assert {fname.name[:5] for fname, _ in files} == set(TEST_SUBJECTS)
    fnames, hypnograms = map(list, zip(*files, strict=True))
    kappa = clf.score(fnames, hypnograms, verbose="info")
    assert kappa >= 0.55


def test_stages_a_device_s_recording():
    """Two minutes of a home polysomnograph are staged by C4-M1, end to end."""
    raw, hypno = simulate_night(2400, ch_names=["C4-M1"], random_state=3)
    clf = MC2SleepClassifier(
        pretrain_train_epochs=1, finetune_train_epochs=1, random_state=0
    ).fit(raw, hypno)
    fname = DATA / "device_edf" / "noxturnal_2min.edf"
    staged = clf.predict(fname, picks="C4-M1")
    assert len(staged) == 4
    assert not staged.hypno.isin(["UNS", "ART"]).any()
    header = mne.io.read_raw_edf(fname, verbose="error")
    assert staged.start == header.info["meas_date"]
