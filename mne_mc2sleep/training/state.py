"""Where a training stands from one train epoch to the next."""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..data.nights import count_batches
from .checkpoints import fingerprint, load_checkpoint, save_checkpoint
from .distributed import gather, n_ranks, rank

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from torch import Tensor, nn

    from ..data.nights import Batch, Night
    from ..network import Embeddings, MC2SleepNet
    from .options import TrainingOptions

# Share of the steps in which the learning rate rises (our choice).
_WARM_UP = 0.1
# Where every torch that we support has a fused AdamW.
_FUSED_DEVICES = ("cpu", "cuda")


class Phase(Protocol):
    """One of the two stages of training, for the loop that they share."""

    name: str
    train_epochs: int
    net: MC2SleepNet
    trained: nn.Module
    options: TrainingOptions

    def embed(self, batch: Batch) -> Embeddings:
        """Return the embeddings of shape (batch, sequence, width)."""

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms whose sum is minimised."""


class TrainingState:
    """All that a training changes from one train epoch to the next."""

    def __init__(self, phase: Phase):
        self.phase, options = phase, phase.options
        self.device = next(phase.trained.parameters()).device
        self.rng = np.random.default_rng(options.seed)
        self.optimizer = torch.optim.AdamW(
            phase.trained.parameters(),
            lr=options.learning_rate,
            weight_decay=options.weight_decay,
            fused=self.device.type in _FUSED_DEVICES,
        )
        self.n_steps = math.inf  # until the nights are known
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: _warm_up_and_cosine(step / self.n_steps)
        )
        self.average = None
        if options.average_decay > 0:
            average = get_ema_multi_avg_fn(options.average_decay)
            self.average = AveragedModel(
                phase.trained, multi_avg_fn=average, use_buffers=True
            )
            self.optimizer.register_step_post_hook(
                lambda *_: self.average.update_parameters(phase.trained)
            )
        self.best = copy.deepcopy(phase.trained.state_dict())
        self.best_score, self.best_train_epoch = -math.inf, 0
        self.rows: list[dict] = []

    @property
    def train_epoch(self) -> int:
        """How many train epochs are done."""
        return len(self.rows)

    @property
    def is_finished(self) -> bool:
        """Whether the training has ended."""
        waited = self.train_epoch - self.best_train_epoch
        is_last = self.train_epoch >= self.phase.train_epochs
        return is_last or waited >= self.phase.options.patience

    def plan(self, nights: Sequence[Night]) -> None:
        """Count the steps, from which the learning rate follows."""
        n_steps = self.phase.train_epochs * count_batches(
            nights,
            self.phase.net.config.sequence_length,
            self.phase.options.batch_size * n_ranks(),
        )
        if self.n_steps not in (math.inf, n_steps):
            raise ValueError(
                f"The nights make {n_steps} steps of training, and made {self.n_steps} "
                "before. Pass nights of the same lengths in every train epoch; to "
                "train on others, name another checkpoint."
            )
        self.n_steps = n_steps

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Hold the averaged weights, if there are any, inside the block."""
        if self.average is None:
            yield
            return
        trained = self.phase.trained
        current = copy.deepcopy(trained.state_dict())
        trained.load_state_dict(self.average.module.state_dict())
        yield
        trained.load_state_dict(current)

    def note(self, row: dict, score: float, has_held_out: bool) -> None:
        """End a train epoch: keep the weights if they are the best."""
        self.rows.append(row)
        if score > self.best_score or not has_held_out:
            self.best_score, self.best_train_epoch = score, self.train_epoch
            self.best = copy.deepcopy(self.phase.trained.state_dict())

    @property
    def origin(self) -> dict[str, Any]:
        """What must be the same for a checkpoint to go on."""
        net, trained = self.phase.net, self.phase.trained
        learns = {tensor.data_ptr() for tensor in trained.state_dict().values()}
        frozen = {
            name: tensor
            for name, tensor in net.state_dict().items()
            if tensor.data_ptr() not in learns
        }
        return {
            "phase": self.phase.name,
            "number of processes": n_ranks(),
            "fingerprint of the frozen weights": fingerprint(frozen),
            **asdict(net.config),
            **asdict(self.phase.options),
        }

    def save(self, fname: Path) -> None:
        """Write a checkpoint; every rank must call this, and one of them writes."""
        tensors = {
            "weights": self.phase.trained.state_dict(),
            "best": self.best,
            "average": {} if self.average is None else self.average.state_dict(),
            "optimizer": {
                f"{index} {name}": tensor
                for index, members in self.optimizer.state_dict()["state"].items()
                for name, tensor in members.items()
            },
            "random": {
                f"{index} {name}": state
                for name, own in self._random_states().items()
                for index, state in enumerate(gather(own.to(self.device)))
            },
        }
        record = {
            "n_steps": self.n_steps,
            "rows": self.rows,
            "best_score": self.best_score,
            "best_train_epoch": self.best_train_epoch,
            "rng": self.rng.bit_generator.state,
            "schedule": self.schedule.state_dict(),
            "param_groups": self.optimizer.state_dict()["param_groups"],
        }
        if rank() == 0:
            save_checkpoint(fname, self.origin, record, tensors)

    def load(self, fname: Path) -> None:
        """Go to where the checkpoint stands."""
        record, tensors = load_checkpoint(fname, self.origin)
        self.phase.trained.load_state_dict(tensors["weights"])
        self.best = tensors["best"]
        if self.average is not None:
            self.average.load_state_dict(tensors["average"])
        state = defaultdict(dict)
        for key, tensor in tensors["optimizer"].items():
            index, name = key.split()
            state[int(index)][name] = tensor
        self.optimizer.load_state_dict(
            {"state": dict(state), "param_groups": record["param_groups"]}
        )
        self.schedule.load_state_dict(record["schedule"])
        self.rng.bit_generator.state = record["rng"]
        self.n_steps, self.rows = record["n_steps"], record["rows"]
        self.best_score = record["best_score"]
        self.best_train_epoch = record["best_train_epoch"]
        torch.set_rng_state(tensors["random"][f"{rank()} cpu"])
        if self.device.type == "cuda":
            state = tensors["random"][f"{rank()} cuda"]
            torch.cuda.set_rng_state(state, self.device)

    def _random_states(self) -> dict[str, Tensor]:
        states = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.device)
        return states


def _warm_up_and_cosine(progress: float) -> float:
    """Return the factor of the learning rate at ``progress`` from 0 to 1."""
    if progress < _WARM_UP:
        return max(progress, 1e-3) / _WARM_UP
    rest = (progress - _WARM_UP) / (1 - _WARM_UP)
    return 0.5 * (1 + math.cos(math.pi * min(rest, 1.0)))
