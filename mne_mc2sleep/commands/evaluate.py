"""``mne-mc2sleep evaluate``: compare a stager with scored recordings."""

from argparse import Namespace

from joblib import Parallel, delayed

from .._utils import check_fname, replace_file
from ..classifier import MC2SleepClassifier
from ..datasets import NightRecord
from ..evaluation import read_reference, tabulate_scores
from ._common import attempt, find_scored, load_stager, tell


def run(args: Namespace) -> int:
    """Evaluate a stager; a recording that fails does not stop the others."""
    out = check_fname(args.out, (".csv",), args.overwrite) if args.out else None
    nights = find_scored(args)
    clf = load_stager(args)
    staged = []
    tries = Parallel(args.n_jobs, return_as="generator")(
        delayed(attempt)(_stage, clf, args, night) for night in nights
    )
    for night, (result, error, messages) in zip(nights, tries, strict=True):
        name = str(night.recording)
        for message in messages if args.verbosity >= 0 else ():
            tell("warning", message, name)
        if error:
            tell("error", error, name)
        else:
            staged.append((*result, name, night.subject))
    if staged:
        references, predicted, names, subjects = zip(*staged, strict=True)
        groups = subjects if len(set(subjects)) < len(subjects) else ()
        try:
            table = tabulate_scores(references, predicted, names, groups)
        except ValueError as error:
            tell("error", error)
            return 1
        print(table.rename_axis(None).to_string(float_format="{:.3f}".format))
        if out:
            replace_file(out, table.to_csv(lineterminator="\n").encode())
    return 0 if len(staged) == len(nights) else 1


def _stage(clf: MC2SleepClassifier, args: Namespace, night: NightRecord) -> tuple:
    """Return the stages of the scorer and the hypnogram of the stager."""
    recording, averaged = str(night.recording), args.average_channels
    predicted = clf.predict(recording, average_channels=averaged)
    picks = averaged[0] if averaged else clf.picks
    return read_reference(recording, night.hypnogram, predicted, picks), predicted
