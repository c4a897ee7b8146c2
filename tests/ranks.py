"""Trainings that test_distributed runs by several processes, and by one.

As a script under torchrun, ``ranks.py FOLDER``: at the first start one process is
killed, at the second everything is done.
"""

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from stagers import TINY_SIZES
from torch import distributed

from mne_mc2sleep import training
from mne_mc2sleep._constants import N_TIMES
from mne_mc2sleep.data.nights import Night
from mne_mc2sleep.inference.sliding_window import encode_epochs
from mne_mc2sleep.network import MC2SleepConfig, MC2SleepNet

# Of all processes together.
BATCH_SIZE = 4
OPTIONS = training.TrainingOptions(
    pretrain_train_epochs=3,
    finetune_train_epochs=3,
    batch_size=BATCH_SIZE,
    learning_rate=3e-3,
    patience=9,
    average_decay=0.9,
)


def make_night(seed):
    """Return a night of one sequence of noise, all of it scored."""
    rng = np.random.default_rng(seed)
    signals = torch.from_numpy(rng.normal(0, 30, (8, N_TIMES)).astype("f4"))
    return Night(signals, rng.integers(0, 5, 8).astype("i1"), np.ones(8, bool), seed)


def pretrain(options, checkpoint=None, callback=None):
    """Pretrain with BatchNorm, dropout, masks and averaged weights."""
    with training.seeded(0):
        net = MC2SleepNet(MC2SleepConfig(sequence_layers=1, **TINY_SIZES))
    history = []
    nights, held_out = list(map(make_night, range(6))), [make_night(7)]
    phase = training.Pretraining(net, options)
    training.train(
        phase, nights, held_out, history, checkpoint=checkpoint, callback=callback
    )
    return net, history


def finetune(options):
    """Fine-tune a network without dropout."""
    with training.seeded(0):
        config = MC2SleepConfig(sequence_layers=1, dropout=0.0, **TINY_SIZES)
        net = MC2SleepNet(config).eval()
    nights = [
        night.encoded(encode_epochs(net, night.signals))
        for night in map(make_night, range(9))
    ]
    history = []
    phase = training.Finetuning(net, options)
    training.train(phase, nights[:6], nights[6:], history)
    return net, history


def main():
    """Be one of the processes."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    folder = Path(sys.argv[1])
    options = replace(OPTIONS, batch_size=BATCH_SIZE // distributed.get_world_size())

    def be_killed(row):
        # The process that has the lock, after the checkpoint of two train epochs.
        if row["train_epoch"] == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoint = folder / "checkpoint.pt"
    callback = None if checkpoint.exists() else be_killed
    results = {
        "resumed": pretrain(options, checkpoint, callback),
        "whole": pretrain(options),
        "finetuned": finetune(options),
    }
    for name, (net, history) in results.items():
        fname = folder / f"{name} {distributed.get_rank()}.pt"
        torch.save(net.state_dict(), fname)
        fname.with_suffix(".json").write_text(json.dumps(history))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
