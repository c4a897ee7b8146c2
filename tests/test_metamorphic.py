"""What must not change the stages, on a tiny stager that stages well."""

import mne
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from signals import make_raw
from stagers import TINY_SIZES

from mne_mc2sleep import MC2SleepClassifier

CONTEXT = TINY_SIZES["sequence_length"]
N_EPOCHS = 300
# Neighbouring windows begin a quarter of a sequence apart.
STRIDE = CONTEXT // 4
# These signals hold nothing above 16 Hz.
pytestmark = pytest.mark.filterwarnings("ignore:.* was low-pass filtered")


@pytest.fixture(scope="module")
def clf(trained):
    """Return the stager as a classifier; it must not be modified."""
    clf = MC2SleepClassifier("C4-M1", sequence_length=CONTEXT, device="cpu")
    clf.stager_ = trained
    return clf


@pytest.fixture(scope="module")
def night(make_night):
    return make_raw(make_night(20, n_epochs=N_EPOCHS).signals.numpy().ravel())


@pytest.fixture(scope="module")
def proba(clf, night):
    return clf.predict_proba(night).to_numpy()


def test_the_stager_stages(clf, night, make_night):
    """What follows says something only of a stager that tells stages apart."""
    assert clf.score(night, make_night(20, n_epochs=N_EPOCHS).stages) > 0.7


@pytest.mark.parametrize("k", [1, 3, 101, STRIDE, 8 * STRIDE, 75 * STRIDE])
def test_a_shift_by_whole_epochs_shifts_the_hypnogram(clf, night, proba, k):
    """Beyond the context of the cut, the same windows give the same probabilities.

    Other windows hold the same epochs: nearly all stages stay.
    """
    shifted = clf.predict_proba(night.copy().crop(30 * k)).to_numpy()
    assert len(shifted) == N_EPOCHS - k
    shifted, expected = shifted[CONTEXT:], proba[k + CONTEXT :]
    assert (shifted.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.97
    if k % STRIDE == 0:
        assert_allclose(shifted, expected, atol=1e-4)


def test_a_second_night_does_not_change_the_first(clf, night, proba, make_night):
    """Beyond the context of the seam, the first night is staged as alone."""
    second = make_raw(make_night(21, n_epochs=100).signals.numpy().ravel())
    both = mne.concatenate_raws([night.copy(), second])
    # There is no pause between them.
    both.set_annotations(None)
    found = clf.predict_proba(both).to_numpy()
    assert len(found) == N_EPOCHS + 100
    assert_allclose(found[: N_EPOCHS - CONTEXT], proba[:-CONTEXT], atol=1e-4)


def test_dates_and_other_annotations_do_not_matter(clf, night, proba):
    other = make_raw(1e6 * night.get_data()[0], first_samp=12_345)
    other.set_meas_date(None)
    other.set_annotations(mne.Annotations([5, 900], [100, 0], ["arousal", "N2"]))
    assert_array_equal(clf.predict_proba(other), proba)


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.apply_function(lambda x: -x),
        lambda raw: raw.apply_function(lambda x: x + 1e-3),
        lambda raw: raw.resample(256),
    ],
    ids=["polarity", "offset", "256 Hz"],
)
def test_few_stages_depend_on_the_amplifier(clf, night, proba, change):
    """Polarity, an electrode's offset and the rate change few stages."""
    changed = clf.predict_proba(change(night.copy())).to_numpy()
    assert (changed.argmax(axis=1) == proba.argmax(axis=1)).mean() > 0.9


def test_staging_twice_gives_the_same_bits(clf, night, proba):
    clf.predict(night.copy().crop(0, 600))
    assert_array_equal(clf.predict_proba(night), proba)
