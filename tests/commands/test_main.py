"""Help, errors and exit codes that all sub-commands share, and ``weights``."""

import logging
import subprocess
import sys
from importlib.metadata import entry_points
from types import SimpleNamespace
from unittest.mock import Mock

import mne
import pytest

import mne_mc2sleep
from mne_mc2sleep.commands import stage
from mne_mc2sleep.commands.main import main
from mne_mc2sleep.weights.registry import KNOWN_WEIGHTS, find_weights

STAGE = ("stage", "night.edf", "--weights", "lab.safetensors")


def replace_run(monkeypatch, effect):
    """Let the sub-command ``stage`` raise an error, or call a function."""
    monkeypatch.setattr(stage, "run", Mock(side_effect=effect))


COMMANDS = [("stage",), ("train",), ("evaluate",), ("weights", "card"), ("sys-info",)]


@pytest.mark.parametrize("command", [(), *COMMANDS])
def test_help_is_printed(run, command):
    status, out, err = run(*command, "--help")
    assert status == 0
    assert out.startswith(f"usage: {' '.join(('mne-mc2sleep', *command))}")
    assert err == ""
    assert command or run() == (0, out, "")
    assert not command or f"examples:\n  mne-mc2sleep {' '.join(command)}" in out


def test_help_imports_nothing_slow():
    command = [sys.executable, "-X", "importtime", "-m", "mne_mc2sleep", "--help"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.startswith("usage: mne-mc2sleep")
    imported = {line.split("|")[-1].strip() for line in result.stderr.splitlines()}
    assert "mne_mc2sleep" in imported
    assert not imported & {"mne", "numpy", "torch", "yasa"}


def test_versions_are_printed(run):
    assert run("--version") == (0, f"{mne_mc2sleep.__version__}\n", "")
    assert mne.__version__ in run("sys-info")[1]
    (script,) = entry_points(group="console_scripts", name="mne-mc2sleep")
    assert script.load() is main


def test_completion_is_offered_where_argcomplete_is_installed(monkeypatch):
    parsers = []
    module = SimpleNamespace(autocomplete=parsers.append)
    monkeypatch.setitem(sys.modules, "argcomplete", module)
    assert main([]) == 0
    assert "stage" in parsers[0].format_help()


OUT = {
    "stage": "--out-dir=.",
    "evaluate": "--out=t.csv",
    "train": "--out=t.safetensors",
}
ALL, SCORED = tuple(OUT), ("evaluate", "train")


@pytest.mark.parametrize(
    ("commands", "options", "match", "status"),
    [
        (ALL, ("--weights", "no.safetensors"), "'no.safetensors'", 2),
        (ALL, ("--device", "abacus"), "device 'abacus'", 2),
        (ALL, ("--picks", "Cz"), "'Cz'", 1),
        (ALL, ("--picks", "Cz,"), "empty name between its commas", 2),
        (SCORED, ("--hypnograms", "no.edf"), "no.edf does not exist", 1),
        (SCORED, ("--hypnograms", "a.edf", "b.edf"), "None of the 2 --hypnograms", 2),
        (("evaluate",), ("--out", "nowhere/t.csv"), "'nowhere' for t.csv does not", 2),
        (SCORED, ("--out", "t.txt"), "must end in", 2),
        (("stage",), ("--out-dir", __file__), "Pass a folder with --out-dir", 2),
        (("stage",), ("--n-jobs", "0"), "--n-jobs: must be 1 or more", 2),
        (("stage",), ("--outputs", "csv,doc"), "invalid choice: ['doc']", 2),
        (("stage",), ("--summary", "t.doc"), "must end in .csv or .json", 2),
        (("stage",), ("--picks=Cz", "--average-channels=Pz"), "not allowed with", 2),
        (("train",), ("--weights=a", "--size=base"), "not allowed with", 2),
        (("train",), ("--random-state", "-1"), "--random-state", 1),
        (("train",), ("--train-epochs", "0"), "--train-epochs must be 1 or more", 2),
    ],
)
def test_bad_options_are_one_sentence(
    fails, nights, tmp_path, monkeypatch, commands, options, match, status
):
    """Nothing is written, and the exit status is 2, or 1 if it is for the recording."""
    monkeypatch.chdir(tmp_path)
    for command in commands:
        arguments = (command, nights[0].fname, OUT[command], *options)
        fails(*arguments, match=match, status=status)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [ValueError, PermissionError, RuntimeError])
def test_a_users_error_is_one_line(fails, monkeypatch, error):
    """Line breaks are taken out, and options are named, not Python's parameters."""
    message = "Pass another\n channel as 'picks', or overwrite=True."
    replace_run(monkeypatch, error(message))
    fails(*STAGE, match="error: Pass another channel with --picks, or --overwrite.")


def test_a_bug_shows_its_traceback(monkeypatch):
    replace_run(monkeypatch, ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        main(STAGE)


def test_ctrl_c_exits_with_130(run, monkeypatch):
    replace_run(monkeypatch, KeyboardInterrupt())
    assert run(*STAGE) == (130, "", "mne-mc2sleep: interrupted\n")


@pytest.mark.filterwarnings("default")
def test_a_warning_is_one_line_and_told_once(run, monkeypatch):
    """The place in the code that Python adds to a warning is left out."""

    def warn_twice(_args):
        for _ in range(2):
            mne.utils.warn("Look\nout.")
        return 0

    replace_run(monkeypatch, warn_twice)
    status, _, err = run(*STAGE)
    assert (status, err) == (0, "mne-mc2sleep: warning: Look out.\n")


@pytest.mark.parametrize(
    ("arguments", "level"), [((), "WARNING"), (("-v",), "INFO"), (("-q",), "ERROR")]
)
def test_the_log_level_is_set_and_restored(run, monkeypatch, arguments, level):
    before = mne.utils.logger.level
    replace_run(monkeypatch, lambda _args: mne.utils.logger.level)
    assert run(*STAGE, *arguments)[0] == getattr(logging, level)
    assert mne.utils.logger.level == before


def test_weights_are_listed_and_described(run):
    status, out, _ = run("weights", "list")
    lines = out.splitlines()
    assert status == 0
    assert [line.split("\t")[0] for line in lines] == ["name", *KNOWN_WEIGHTS]
    assert "in the package" in lines[1]
    _, out, _ = run("weights", "card", "small")
    assert str(find_weights("small")) in out
    assert "\nscaling: spectrum\n" in out
    assert "\nStep 1 of 2\nphase: pretraining and fine-tuning\n" in out
    assert "\nn subjects: 48\n" in out
