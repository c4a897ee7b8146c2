"""Many nights at once: by processes, by threads, on a cluster."""

import copy
import threading
import warnings
from contextlib import contextmanager, nullcontext
from functools import partial
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from distributed import Client, LocalCluster
from joblib import parallel_config
from mne.utils import logger
from pandas.testing import assert_frame_equal

from mne_mc2sleep.data.reading import run_on_recordings


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


# As with many recordings.
processes = partial(patch, "mne_mc2sleep.data.reading._MIN_FOR_PROCESSES", 0)


@pytest.mark.parametrize(
    ("n_jobs", "backend"),
    [(2, nullcontext), (2, processes), (None, local_cluster)],
    ids=["threads", "processes", "cluster"],
)
def test_jobs_give_the_same_hypnograms(n_jobs, backend, tiny_clf, recordings):
    """In the same order; the verbosity of MNE stays the same."""
    level, expected = logger.level, tiny_clf.predict(recordings)
    with backend():
        found = tiny_clf.predict(recordings, n_jobs=n_jobs)
    assert_same(found, expected)
    assert logger.level == level


def test_only_processes_need_a_function_that_can_be_pickled():
    """A callback may hold a lock or a file."""
    lock = threading.Lock()
    with processes():
        found = run_on_recordings(lambda number: (number, lock.locked()), [1, 2])
        assert list(found) == [(1, False), (2, False)]


def test_relative_paths_are_those_of_the_caller(tiny_clf, recordings, monkeypatch):
    """Processes that were started in another folder find them too."""
    fname = recordings[1]
    with processes():
        tiny_clf.predict([fname] * 2, n_jobs=2)
        monkeypatch.chdir(fname.parent)
        found = tiny_clf.predict([fname.name] * 2, n_jobs=2)
    assert_same(found, tiny_clf.predict([fname] * 2))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_recording_that_fails_is_named(tiny_clf, recordings, tmp_path, n_jobs):
    missing = tmp_path / "nowhere.edf"
    match = r"Recording 2 of 2 \(.*nowhere.edf\): There is no recording"
    with pytest.raises(FileNotFoundError, match=match):
        tiny_clf.predict([recordings[1], missing], n_jobs=n_jobs)


@pytest.mark.parametrize(
    ("n_jobs", "backend"),
    [(1, nullcontext), (2, nullcontext), (2, processes)],
    ids=["one job", "threads", "processes"],
)
def test_warnings_name_the_recording_and_point_to_the_user(
    n_jobs, backend, tiny_clf, recordings
):
    """Whatever does the work, the caller gets the warnings of all recordings."""
    odd = [recordings[0].copy().resample(sfreq) for sfreq in (50, 60)]
    with backend(), pytest.warns(RuntimeWarning, match="sampled at") as found:
        tiny_clf.predict([recordings[0], *odd], n_jobs=n_jobs)
    found = [w for w in found if "sampled at" in str(w.message)]
    assert [str(w.message).split(" Hz")[0] for w in found] == [
        f"Recording {number} of 3: The recording is sampled at {sfreq}"
        for number, sfreq in ((2, 50), (3, 60))
    ]
    assert {w.filename for w in found} == {__file__}


@pytest.mark.parametrize("method", ["score", "finetune"])
def test_warnings_outside_of_jobs_name_the_recording_too(method, tiny_clf, recordings):
    """A single recording needs no name."""
    odd, stages = recordings[0].copy().resample(50), [0, 1, 2, 3, 4] * 8
    run = getattr(copy.deepcopy(tiny_clf), method)
    with pytest.warns(RuntimeWarning, match="Recording 2 of 2: .* 50 Hz") as found:
        run([recordings[0], odd], [stages] * 2)
    with pytest.warns(RuntimeWarning, match="^The recording is sampled") as alone:
        run(odd, stages)
    found = [w for w in [*found, *alone] if "50 Hz" in str(w.message)]
    assert {w.filename for w in found} == {__file__}


def test_a_warning_before_an_error_is_not_lost(recordings):
    def warn_and_fail(recording):
        warnings.warn("odd", UserWarning, stacklevel=1)
        raise ValueError("no EEG")

    match = r"Recording 1 of 2: no EEG"
    with (
        pytest.warns(UserWarning, match="Recording 1 of 2: odd"),
        pytest.raises(ValueError, match=match),
    ):
        list(run_on_recordings(warn_and_fail, recordings))


@pytest.mark.parametrize("as_list", [tuple, np.array, pd.Series, pd.Index])
def test_paths_come_in_any_list(as_list, tiny_clf, recordings):
    paths = [str(recordings[1])] * 2
    assert_same(tiny_clf.predict(as_list(paths)), tiny_clf.predict(paths))
