r"""Write the model card of the shipped weights and its metrics.

No figure in them, nor in the README's table of real EEG, is typed by hand::

    python benchmarks/accuracy.py band_power_nights.npz --json docs/accuracy.json
    python benchmarks/real_eeg.py --ucddb ucddb.npz --pydynamo pydynamo.npz \
        --heads sleep_edf_heads.npz --json docs/real_eeg.json
    python training_scripts/write_model_card.py docs/accuracy.json docs/real_eeg.json \
        docs/model_card.md --readme README.md

``metrics.json`` is written beside the card.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from mne_mc2sleep import MC2SleepClassifier, __version__

STAGES = ("WAKE", "N1", "N2", "N3", "REM")
OURS = "mne_mc2sleep"
STAGERS = {
    OURS: "`small`",
    "yasa": "YASA {yasa}",
    "robust_teacher:stage": "RobustSleepNet",
    # Run beside the project, by an adapter that is not part of it: GSSC is AGPL.
    "gssc_stager:stage": "GSSC 0.0.9",
}
METRICS = ("kappa", "accuracy", "macro_f1", *(f"f1_{stage}" for stage in STAGES), "ece")
# The names of Hugging Face's metrics.
FRONT_METRICS = {"kappa": "cohen_kappa", "accuracy": "accuracy", "macro_f1": "f1"}
README_TABLE = re.compile(r"(?<=<!-- real EEG -->\n).*?(?=<!-- end -->)", re.DOTALL)

TEMPLATE = """---
license: bsd-3-clause
library_name: mne-mc2sleep
tags: [sleep-staging, eeg, polysomnography, mne, yasa]
metrics: {front_metrics}
model-index:
  - name: {name}
    results:
{front_results}
---

# Model card: `{name}`

