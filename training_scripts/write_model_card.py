"""Write the model card of the shipped weights: no figure in it is typed by hand.

::

    python benchmarks/accuracy.py band_power_nights.npz --json docs/accuracy.json
    python training_scripts/write_model_card.py docs/accuracy.json docs/model_card.md
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mne_mc2sleep import MC2SleepClassifier

STAGES = ("WAKE", "N1", "N2", "N3", "REM")

TEMPLATE = """# Model card: `small`

The weights that `MC2SleepClassifier.from_pretrained()` loads. This page is written by
`training_scripts/write_model_card.py`.

> **Not a medical device. Trained on resynthesised nights and on 5-s excerpts of
> recorded EEG.** First on
> {first_source}. Then on {source}. How well these
> weights stage recorded EEG has not been measured: compare them with your own scorer
> before you rely on them. Scored nights of your own adapt them (`clf.finetune`): see
> [how many](finetune.md#how-many-nights).

## What they are

MC2SleepNet (arXiv 2502.17470), size `small` ({n_parameters:,} parameters, our choice
of sizes), for one EEG channel. Sequences of {sequence_length} epochs; each recording
is filtered towards a common spectrum (`scaling="{scaling}"`). Saved by version
{package_version}.

## What they were trained on

{n_nights} nights of {n_subjects} subjects, {n_epochs} epochs after what was left out
at random: {by_stage}. In each pass every night had another montage between Fpz-Cz and
Pz-Oz, another recorder (gain 0.4 to 3, tilt, equaliser, corners, polarity, noise) and
another texture (peaks, bursts, isolated waves), drawn at random and never from the
stage; half of the nights were left in pieces of up to half an hour, each scaled by
itself or with a random error, as in short recordings; in half of the nights of
fine-tuning, the powers of single epochs vary at random. The stage frequencies of these
nights were shifted halfway to those of usual nights by Bayes' rule (less WAKE and
more N3).
Fold {fold}, seed {seed}.

{n_validation} more subjects were validated on (early stopping and the temperature,
{temperature:.2f}). {n_test} others were kept for tests. Nothing was fitted to them, but
early choices of how to fine-tune and how to fill missing bands used some of their
nights. How missing bands are filled now, how short recordings are scaled by the stages
found in them, and how much less confident they are, was chosen on the validation
subjects.

The stages are those of experts (R&K, with stages 3 and 4 joined to N3). In most nights,
bouts of a single epoch are missing from the data, so N1 is rarer than in reality.

## Scores on subjects outside the training data

{n_test_nights} nights of {n_test} subjects, by `benchmarks/accuracy.py`. Such nights
are **in-distribution for these weights and out-of-distribution for YASA**, which was
trained on real EEG: the table measures our own progress and does not show which stager
is better. "Powers" does not stage signals: it is gradient boosting on the band powers
from which the signals were generated, trained on the same nights. It shows about how
well these powers predict the stages.

{scores_table}

F1 by stage:

{stages_table}

"30 min" cuts each night into recordings of 30 minutes; YASA refuses 50 Hz. "Drawn
spindles" adds spindles and K-complexes by stage, which no training signal has: a
signal unlike the training data.

## Calibration and review

Expected calibration error (15 bins), and accuracy if the least certain epochs are
left to a human (`epochs_to_review`):

{review_table}

Fpz-Cz, all epochs. In the left figure, weights below the diagonal are overconfident:

![Reliability diagram and risk-coverage curve](figures/calibration.png)

## Known failures

- N1 is found least often; see its F1 above.
- Nights of `simulate_night`, whose powers are drawn from a model, are staged worse than
  the table suggests, with too much WAKE, because they differ from the training data.
- Real EEG has spindles, K-complexes and eye movements that the training signals have
  only by chance. How the weights stage them is not known.
- The band powers are those of nights of healthy adults only.
- Recordings of a few epochs, of one stage only, or with less than 25 Hz of band are
  staged with lower confidence.

The data are under the Open Data Commons Attribution License 1.0. Cite Kemp et al.
(2000, <https://doi.org/10.1109/10.867928>) and Goldberger et al. (2000,
<https://doi.org/10.1161/01.CIR.101.23.e215>).
"""


def table(header, rows):
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def scores_table(results):
    """Return the table of pooled scores."""
    rows = []
    for key, scores in results.items():
        low, _, middle, _, high = scores["kappa_of_subjects"]
        figures = [f"{scores[name]:.3f}" for name in ("accuracy", "macro_f1", "kappa")]
        spread = f"{middle:.2f} ({low:.2f} to {high:.2f})"
        rows.append([*key.split("|"), scores["n_epochs"], *figures, spread])
    header = ["montage", "stager", "epochs", "accuracy", "macro-F1", "kappa"]
    return table([*header, "median subject's kappa (range)"], rows)


def stages_table(results):
    """Return the table of F1 by stage."""
    rows = [
        [*key.split("|"), *(f"{scores[f'f1_{stage}']:.3f}" for stage in STAGES)]
        for key, scores in results.items()
    ]
    return table(["montage", "stager", *STAGES], rows)


def review_table(results):
    """Return the table of calibration and of what review brings."""
    rows, shares = [], []
    for key, scores in results.items():
        montage, stager = key.split("|")
        if stager == "mne_mc2sleep":
            after = scores["accuracy_after_review"]
            shares = [f"{float(share):.0%} reviewed" for share in after]
            figures = [
                f"{value:.3f}" for value in (scores["accuracy"], *after.values())
            ]
            rows.append([montage, f"{scores['ece']:.3f}", *figures])
    return table(["montage", "ECE", "accuracy of all", *shares], rows)


def main():
    """Write the card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("accuracy", type=Path, help="what accuracy.py wrote")
    parser.add_argument("card", type=Path, help="the page to write")
    args = parser.parse_args()
    found = json.loads(args.accuracy.read_text())
    clf = MC2SleepClassifier.from_pretrained("small", device="cpu")
    stager = clf.stager_
    told = stager.provenance[-1]
    by_stage = ", ".join(f"{stage} {n:,}" for stage, n in told["n_epochs"].items())
    text = TEMPLATE.format(
        first_source=stager.provenance[0]["source"],
        source=told["source"],
        n_parameters=sum(p.numel() for p in stager.net.parameters()),
        sequence_length=stager.net.config.sequence_length,
        scaling=stager.scaling,
        package_version=found["package_version"],
        n_nights=told["n_nights"],
        n_subjects=told["n_subjects"],
        n_epochs=f"{sum(told['n_epochs'].values()):,}",
        by_stage=by_stage,
        n_validation=len(told["validation_subjects"]),
        n_test=len(told["test_subjects"]),
        temperature=stager.calibration_temperature,
        fold=told["fold"],
        seed=told["seed"],
        n_test_nights=found["n_nights"],
        scores_table=scores_table(found["results"]),
        stages_table=stages_table(found["results"]),
        review_table=review_table(found["results"]),
    )
    args.card.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
