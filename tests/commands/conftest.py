"""Short scored nights on disk, and a stager that has hardly learnt anything."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from yasa import Hypnogram

import mne_mc2sleep
from mne_mc2sleep import hypnogram_to_annotations, simulate_night, write_hypnogram


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
    hypno_fname = fname.with_name(f"{fname.stem}-stages.csv")
    write_hypnogram(hypno_fname, hypno)
    return Night(str(fname), str(hypno_fname))


@pytest.fixture(scope="session")
def nights(tmp_path_factory):
    """Write two nights, as FIF and as EDF."""
    folder = tmp_path_factory.mktemp("nights")
    return [
        save_night(folder / "first_raw.fif", seed=1),
        save_night(folder / "second.edf", n_epochs=15, seed=2),
    ]


@pytest.fixture(scope="session")
def weights(fitted, tmp_path_factory):
    """Write weights of a tiny network that hardly learnt anything."""
    fname = tmp_path_factory.mktemp("weights") / "lab.safetensors"
    fitted.save(fname)
    return str(fname)


@pytest.fixture
def clf(weights):
    return mne_mc2sleep.MC2SleepClassifier.from_pretrained(weights)


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
    """Return a function that expects an error: its status, one sentence."""

    def fails(*arguments, match, status=2):
        found, _, err = run(*arguments)
        (error,) = [line for line in err.splitlines() if ": error: " in line]
        assert found == status
        assert error.startswith("mne-mc2sleep: error: ")
        assert "Traceback" not in err
        assert match in error

    return fails