The weights that `MC2SleepClassifier.from_pretrained()` loads:
[MC2SleepNet](https://arxiv.org/abs/2502.17470) for one EEG channel, {n_parameters:,}
parameters. The network reads {sequence_length} epochs of 30 s at once.

> **Not a medical device.** The weights were tested on few real recordings. Compare them
> with your own scorer before you rely on them, and
> [adapt them to your laboratory](finetune.md).

## Use

```python
from mne_mc2sleep import MC2SleepClassifier

clf = MC2SleepClassifier.from_pretrained()
hypno = clf.predict("night.edf")
```

Input: one EEG channel of an adult. Output: WAKE, N1, N2, N3 or REM for each 30 s, with
calibrated probabilities.

## Scores on real EEG

Cohen's kappa with a 95 % interval, by `benchmarks/real_eeg.py`. The bootstrap is over
recordings, or over blocks of 10 minutes for fewer than five recordings.

{peers_table}

`{name}` in detail, with F1 by stage and the expected calibration error (ECE):

{real_table}

- *UCDDB 022*: a whole night of a patient with suspected sleep apnea. *pyDYNAM-O*: 84
  minutes of one sleeper. *Half hours*: each half hour is staged alone.
- *Glued heads*: Sleep-EDF, of which only the first 5 s of each epoch were available.
  Each epoch is glued from its own 5 s and those of its neighbors, so its stage is less
  clear than in a real epoch.
- No subject was trained on{exception}.
- All sets but the test heads served to choose between weights, and between models of
  RobustSleepNet.

## Scores on resynthesised nights

{n_test_nights} nights of {n_test} subjects that were not trained on
(`benchmarks/accuracy.py`). Such signals are new to YASA but not to our weights, so do
not compare the two. "Powers" is gradient boosting on the band powers of the epochs,
"reviewed" the accuracy after correction of the least certain 10 % of the epochs.

{accuracy_table}

"Drawn spindles" adds spindles and K-complexes by stage. YASA does not accept 50 Hz.
The figure is for Fpz-Cz. Below the diagonal, the weights are too confident.

![Reliability diagram and risk-coverage curve](figures/calibration.png)

## Training

{steps}

Teachers: {teachers}.

At last, the trained network taught one with a faster encoder.

Most resynthesised nights lack bouts of a single epoch, so they have less N1 than real
nights. The experts scored by R&K; stages 3 and 4 became N3. Scaling is `"{scaling}"`,
the calibration temperature {temperature:.2f}. See [the method](method.md).

## Limits

- N1 is found least often.
- The only whole night in the test is that of one patient. Children, patients with other
  diseases, and other channels than those above were not tested.
- Recordings of a few epochs, of a single stage, or with a band of less than 25 Hz are
  staged with less confidence.
- EOG and EMG are not used.

## Data

All figures are in [metrics.json](metrics.json). The data are under the Open Data
Commons Attribution License 1.0: Sleep-EDF (Kemp et al. 2000,
<https://doi.org/10.1109/10.867928>; Goldberger et al. 2000,
<https://doi.org/10.1161/01.CIR.101.23.e215>) and UCDDB
(<https://doi.org/10.13026/C26C7D>).
"""


def table(header, rows):
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def peers_table(real):
    """Return the table of kappa on real EEG, a column for each stager."""
    rows = []
    for name, by_stager in real["results"].items():
        row = [name, f"{by_stager[OURS]['n_epochs']:,}"]
        for stager in STAGERS:
            if scores := by_stager.get(stager):
                low, high = scores["kappa_interval"]
                row.append(f"{scores['kappa']:.3f} ({low:.2f}-{high:.2f})")
            else:
                row.append("not measured")
        rows.append(row)
    names = [name.format(**real["versions"]) for name in STAGERS.values()]
    return table(["recordings", "epochs", *names], rows)


def real_table(real):
    """Return the table of our other scores on real EEG."""
    rows = [
        [name, *(f"{by_stager[OURS][metric]:.3f}" for metric in METRICS[1:])]
        for name, by_stager in real["results"].items()
    ]
    return table(["recordings", "accuracy", "macro-F1", *STAGES, "ECE"], rows)


def accuracy_table(accuracy):
    """Return the table of the resynthesised nights, a row for each montage."""
    results = accuracy["results"]
    rows = []
    for key, ours in results.items():
        montage, stager = key.split("|")
        if stager != OURS:
            continue
        others = (results.get(f"{montage}|{other}") for other in ("YASA", "powers"))
        kappas = [f"{scores['kappa']:.3f}" if scores else "" for scores in others]
        reviewed = ours["accuracy_after_review"]["0.1"]
        figures = [ours["accuracy"], reviewed, ours["ece"]]
        row = [montage, f"{ours['kappa']:.3f}", *kappas]
        rows.append(row + [f"{figure:.3f}" for figure in figures])
    header = ["signal", f"kappa of {STAGERS[OURS]}", "YASA", "powers"]
    return table([*header, "accuracy", "reviewed", "ECE"], rows)


def collect_metrics(accuracy, real):
    """Return our scores by set, for ``metrics.json``."""
    wanted = ("n_epochs", *METRICS, "kappa_interval", "interval_over")
    sets = {
        "real": {name: found[OURS] for name, found in real["results"].items()},
        "resynthesised": {
            key.split("|")[0]: scores
            for key, scores in accuracy["results"].items()
            if key.endswith(f"|{OURS}")
        },
    }
    return {
        kind: {
            name: {metric: found[metric] for metric in wanted if metric in found}
            for name, found in by_name.items()
        }
        for kind, by_name in sets.items()
    }


def front_results(metrics):
    """Return the results on real EEG as Hugging Face's front matter lists them."""
    entries = [
        {
            "task": {"type": "time-series-classification", "name": "Sleep staging"},
            "dataset": {"type": re.sub(r"\W+", "-", name.lower()), "name": name},
            "metrics": [
                {"type": known, "name": metric, "value": round(scores[metric], 3)}
                for metric, known in FRONT_METRICS.items()
            ],
        }
        for name, scores in metrics["real"].items()
    ]
    # JSON is YAML.
    return "\n".join(f"      - {json.dumps(entry)}" for entry in entries)


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


def describe_exception(steps):
    """Name the validation subjects that a step was trained on in another form."""
    first, last = steps[0], steps[-1]
    left_out = {*first["test_subjects"], *first["validation_subjects"]}
    seen = sorted(set(last["heads_validation_subjects"]) - left_out)
    where = "among the resynthesised nights of the first step"
    return f", except {', '.join(seen)} (validation heads), {where}" if seen else ""


def main():
    """Write the card, its metrics, and the README's table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("accuracy", type=Path, help="the file that accuracy.py wrote")
    parser.add_argument("real_eeg", type=Path, help="the file that real_eeg.py wrote")
    parser.add_argument("card", type=Path, help="the page to write")
    parser.add_argument("--readme", type=Path, help="whose table to write, if any")
    args = parser.parse_args()
    accuracy = json.loads(args.accuracy.read_text("utf-8"))
    real = json.loads(args.real_eeg.read_text("utf-8"))
    stager = MC2SleepClassifier.from_pretrained("small", device="cpu").stager_
    steps = stager.provenance
    metrics = collect_metrics(accuracy, real)
    text = TEMPLATE.format(
        name="small",
        front_metrics=json.dumps(list(FRONT_METRICS.values())),
        front_results=front_results(metrics),
        n_parameters=sum(p.numel() for p in stager.net.parameters()),
        sequence_length=stager.net.config.sequence_length,
        peers_table=peers_table(real),
        real_table=real_table(real),
        exception=describe_exception(steps),
        n_test_nights=accuracy["n_nights"],
        n_test=len(steps[0]["test_subjects"]),
        accuracy_table=accuracy_table(accuracy),
        steps="\n".join(describe_step(i, step) for i, step in enumerate(steps, 1)),
        teachers="; ".join(steps[-1]["teachers"]),
        scaling=stager.scaling,
        temperature=stager.calibration_temperature,
    )
    args.card.write_text(text, "utf-8")
    written = {"model": "small", "version": __version__, **metrics}
    text = json.dumps(written, indent=1) + "\n"
    args.card.with_name("metrics.json").write_text(text, "utf-8")
    if args.readme:
        text = args.readme.read_text("utf-8")
        text = README_TABLE.sub(f"{peers_table(real)}\n", text)
        args.readme.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
