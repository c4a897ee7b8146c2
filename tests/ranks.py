"""Trainings that test_distributed runs by several processes, and by one.

As a script under torchrun, ``ranks.py FOLDER``: the first time one process is killed,
the second time all is done.
"""

import json
import os
import signal
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from stagers import TINY_SIZES
from torch import distributed, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from mne_mc2sleep import training
from mne_mc2sleep._constants import N_TIMES
from mne_mc2sleep.data.nights import Night
from mne_mc2sleep.network import MC2SleepConfig, MC2SleepNet

# Of all processes together.
BATCH_SIZE = 4
OPTIONS = training.TrainingOptions(
    pretrain_train_epochs=4,
    finetune_train_epochs=4,
    batch_size=BATCH_SIZE,
    learning_rate=3e-3,
    patience=9,
    excluded_neighbors=1,
    validation_fraction=0.3,
    seed=0,
)


def make_night(seed, n_epochs=8, scored=True):
    """Return a night of noise in which some epochs are unscored or unusable."""
    rng = np.random.default_rng(seed)
    stages = rng.integers(0, 5, n_epochs) if scored else np.full(n_epochs, -1)
    stages[: seed % 4] = -1
    usable = np.ones(n_epochs, bool)
    usable[n_epochs - seed % 3 :] = False
    inputs = torch.from_numpy(rng.normal(0, 30, (n_epochs, N_TIMES)).astype("f4"))
    return Night(inputs, stages.astype("i1"), usable, seed)


def make_net(dropout=0.0, batch_norm=False):
    """Return a tiny network, by default without what tells a batch from its parts."""
    with training.seeded(0):
        net = MC2SleepNet(
            MC2SleepConfig(sequence_layers=1, dropout=dropout, **TINY_SIZES)
        )
    for module in [] if batch_norm else list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm1d):
                setattr(module, name, nn.Identity())
    return net


def finetune(options):
    """Fine-tune on nights of two or three sequences; held-out nights are scored."""
    net = make_net().eval()
    train, held_out = (
        [
            replace(night, inputs=torch.stack(net.encode(night.inputs), dim=1).detach())
            for night in map(partial(make_night, n_epochs=15), seeds)
        ]
        for seeds in (range(5), range(5, 8))
    )
    history = []
    training.finetune(net, train, held_out, options, history)
    return net, history


def pretrain(options):
    """Pretrain without masks on six sequences; held-out nights are not scored."""
    net, history = make_net(), []
    options = replace(options, reconstruction_weight=0.0)
    held_out = [make_night(seed, scored=False) for seed in range(6, 12)]
    training.pretrain(net, list(map(make_night, range(6))), held_out, options, history)
    return net, history


def pretrain_real(options, checkpoint=None, cut_off_in=None):
    """Pretrain with BatchNorm, dropout, masks and averaged weights."""
    net, history = make_net(dropout=0.1, batch_norm=True), []
    options = replace(options, average_decay=0.9)

    def nights(train_epoch):
        if train_epoch == cut_off_in:
            raise KeyboardInterrupt
        return list(map(make_night, range(6)))

    held_out = [make_night(7)]  # fewer nights than processes
    training.pretrain(net, nights, held_out, options, history, checkpoint=checkpoint)
    return net, history


def be_killed_once(folder, options, write):
    """Train with a checkpoint, and be killed in the middle if there is none yet."""
    checkpoint, steps = folder / "killed.safetensors", []
    # The one that writes the checkpoint and has the lock.
    is_victim = distributed.get_rank() == 0 and not checkpoint.exists()

    def count(*_):
        steps.append(1)
        # Two steps make a train epoch: in the middle of the third.
        if is_victim and len(steps) == 6:
            os.kill(os.getpid(), signal.SIGKILL)

    handle = register_optimizer_step_pre_hook(count)
    net, history = pretrain_real(options, checkpoint)
    handle.remove()
    write("killed", net, [*history, {"n_steps": len(steps)}])


def compare(folder, options, write):
    """Run what is compared with one process, or with itself."""
    write("finetune", *finetune(options))
    write("pretrain own", *pretrain(options))
    write("real", *pretrain_real(options))
    checkpoint = folder / "cut off.safetensors"
    with training.interruptible():
        pretrain_real(options, checkpoint, cut_off_in=3)
    write("real resumed", *pretrain_real(options, checkpoint))


def main():
    """Be one of the processes."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    folder = Path(sys.argv[1])
    rank, n_ranks = distributed.get_rank(), distributed.get_world_size()

    def write(name, net, history):
        fname = folder / f"{name} {rank}.json"
        fname.write_text(json.dumps(history))
        save_file(net.state_dict(), fname.with_suffix(".safetensors"))

    options = replace(OPTIONS, batch_size=BATCH_SIZE // n_ranks)
    be_killed_once(folder, options, write)
    compare(folder, options, write)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
