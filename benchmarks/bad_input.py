"""Give bad input to YASA and to MC2SleepNet, and print what each does.

Every cell comes from running it: the error, or the number of epochs, how many are UNS,
how many stages differ from those of the good recording (where some epochs hold no EEG:
of the epochs that are further away than a sequence), and what was warned of. The inputs
are those of tests/bad_input.py, made of a simulated recording of two hours. A second
table puts hypnograms on the grid, YASA's by Hypnogram.upsample_to_data ("-": not of
annotations).

    python benchmarks/bad_input.py
"""

import logging
import sys
import tempfile
import warnings
from logging.handlers import BufferingHandler
from pathlib import Path

import mne
import numpy as np
import yasa
from common import describe_machine, print_header, print_row

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from bad_input import ALIGNED, CHANNEL, FILES, MISFITS, REFUSED, STAGED

from mne_mc2sleep import MC2SleepClassifier, simulate_night
from mne_mc2sleep.io.hypnograms import stages_on_grid

N_EPOCHS = 240
SEQUENCE_LENGTH = 60
N_CHARACTERS = 90  # of a message


def main():
    """Run both stagers on every input and print the tables."""
    print(describe_machine())
    raw, _ = simulate_night(30.0 * N_EPOCHS, random_state=0)
    clf = MC2SleepClassifier.from_pretrained().set_params(picks=CHANNEL)
    stagers = (stage_by_yasa, clf.predict)
    good = [stage(raw).hypno.to_numpy() for stage in stagers]
    print_header("input", "YASA", "MC2SleepNet")
    for name, case in (REFUSED | STAGED).items():
        unusable = getattr(case, "unusable", ())
        compare(name, stagers, case.make(raw), good, unusable)
    for name, case in FILES.items():
        with tempfile.TemporaryDirectory() as folder:
            # The times of some files differ, so that no stage is compared.
            recording = case.make(raw, Path(folder))
            compare(name, stagers, recording, good, range(N_EPOCHS))
    print_header("hypnogram", "YASA", "MC2SleepNet")
    stages, start = np.arange(40) // 4 % 5, raw.info["meas_date"]
    for name, case in (ALIGNED | MISFITS).items():
        made = (case if callable(case) else case[0])(stages, start)
        made = made if isinstance(made, tuple) else (made, stages)
        aligners = (align_by_yasa, stages_on_grid)
        print_row(name, *(describe(count_wrong, a, *made, start) for a in aligners))


def compare(name, stagers, recording, good, unusable):
    """Print what each stager makes of a recording."""
    cells = [
        describe(describe_stages, stage, recording, stages, unusable)
        for stage, stages in zip(stagers, good, strict=True)
    ]
    print_row(name, *cells)


def describe(function, *args):
    """Return the words that a function returns, or its error, and its warnings."""
    logs = BufferingHandler(1000)
    logs.setLevel(logging.WARNING)
    logging.getLogger("yasa").addHandler(logs)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            # YASA's own weights, for any input.
            warnings.filterwarnings("ignore", "Trying to unpickle estimator")
            result = function(*args)
    except Exception as error:
        result = f"**{type(error).__name__}**: {shorten(error)}"
    finally:
        logging.getLogger("yasa").removeHandler(logs)
    texts = [w.message for w in caught] + [r.getMessage() for r in logs.buffer]
    return "; ".join([result, *dict.fromkeys(f"warns: {shorten(t)}" for t in texts)])


def shorten(message):
    """Return the beginning of a message, on one line, for a cell of a table."""
    text = " ".join(str(message).split()).replace("|", "/")
    return text if len(text) <= N_CHARACTERS else f"{text[:N_CHARACTERS].rstrip()} ..."


def describe_stages(stage, recording, good, unusable):
    """Return in words how a hypnogram differs from that of the good recording."""
    is_raw = isinstance(recording, mne.io.BaseRaw)
    before = recording.copy() if is_raw else None
    stages = stage(recording).hypno.to_numpy()
    distance = np.abs(np.arange(len(good))[:, None] - np.array(unusable, dtype=int))
    far = (distance > SEQUENCE_LENGTH).all(axis=1)[: len(stages)]
    parts = [f"{len(stages)} epochs"]
    if n_unscored := (stages == "UNS").sum():
        parts.append(f"{n_unscored} UNS")
    if far.any():
        n_changed = (stages[: far.size] != good[: far.size])[far].sum()
        where = "" if far.all() else " far from it"
        parts.append(f"{n_changed} of {far.sum()} stages{where} changed")
    if is_raw and not is_same(before, recording):
        parts.append("the recording was modified")
    return ", ".join(parts)


def is_same(before, after):
    """Return whether a recording is the same, bit for bit."""
    return (
        np.array_equal(before.get_data(), after.get_data(), equal_nan=True)
        and mne.utils.object_diff(before.info, after.info) == ""
    )


def stage_by_yasa(raw):
    """Stage by YASA, which takes a Raw that MNE has read."""
    if isinstance(raw, Path):
        raw = mne.io.read_raw(raw)
    return yasa.SleepStaging(raw, eeg_name=CHANNEL).predict()


def count_wrong(align, scoring, good, start):
    """Put a hypnogram on the grid; return in words how many stages are wrong."""
    stages = align(scoring, good.size, start)
    if stages is None:
        return "-"
    n_wrong = (stages.clip(-1) != good.clip(-1)).sum()
    return f"{n_wrong} of {good.size} stages wrong"


def align_by_yasa(scoring, n_epochs, start):
    """Return a stage per epoch, None where YASA takes no such form."""
    if isinstance(scoring, mne.Annotations):
        return None
    if isinstance(scoring, np.ndarray):
        is_text = scoring.dtype.kind == "U"
        make = yasa.Hypnogram if is_text else yasa.Hypnogram.from_integers
        scoring = make(scoring)
    raw = mne.io.RawArray(np.zeros((1, 30 * n_epochs)), mne.create_info(1, 1))
    return scoring.upsample_to_data(raw.set_meas_date(start))[::30]


if __name__ == "__main__":
    with mne.utils.use_log_level("warning"):
        main()
