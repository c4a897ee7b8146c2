"""Short scored nights on disk, and a stager that has hardly learnt anything."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from yasa import Hypnogram

from mne_mc2sleep import (
    MC2SleepClassifier,
    hypnogram_to_annotations,
    simulate_night,
    write_hypnogram,
)


class Night(NamedTuple):
    """The files of a recording and its hypnogram."""

    fname: str
    hypno_fname: str


def save_night(fname, n_epochs=12, seed=0):
    """Write a night, scored by all five stages in turn, also in its annotations."""
    fname = Path(fname)
    raw, _ = simulate_night(30.0 * n_epochs, random_state=seed)
    hypno = Hypnogram.from_integers(
        np.arange(n_epochs) % 5, start=raw.info["meas_date"], scorer="Expert"
    )
    raw.set_annotations(hypnogram_to_annotations(hypno))
    if fname.suffix == ".edf":
        raw.export(fname, verbose="ERROR")
    else:
        raw.save(fname, verbose="ERROR")
    hypno_fname = fname.with_name(f"{fname.name}-stages.csv")
    write_hypnogram(hypno_fname, hypno)
    return Night(str(fname), str(hypno_fname))


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Let torch compute on one core: nights this short gain nothing from more."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="session")
def nights(tmp_path_factory):
    """Write two nights, as FIF and as EDF."""
    folder = tmp_path_factory.mktemp("nights")
    return [
        save_night(folder / "first_raw.fif", seed=1),
        save_night(folder / "second.edf", n_epochs=15, seed=2),
    ]


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """Write weights that were trained for a moment on Fpz-Cz of simulated nights."""
    pairs = [simulate_night(30.0 * 150, random_state=seed) for seed in (3, 4)]
    raws, hypnos = map(list, zip(*pairs, strict=True))
    clf = MC2SleepClassifier(
        "EEG Fpz-Cz",
        sequence_length=5,
        pretrain_train_epochs=1,
        finetune_train_epochs=1,
        validation_fraction=0,
        random_state=0,
    )
    clf.fit(raws, hypnos, verbose="ERROR")
    fname = tmp_path_factory.mktemp("weights") / "lab.safetensors"
    clf.save(fname)
    return str(fname)


@pytest.fixture
def run(capsys):
    """Return a function that runs the command line: status, stdout, stderr."""
    # A test that only asks for help need not wait for the imports above.
    from mne_mc2sleep.commands.main import main

    def run(*arguments):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as error:
            status = error.code
        return (status, *capsys.readouterr())

    return run


@pytest.fixture
def fails(run):
    """Return a function that expects a user's error: exit code 2, one sentence."""

    def fails(*arguments, match):
        status, _, err = run(*arguments)
        assert status == 2
        assert err.startswith("mne-mc2sleep: error: ")
        assert err.count("\n") == 1
        assert "Traceback" not in err
        assert match in err

    return fails
