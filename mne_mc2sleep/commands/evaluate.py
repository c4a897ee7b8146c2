"""``mne-mc2sleep evaluate``: how well weights stage scored recordings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .._utils import replace_file
from ._common import (
    add_common_options,
    add_hypnograms,
    add_recordings,
    add_stager,
    attempt,
    check_output,
    load_stager,
)

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction

    from numpy.typing import NDArray
    from pandas import DataFrame

    from ..classifier import MC2SleepClassifier


def add_parser(subparsers: _SubParsersAction) -> None:
    """Add the sub-command.

    Parameters
    ----------
    subparsers : object
        What ``ArgumentParser.add_subparsers`` returned.
    """
    parser = subparsers.add_parser(
        "evaluate",
        usage="%(prog)s FILE [FILE ...] [options]",
        help="compare a stager with scored recordings",
        description="Stage scored recordings and compare with their hypnograms: "
        "accuracy, macro-F1, Cohen's kappa, F1 of each stage and expected calibration "
        "error (ECE), for each recording and for the pooled epochs of all. Recordings "
        "that fail are left out, and the exit code is 2.",
    )
    add_recordings(parser)
    add_hypnograms(parser)
    add_stager(parser)
    parser.add_argument(
        "--out", metavar="FILE", help="also write the table to this *.csv"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the table")
    add_common_options(parser, log_level="warning")
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    """Evaluate a stager; a recording that fails does not stop the others.

    Parameters
    ----------
    args : Namespace
        The parsed arguments.

    Returns
    -------
    status : int
        The exit code: 2 if a recording failed.

    Raises
    ------
    FileNotFoundError, ValueError
        If the numbers of files differ, or the weights, the device or the table cannot
        be used: nothing is staged.
    """
    if args.out is not None:
        check_output(args.out, ".csv", args.overwrite)
    hypnos = args.hypnograms or [None] * len(args.recordings)
    if len(hypnos) != len(args.recordings):
        raise ValueError(
            f"There are {len(args.recordings)} recordings but {len(hypnos)} "
            "hypnograms; pass one for each recording."
        )
    clf = load_stager(args.weights, args.device)
    compared = [
        attempt(_compare, clf, recording, hypno, args.picks, name=recording)
        for recording, hypno in zip(args.recordings, hypnos, strict=True)
    ]
    names = [
        recording
        for recording, result in zip(args.recordings, compared, strict=True)
        if result is not None
    ]
    if names:
        table = _make_table(names, [result for result in compared if result])
        print(table.to_string(float_format="{:.3f}".format))
        if args.out is not None:
            content = table.to_csv(index_label="recording", lineterminator="\n")
            replace_file(Path(args.out), content.encode())
    return 0 if len(names) == len(compared) else 2


class _Night(NamedTuple):
    """Reference and predicted stages (n_epochs,), probabilities (n_epochs, 5)."""

    reference: NDArray
    predicted: NDArray
    probabilities: NDArray

    def score(self) -> dict[str, float]:
        """Return one row of the table."""
        from .._constants import UNSCORED
        from ..metrics import expected_calibration_error, score_stages

        scores = score_stages(self.reference, self.predicted)
        usable = self.predicted != UNSCORED
        scores["ece"] = expected_calibration_error(
            self.probabilities[usable], self.reference[usable]
        )
        return scores


def _compare(
    clf: MC2SleepClassifier, recording: str, hypno: str | None, picks: list[str] | None
) -> tuple[_Night, dict[str, float]]:
    import numpy as np

    from .._constants import STAGES, UNSCORED
    from ..data.reading import read_stages
    from ..io.recordings import read_recording

    predicted = clf.predict(recording, picks=picks)
    reference = read_stages(read_recording(recording, picks or clf.picks), hypno)
    stages = predicted.as_int().to_numpy()
    night = _Night(
        reference,
        np.where(stages < 0, UNSCORED, stages),
        predicted.proba[list(STAGES)].to_numpy(),
    )
    return night, night.score()


def _make_table(
    names: list[str], compared: list[tuple[_Night, dict[str, float]]]
) -> DataFrame:
    import numpy as np
    import pandas as pd

    nights, scores = zip(*compared, strict=True)
    pooled = _Night(*map(np.concatenate, zip(*nights, strict=True)))
    return pd.DataFrame([*scores, pooled.score()], index=[*names, "pooled"])
