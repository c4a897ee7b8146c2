"""Give bad input to YASA and to MC2SleepNet, and print what each does.

Every cell comes from running it: the error, or the number of epochs, how many are UNS,
how many stages differ from those of the good recording (where some epochs hold no EEG:
of the epochs that are further away than a sequence), and what was warned of. The inputs
are those of tests/bad_input.py, made of a simulated recording of one hour;
MC2SleepNet is trained for half a minute on simulated nights. A second table puts
hypnograms on the grid, YASA's by Hypnogram.upsample_to_data ("-": not of annotations).

    python benchmarks/bad_input.py
"""

import argparse
import logging
import sys
import tempfile
import warnings
from pathlib import Path

import mne
import numpy as np
from common import describe_machine, print_header, print_row, train_briefly
from sklearn.metrics import cohen_kappa_score

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from bad_input import ALIGNED, CHANNEL, FILES, MISFITS, REFUSED, STAGED

from mne_mc2sleep import simulate_night
from mne_mc2sleep.io.hypnograms import stages_on_grid

N_EPOCHS = 120
SEQUENCE_LENGTH = 20
N_CHARACTERS = 90  # of a message


def main():
    """Run both stagers on every input and print the table."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    print(describe_machine())
    raw, hypno = simulate_night(30.0 * N_EPOCHS, random_state=0)
    stagers = (stage_by_yasa, train_briefly().predict)
    with Messages():
        good = [stage(raw).hypno.to_numpy() for stage in stagers]
    kappas = [cohen_kappa_score(hypno.hypno.to_numpy(), stages) for stages in good]
    print("good recording, kappa: YASA {:.2f}, MC2SleepNet {:.2f}".format(*kappas))
    print_header("input", "YASA", "MC2SleepNet")
    for name, case in (REFUSED | STAGED).items():
        far = find_far(getattr(case, "unusable", ()))
        cells = [
            describe(stage, case.make(raw), stages, far)
            for stage, stages in zip(stagers, good, strict=True)
        ]
        print_row(name, *cells)
    for name, case in FILES.items():
        with tempfile.TemporaryDirectory() as folder:
            recording = case.make(raw, Path(folder))
            far = find_far(range(N_EPOCHS))  # other times: no stage is compared
            cells = [describe(stage, recording, good[0], far) for stage in stagers]
        print_row(name, *cells)
    print_header("hypnogram", "YASA", "MC2SleepNet")
    stages, start = np.arange(40) // 4 % 5, raw.info["meas_date"]
    for name, case in (ALIGNED | MISFITS).items():
        made = (case if callable(case) else case[0])(stages, start)
        made = made if callable(case) else (made, stages)
        aligners = (align_by_yasa, stages_on_grid)
        print_row(name, *(describe_scoring(align, *made, start) for align in aligners))


def align_by_yasa(scoring, n_epochs, start):
    """Return a stage per epoch, None where YASA takes no such form."""
    from yasa import Hypnogram

    if isinstance(scoring, mne.Annotations):
        return None
    if isinstance(scoring, np.ndarray):
        is_text = scoring.dtype.kind == "U"
        scoring = (Hypnogram if is_text else Hypnogram.from_integers)(scoring)
    raw = mne.io.RawArray(np.zeros((1, 30 * n_epochs)), mne.create_info(1, 1))
    return scoring.upsample_to_data(raw.set_meas_date(start))[::30]


def describe_scoring(align, scoring, good, start):
    """Put a hypnogram on the grid; return in words what came of it."""
    with Messages() as messages:
        try:
            stages = align(scoring, good.size, start)
        except Exception as error:
            return f"**{type(error).__name__}**: {shorten(error)}"
    if stages is None:
        return "-"
    result = f"{(stages.clip(-1) != good.clip(-1)).sum()} of {good.size} stages wrong"
    return "; ".join([result, *(f"warns: {text}" for text in messages.texts)])


def stage_by_yasa(raw):
    """Stage by YASA, which takes a Raw that MNE has read."""
    import yasa

    if isinstance(raw, Path):
        raw = mne.io.read_raw(raw)
    return yasa.SleepStaging(raw, eeg_name=CHANNEL).predict()


def find_far(unusable):
    """Return which epochs are further than a sequence from those that hold no EEG."""
    distance = np.abs(np.arange(N_EPOCHS)[:, None] - np.array(unusable, dtype=int))
    return (distance > SEQUENCE_LENGTH).all(axis=1)


def describe(stage, recording, good, far):
    """Stage a recording; return in words what came of it."""
    is_raw = isinstance(recording, mne.io.BaseRaw)
    before = recording.copy() if is_raw else None
    with Messages() as messages:
        try:
            stages = stage(recording).hypno.to_numpy()
        except Exception as error:
            result = f"**{type(error).__name__}**: {shorten(error)}"
        else:
            result = describe_stages(stages, good, far)
    cells = [result, *(f"warns: {message}" for message in messages.texts)]
    if is_raw and not is_same(before, recording):
        cells.append("the recording was modified")
    return "; ".join(cells)


def describe_stages(stages, good, far):
    """Return in words how a hypnogram differs from that of the good recording."""
    parts = [f"{len(stages)} epochs"]
    if n_unscored := (stages == "UNS").sum():
        parts.append(f"{n_unscored} UNS")
    # Pauses make a recording longer.
    n_common = min(len(stages), len(good))
    far = far[:n_common]
    n_changed = (stages[:n_common] != good[:n_common])[far].sum()
    where = "" if far.all() else " far from it"
    return f"{', '.join(parts)}, {n_changed} of {far.sum()} stages{where} changed"


def is_same(before, after):
    """Return whether a recording is the same, bit for bit."""
    return (
        np.array_equal(before.get_data(), after.get_data(), equal_nan=True)
        and mne.utils.object_diff(before.info, after.info) == ""
    )


def shorten(message):
    """Return the beginning of a message, on one line, for a cell of a table."""
    text = " ".join(str(message).split()).replace("|", "/")
    return text if len(text) <= N_CHARACTERS else f"{text[:N_CHARACTERS].rstrip()} ..."


class Messages(logging.Handler):
    """Collects what a stager warns of, by a warning or in YASA's log."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.texts = []

    def emit(self, record):
        """Keep what is logged."""
        self._keep(record.getMessage())

    def _keep(self, message, *_args, **_kwargs):
        if (text := shorten(message)) not in self.texts:
            self.texts.append(text)

    def __enter__(self):
        """Begin to collect."""
        self._context = warnings.catch_warnings()
        self._context.__enter__()
        warnings.simplefilter("always")
        # YASA's own weights, whatever the input.
        warnings.filterwarnings("ignore", "Trying to unpickle estimator")
        warnings.showwarning = self._keep
        logging.getLogger("yasa").addHandler(self)
        return self

    def __exit__(self, *args):
        """End."""
        logging.getLogger("yasa").removeHandler(self)
        self._context.__exit__(*args)


if __name__ == "__main__":
    with mne.utils.use_log_level("warning"):
        main()
