r"""Write the model card of the shipped weights: no figure in it is typed by hand.

::

    python benchmarks/accuracy.py band_power_nights.npz --json docs/accuracy.json
    python benchmarks/real_eeg.py --ucddb ucddb.npz --pydynamo pydynamo.npz \
        --heads sleep_edf_heads.npz --json docs/real_eeg.json
    python training_scripts/write_model_card.py docs/accuracy.json docs/real_eeg.json \
        docs/model_card.md
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mne_mc2sleep import MC2SleepClassifier

STAGES = ("WAKE", "N1", "N2", "N3", "REM")
STAGERS = {
    "mne_mc2sleep": "**ours**",
    "yasa": "YASA",
    "robust_teacher:stage": "RobustSleepNet",
}

TEMPLATE = """# Model card: `small`

The weights that `MC2SleepClassifier.from_pretrained()` loads. This page is written by
`training_scripts/write_model_card.py`.

> **Not a medical device.** The weights were tested on few real recordings. Compare them
> with your own scorer before you rely on them, and adapt them to your laboratory with
> scored nights of your own (`clf.finetune`, see [how](finetune.md)).

## What they are

MC2SleepNet (arXiv 2502.17470), size `small` ({n_parameters:,} parameters, our choice
of sizes), for one EEG channel. The network reads sequences of {sequence_length} epochs.
Each recording is filtered towards a common spectrum (`scaling="{scaling}"`).

## Scores on real EEG

None of these subjects was trained on, except SC412 (see below). The first four sets and
the validation heads served to choose between weights, and to choose the models of
RobustSleepNet; no choice was made on the test heads. Written by
`benchmarks/real_eeg.py`:

{real_table}

- *UCDDB 022*: a whole night of a patient with suspected sleep apnea, and the same night
  cut into half hours that are staged alone.
- *pyDYNAM-O*: 84 minutes of one sleeper, whole and cut.
- *Glued heads*: Sleep-EDF, of which only the first 5 s of each epoch were available.
  Each epoch is glued from its own 5 s and those of its neighbors, so its stage is less
  clear than in a real epoch.
- The interval of kappa is a bootstrap over recordings, or over blocks of 10 minutes
  where a set has fewer than five recordings.

## What they were trained on

{steps}

Teachers of the last step: {teachers}. A teacher stages the same signal that the network
is trained on; the target is a mixture of its probabilities and of the expert's stage.
Subjects of the test and validation sets were left out of every source, except that
SC412 (validation heads) was among the resynthesised nights of the first step.

Resynthesised nights have the band powers of real nights. Montage, recorder and texture
are drawn at random, and never from the stage. The experts scored by R&K; stages 3 and 4
became N3. In most of these nights bouts of a single epoch are missing, so there is less
N1 than in real nights.

The calibration temperature is {temperature:.2f}.

## Scores on resynthesised nights

{n_test_nights} nights of {n_test} subjects that were not trained on, by
`benchmarks/accuracy.py`. Such nights are in-distribution for our weights and
out-of-distribution for YASA, which was trained on real EEG: the table shows our own
progress and does not compare the stagers. "Powers" is gradient boosting on the band
powers from which the signals were made, trained on the same nights.

{scores_table}

F1 by stage:

{stages_table}

"30 min" cuts each night into recordings of 30 minutes. YASA does not accept 50 Hz.
"Drawn spindles" adds spindles and K-complexes by stage, which no training signal has.

## Calibration

Expected calibration error (15 bins), and accuracy if the least certain epochs are left
to a human (`epochs_to_review`), on the resynthesised nights:

{review_table}

Fpz-Cz, all its epochs; below the diagonal on the left, the weights are too confident:

![Reliability diagram and risk-coverage curve](figures/calibration.png)

## Limits

- N1 is found least often; see its F1 above.
- Whole nights on which the weights were tested: one. How they stage children, patients
  with other diseases, or other channels than those above is not known.
- They use one EEG channel; EOG and EMG are not used.
- Recordings of a few epochs, of a single stage, or with a band of less than 25 Hz are
  staged with less confidence.

The data are under the Open Data Commons Attribution License 1.0. Cite Kemp et al.
(2000, <https://doi.org/10.1109/10.867928>), Goldberger et al. (2000,
<https://doi.org/10.1161/01.CIR.101.23.e215>) and, for UCDDB,
<https://doi.org/10.13026/C26C7D>.
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


def real_table(results):
    """Return the table of the scores on real EEG."""
    rows = []
    for name, by_stager in results.items():
        for stager, scores in sorted(by_stager.items()):
            low, high = scores["kappa_interval"]
            rows.append(
                [
                    name,
                    STAGERS.get(stager, stager),
                    scores["n_epochs"],
                    f"{scores['kappa']:.3f} ({low:.2f} to {high:.2f})",
                    f"{scores['macro_f1']:.3f}",
                    f"{scores['f1_N1']:.2f}",
                    f"{scores['ece']:.3f}",
                ]
            )
    header = ["recordings", "stager", "epochs", "kappa (95 % interval)"]
    return table([*header, "macro-F1", "F1 of N1", "ECE"], rows)


def describe_step(number, step):
    """Describe one step of the training in a sentence or two."""
    counts = step["n_epochs"]
    text = (
        f"{number}. *{step['phase'].capitalize()}* on {step['source']}. "
        f"{step['n_nights']} resynthesised nights of {step['n_subjects']} subjects, "
        f"{sum(counts.values()):,} scored epochs"
    )
    if "n_head_nights" in step:
        text += (
            f"; {step['n_head_nights']} glued nights of "
            f"{len(step['heads_subjects'])} of them, "
            f"{sum(step['n_head_epochs'].values()):,} scored epochs"
        )
    if step.get("ucddb_subjects"):
        text += f"; runs of {len(step['ucddb_subjects'])} patients of UCDDB"
    return text + f". Seed {step['seed']}."


def main():
    """Write the card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("accuracy", type=Path, help="the file that accuracy.py wrote")
    parser.add_argument("real_eeg", type=Path, help="the file that real_eeg.py wrote")
    parser.add_argument("card", type=Path, help="the page to write")
    args = parser.parse_args()
    found = json.loads(args.accuracy.read_text())
    real = json.loads(args.real_eeg.read_text())
    stager = MC2SleepClassifier.from_pretrained("small", device="cpu").stager_
    steps = stager.provenance
    text = TEMPLATE.format(
        n_parameters=sum(p.numel() for p in stager.net.parameters()),
        sequence_length=stager.net.config.sequence_length,
        scaling=stager.scaling,
        real_table=real_table(real["results"]),
        steps="\n".join(describe_step(i, step) for i, step in enumerate(steps, 1)),
        teachers="; ".join(steps[-1]["teachers"]),
        n_test=len(steps[0]["test_subjects"]),
        temperature=stager.calibration_temperature,
        n_test_nights=found["n_nights"],
        scores_table=scores_table(found["results"]),
        stages_table=stages_table(found["results"]),
        review_table=review_table(found["results"]),
    )
    args.card.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
