"""Many nights at once: by processes, by threads, on a cluster."""

from contextlib import contextmanager

import pytest
from distributed import Client, LocalCluster
from joblib import parallel_config
from pandas.testing import assert_frame_equal


@pytest.fixture(scope="module")
def recordings(two_nights, tmp_path_factory):
    """Return one recording in memory, and one in a file."""
    (first, _), (second, _) = two_nights
    fname = tmp_path_factory.mktemp("nights") / "second_raw.fif"
    second.save(fname, verbose="ERROR")
    return [first, fname]


@contextmanager
def local_cluster():
    """Let joblib work on Dask's local cluster."""
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster),
        parallel_config(backend="dask"),
    ):
        yield


def assert_same(found, expected):
    """Check that hypnograms are the same to the last digit."""
    for one, other in zip(found, expected, strict=True):
        assert one.start == other.start
        assert_frame_equal(one.proba, other.proba, check_exact=True)


def test_processes_give_the_same_hypnograms(hasty, recordings):
    """In the order of the recordings, whether in memory or in a file."""
    assert_same(hasty.predict(recordings, n_jobs=2), hasty.predict(recordings))


def test_a_cluster_gives_the_same_hypnograms(hasty, recordings):
    """By one line around the call, without n_jobs."""
    expected = hasty.predict(recordings)
    with local_cluster():
        found = hasty.predict(recordings)
    assert_same(found, expected)


def test_threads_give_the_same_probabilities(hasty, recordings):
    """What `predict_proba` is told of jobs goes to `predict`."""
    expected = hasty.predict_proba(recordings)
    with parallel_config(backend="threading"):
        found = hasty.predict_proba(recordings, n_jobs=2)
    for one, other in zip(found, expected, strict=True):
        assert_frame_equal(one, other, check_exact=True)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_recording_that_fails_is_named(hasty, recordings, tmp_path, n_jobs):
    """In another process too."""
    missing = tmp_path / "nowhere.edf"
    match = r"Recording 2 of 2 \(.*nowhere.edf\): There is no recording"
    with pytest.raises(FileNotFoundError, match=match):
        hasty.predict([recordings[1], missing], n_jobs=n_jobs)
