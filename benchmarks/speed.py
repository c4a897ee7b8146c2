"""Time staging and training, beside YASA on the same night in the same run.

Prints, for YASA and both sizes of MC2SleepNet: parameters; seconds of a new process
that stages one EDF file; of staging it once more in that process; the peak memory.
Then the 30-s epochs per second of both stages of the training. The weights are hardly
trained: what they say does not matter to the time that they take.

    python benchmarks/speed.py [--hours 8] [--repeats 3]
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CHANNEL = "EEG Fpz-Cz"
STAGERS = ("yasa", "small", "base")
N_TRAIN_NIGHTS = 4


def main():
    """Run every stager in processes of their own and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--hours", type=float, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", choices=STAGERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(stage(args.one, args.folder)))
        return
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), args.hours)
        runs = {stager: [] for stager in STAGERS}
        for _ in range(args.repeats):
            for stager in STAGERS:
                runs[stager].append(run_process(stager, folder))
    print_staging(runs, args.hours)
    print_training()


def prepare(folder, hours):
    """Write a night as EDF, and untrained weights of both sizes."""
    from mne_mc2sleep import MC2SleepClassifier, simulate_night

    raw, hypno = simulate_night(hours * 3600, random_state=0)
    raw.export(folder / "night.edf", verbose="error")
    part = raw.copy().crop(0, 1200, include_tmax=False)
    for size in STAGERS[1:]:
        clf = MC2SleepClassifier(
            CHANNEL, size=size, pretrain_train_epochs=1, finetune_train_epochs=1
        )
        clf.fit(part, hypno.as_int().to_numpy()[:40], verbose="error")
        clf.save(folder / f"{size}.safetensors")


def run_process(stager, folder):
    """Stage in a new process; return its figures and its whole duration."""
    start = time.perf_counter()
    command = [sys.executable, __file__, "--one", stager, "--folder", folder]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    # Staged twice: the second time is not part of what a new process needs.
    process = time.perf_counter() - start - figures["warm_s"]
    return figures | {"process_s": process}


def stage(stager, folder):
    """Stage the night twice; return the seconds of the second time and the memory."""
    import mne

    mne.set_log_level("error")
    fname, n_parameters = folder / "night.edf", 0
    if stager == "yasa":
        import yasa

        def predict():
            raw = mne.io.read_raw(fname, preload=True)
            return yasa.SleepStaging(raw, eeg_name=CHANNEL).predict()
    else:
        from mne_mc2sleep import MC2SleepClassifier

        clf = MC2SleepClassifier.from_pretrained(folder / f"{stager}.safetensors")
        n_parameters = sum(p.numel() for p in clf.stager_.net.parameters())

        def predict():
            return clf.predict(fname)

    hypno = predict()
    start = time.perf_counter()
    predict()
    return {
        "n_parameters": n_parameters,
        "n_epochs": len(hypno),
        "warm_s": time.perf_counter() - start,
        "peak_MiB": peak_memory(),
    }


def peak_memory():
    """Return the peak memory of this process in MiB (Linux)."""
    # getrusage would count what the parent had before this process was its own.
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def print_staging(runs, hours):
    """Print medians, and ratios to YASA."""
    names = ("process_s", "warm_s", "peak_MiB")
    medians = {
        stager: {name: statistics.median(run[name] for run in done) for name in names}
        for stager, done in runs.items()
    }
    print(
        f"Staging {hours:g} h ({runs['yasa'][0]['n_epochs']} epochs), EDF to hypnogram,"
    )
    print(f"medians of {len(runs['yasa'])} runs, in brackets the ratio to YASA")
    print(f"{'':8}{'parameters':>12}{'process s':>18}{'warm s':>18}{'peak MiB':>18}")
    for stager, done in runs.items():
        row = f"{stager:8}{done[0]['n_parameters']:12,}"
        for name in names:
            median, peer = medians[stager][name], medians["yasa"][name]
            row += f"{median:10.2f} ({median / peer:5.2f})"
        print(row)


def print_training():
    """Print the epochs per second of both stages of the training."""
    from mne_mc2sleep import MC2SleepClassifier, simulate_night

    nights = [simulate_night(4 * 3600, random_state=i) for i in range(N_TRAIN_NIGHTS)]
    raws, hypnos = zip(*nights, strict=True)
    n_epochs = sum(map(len, hypnos))
    print(f"Training on {len(raws)} nights ({n_epochs} epochs), nobody held out")
    for size in STAGERS[1:]:
        clf = MC2SleepClassifier(
            CHANNEL,
            size=size,
            pretrain_train_epochs=1,
            finetune_train_epochs=3,
            validation_fraction=0,
            random_state=0,
        )
        seconds = []
        for train in (clf.pretrain, clf.finetune):
            start = time.perf_counter()
            train(list(raws), list(hypnos), verbose="error")
            seconds.append(time.perf_counter() - start)
        print(
            f"{size:8}pretraining {n_epochs / seconds[0]:8.0f} epochs/s, fine-tuning "
            f"{3 * n_epochs / seconds[1]:8.0f} epochs/s (reading and encoding included)"
        )


if __name__ == "__main__":
    main()
