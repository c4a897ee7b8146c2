"""The results of each fold, and the table of all folds."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mne_mc2sleep import (
    expected_calibration_error,
    plot_confusion_matrix,
    score_stages,
)
from mne_mc2sleep._constants import STAGES
from mne_mc2sleep._utils import replace_file

PUBLISHED = Path(__file__).with_name("published.csv")
PERCENT = ["accuracy", "macro_f1", *(f"f1_{stage}" for stage in STAGES)]
HEADER = {
    "stager": "stager",
    "accuracy": "accuracy, %",
    "macro_f1": "macro-F1, %",
    "kappa": "kappa",
    "median_night_kappa": "median night's kappa",
    **{f"f1_{stage}": f"F1 {stage}, %" for stage in STAGES},
    "ece": "ECE",
    "n_epochs": "test epochs",
    "n_nights": "nights",
    "folds": "folds",
    "hours": "hours",
}


def write_result(fname, nights, probabilities, record):
    """Write the probabilities for the test nights of a fold, atomically.

    ``record`` holds what else is to be known of the fold, as JSON can hold it.
    """
    content = BytesIO()
    np.savez_compressed(
        content,
        reference=np.concatenate([night.targets for night in nights]),
        probabilities=np.concatenate(probabilities).astype(np.float32),
        n_epochs=[len(night.stages) for night in nights],
        record=json.dumps(record),
    )
    replace_file(fname, content.getvalue())


def read_result(fname):
    """Read what `write_result` wrote, as a dict."""
    try:
        with fname.open("rb") as file, np.load(file) as content:
            result = dict(content)
    except (BadZipFile, ValueError, EOFError) as error:
        raise ValueError(
            f"{fname} is damaged; delete it, and the same command runs the fold again."
        ) from error
    return result | {"record": json.loads(str(result["record"]))}


def score(results):
    """Score the pooled test epochs of folds; return one row of the table."""
    reference = np.concatenate([result["reference"] for result in results])
    probabilities = np.concatenate([result["probabilities"] for result in results])
    predicted = probabilities.argmax(axis=1)
    ends = np.cumsum(np.concatenate([result["n_epochs"] for result in results]))
    nights = [
        score_stages(night, staged)["kappa"]
        for night, staged in zip(
            np.split(reference, ends[:-1]), np.split(predicted, ends[:-1]), strict=True
        )
        if (night >= 0).any()
    ]
    records = [result["record"] for result in results]
    return {
        **score_stages(reference, predicted),
        "median_night_kappa": float(np.median(nights)),
        "ece": expected_calibration_error(probabilities, reference),
        "n_nights": len(nights),
        "hours": sum(record["hours"] for record in records),
    }


def write_tables(out_dir, cohort, settings):
    """Write the table of all folds that are done, and a confusion matrix of each seed.

    These are ``results.csv``, ``results.md`` and ``seed-*/confusion.png``.
    """
    rows, records = [], []
    for folder in sorted(out_dir.glob("seed-*")):
        results = [read_result(f) for f in sorted(folder.glob("fold-*/result.npz"))]
        if not results:
            continue
        seed = folder.name.removeprefix("seed-")
        name = f"**this package**, `{settings['size']}`, seed {seed}"
        folds = f"{len(results)} of {len(cohort.folds)}"
        rows.append({"stager": name, **score(results), "folds": folds})
        records += [result["record"] for result in results]
        draw_confusion(folder / "confusion.png", results)
    if len(rows) > 1:
        means = pd.DataFrame(rows).mean(numeric_only=True).to_dict()
        rows.append({"stager": f"**this package**, mean of {len(rows)} seeds", **means})
    ours = pd.DataFrame(rows)
    ours[PERCENT] *= 100
    published = pd.read_csv(PUBLISHED, dtype=str)
    published = published[published["cohort"] == cohort.name].drop(columns="cohort")
    table = pd.concat([ours, published], ignore_index=True)[list(HEADER)]
    replace_file(out_dir / "results.csv", table.to_csv(index=False).encode())
    text = describe(cohort, settings, table, records)
    replace_file(out_dir / "results.md", text.encode())


def draw_confusion(fname, results):
    """Draw the confusion matrix of the pooled test epochs."""
    fig = Figure(figsize=(5.5, 5), layout="constrained")
    reference = np.concatenate([result["reference"] for result in results])
    predicted = [result["probabilities"].argmax(axis=1) for result in results]
    plot_confusion_matrix(
        reference, np.concatenate(predicted), axes=fig.subplots(), show=False
    )
    content = BytesIO()
    fig.savefig(content, dpi=150)
    replace_file(fname, content.getvalue())


def describe(cohort, settings, table, records):
    """Return the report as Markdown."""
    rehearsal = "**A rehearsal (`--fast`): the scores mean nothing.**\n\n"
    resumed = sum(record["is_resumed"] for record in records)
    note = f"; without what {resumed} folds did before they were cut off"
    hardware = sorted({record["hardware"] for record in records})
    return (
        f"# {cohort.name}\n\n{rehearsal if settings['fast'] else ''}"
        f"{to_markdown(table.rename(columns=HEADER))}\n"
        "The first rows are pooled over the test epochs of all folds that are done; "
        "epochs without a stage or without EEG do not count. ECE: expected calibration "
        "error, 15 bins. The other rows are what their authors published.\n\n"
        "## Scored epochs\n\n"
        f"{to_markdown(cohort.counts.rename_axis('').reset_index())}\n"
        "Epochs that hold no EEG are among them, as in published counts.\n\n"
        "## How\n\n"
        f"- Hours: training and staging{note if resumed else ''}.\n"
        f"- Hardware: {'; '.join(hardware)}.\n"
        f"- Settings: {', '.join(f'{k} {v}' for k, v in settings.items())}.\n"
    )


def to_markdown(table):
    """Return a table as Markdown; what is missing stays empty."""
    lines = [list(table), ["---"] * len(table.columns)]
    lines += [
        [_to_text(name, value) for name, value in row.items()]
        for row in table.to_dict("records")
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _to_text(name, value):
    if not isinstance(value, str) and pd.isna(value):
        return ""
    if not isinstance(value, float):
        return str(value)
    if "%" in name:
        return f"{value:.1f}"
    return f"{value:.0f}" if value.is_integer() else f"{value:.3f}"
