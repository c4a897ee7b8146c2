"""The trainer that pretraining and fine-tuning share."""

import copy
import json
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from .._constants import STAGES, UNSCORED
from .._utils import check_fname, importing
from ..data.nights import AnyNight, Batch, count_batches, iterate_batches, read_ahead
from .checkpoints import fingerprint, load_checkpoint, reserve, save_checkpoint
from .phases import Phase

# MNE's logger by its name: training also runs where MNE is not installed.
logger = logging.getLogger("mne")

_WARM_UP = 0.1  # share of the steps in which the learning rate rises (our choice)
_MAX_GRADIENT_NORM = 1.0  # gradients are clipped to it (our choice)
# What a checkpoint holds, besides weights and optimizer.
_PROGRESS = ("step", "n_steps", "rows", "best", "best_score", "best_train_epoch")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch inside the block, and restore its global state afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def train(
    phase: Phase,
    nights: Sequence[AnyNight] | Callable[[int], Sequence[AnyNight]],
    held_out: Sequence[AnyNight],
    history: list[dict],
    progress: Callable | None = None,
    checkpoint: str | Path | None = None,
    callback: Callable[[dict], Any] | None = None,
) -> None:
    """Run one phase of the training.

    The network of ``phase`` is changed in place, and ends with the best weights, also
    after an interruption. ``history`` gets the losses and the validation score of each
    train epoch, and ``callback`` is called with them. ``progress`` is MNE's ProgressBar
    or a class with the same interface.

    ``nights`` and those to stop early by, ``held_out``, are encoded for `Finetuning`. A
    callable gets the number of the train epoch, from 1, and returns its nights, of the
    same lengths each time.

    ``checkpoint`` is a file ``*.pt`` that is written after each train epoch. If it
    exists, the training resumes from it, and ends with the same weights to the bit.

    If torch.distributed is initialised, its processes train together: a step takes
    ``batch_size`` sequences in each and averages the gradients. Losses, the negatives
    of InfoNCE and BatchNorm are those of each process's own sequences.
    """
    rank, world_size = _rank_and_world_size()
    model: nn.Module = phase
    if world_size > 1:
        # It also copies the weights of the first process to the others. Fine-tuning
        # gives no gradient to the backbones.
        model = DistributedDataParallel(phase, find_unused_parameters=True)
    fname, bar = None, None
    if checkpoint is not None:
        fname = check_fname(checkpoint, (".pt",), overwrite=True)
    reserved = reserve(fname) if fname and rank == 0 else nullcontext()
    with reserved, seeded(phase.options.seed):
        state = _State(phase)
        if fname:
            state.resume(fname)
        history += state.rows
        try:
            while not state.is_finished:
                current = nights(len(state.rows) + 1) if callable(nights) else nights
                state.count_steps(current)
                if bar is None and progress and rank == 0:
                    bar = progress(state.n_steps, mesg=phase.name)
                    bar.update_with_increment_value(state.step)
                losses = _train_once(model, state, current, bar)
                row = state.end_train_epoch(losses, held_out)
                history.append(row)
                if fname and rank == 0:
                    state.save(fname)
                if callback is not None and rank == 0:
                    callback(row)
        finally:
            phase.load_state_dict(state.best)
            logger.info("Kept train epoch %d.", state.best_train_epoch)


def _train_once(
    model: nn.Module, state: "_State", nights: Sequence[AnyNight], bar: Any
) -> dict[str, float]:
    """Pass over the nights once, and return the mean of each loss."""
    phase, rank, rows = state.phase, _rank_and_world_size()[0], []
    # One order for all processes, but masks and dropout of their own. Seeds that
    # follow from the train epoch need no place in a checkpoint.
    seed = [phase.options.seed, len(state.rows)]
    rng, own = np.random.default_rng(seed), np.random.SeedSequence([*seed, rank])
    torch.manual_seed(int(own.generate_state(1)[0]))
    model.train()
    for batch in _batches(phase, nights, rng):
        losses = model(batch)
        loss = sum(losses.values())
        terms = torch.stack([loss, *losses.values()]).detach().float()
        rows.append(_mean_over_processes(terms).tolist())
        # The same in all processes, so all of them stop here.
        if not math.isfinite(rows[-1][0]):
            raise RuntimeError(
                f"The training loss became {rows[-1][0]}. The best weights so far are "
                "kept; train with a lower 'learning_rate'."
            )
        state.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(state.parameters, _MAX_GRADIENT_NORM)
        state.take_step()
        if bar is not None:
            bar.update_with_increment_value(1)
    return dict(zip(("loss", *losses), np.mean(rows, axis=0).tolist(), strict=True))


@torch.no_grad()
def validate(phase: Phase, held_out: Sequence[AnyNight]) -> tuple[str, float]:
    """Return macro-F1 on held-out nights or, where none is scored, minus the loss."""
    if not held_out:
        return "validation_macro_f1", math.nan
    phase.eval()
    if not any(night.is_scored for night in held_out):
        # The same masks at every call make the scores comparable.
        with seeded(phase.options.seed):
            losses = [sum(phase(batch).values()) for batch in _batches(phase, held_out)]
        mean = _mean_over_processes(torch.stack(losses).float())
        return "validation_negative_loss", -float(np.mean(mean.tolist()))
    rank, world_size = _rank_and_world_size()
    counts = _mean_over_processes(_confusion(phase, held_out[rank::world_size]))
    n_scored = counts.sum(dim=1)
    f1 = 2 * counts.diagonal() / (counts.sum(dim=0) + n_scored)
    return "validation_macro_f1", f1[n_scored > 0].mean().item()


def _confusion(phase: Phase, nights: Sequence[AnyNight]) -> Tensor:
    """Count scored epochs by stage (rows) and predicted stage (columns)."""
    length, batch_size = phase.net.config.sequence_length, phase.options.batch_size
    counts = np.zeros((len(STAGES), len(STAGES)), np.float32)
    for night in nights:
        predicted = torch.zeros(len(night.stages), dtype=torch.long)
        for batch in iterate_batches([night], length, batch_size):
            stages = phase.predict(batch).cpu()
            predicted[batch.positions[batch.usable]] = stages[batch.usable]
        scored = night.targets != UNSCORED
        np.add.at(counts, (night.targets[scored], predicted.numpy()[scored]), 1)
    return torch.from_numpy(counts).to(phase.device)


class _State:
    """State of a training that changes with each train epoch."""

    def __init__(self, phase: Phase):
        self.phase, options = phase, phase.options
        self.parameters = list(phase.parameters())
        # Norms, biases, PReLU and mask tokens do not decay.
        groups: list[dict[str, Any]] = [
            {"params": [p for p in self.parameters if (p.ndim >= 2) is is_matrix]}
            | {"weight_decay": options.weight_decay if is_matrix else 0.0}
            for is_matrix in (True, False)
        ]
        with importing():  # this loads torch's compiler
            self.optimizer = torch.optim.AdamW(groups, fused=True)
        self.parts: dict[str, Any] = {"weights": phase, "optimizer": self.optimizer}
        self.average: AveragedModel | None = None
        if options.average_decay:
            average = get_ema_multi_avg_fn(options.average_decay)
            self.average = AveragedModel(phase, multi_avg_fn=average, use_buffers=True)
            self.parts["average"] = self.average
        self.best = copy.deepcopy(phase.state_dict())
        self.best_score, self.best_train_epoch = -math.inf, 0
        self.step, self.n_steps = 0, 0
        self.rows: list[dict] = []

    @property
    def is_finished(self) -> bool:
        """Whether the training has ended."""
        longest = self.best_train_epoch + self.phase.options.patience
        return len(self.rows) >= min(longest, self.phase.n_train_epochs)

    def count_steps(self, nights: Sequence[AnyNight]) -> None:
        """Count the steps of the training, which the learning rate depends on."""
        phase, (_, world_size) = self.phase, _rank_and_world_size()
        length = phase.net.config.sequence_length
        n_batches = count_batches(nights, length, phase.options.batch_size * world_size)
        n_steps = phase.n_train_epochs * n_batches
        if self.n_steps not in (0, n_steps):
            raise ValueError(
                f"The nights give {n_steps} training steps, but gave {self.n_steps} "
                "before. Pass nights of the same lengths, or name another checkpoint."
            )
        self.n_steps = n_steps

    def take_step(self) -> None:
        """Update the weights, and their average if there is one."""
        share = self.step / self.n_steps
        factor = max(share, 1e-3) / _WARM_UP
        if share >= _WARM_UP:
            rest = (share - _WARM_UP) / (1 - _WARM_UP)
            factor = 0.5 * (1 + math.cos(math.pi * rest))
        for group in self.optimizer.param_groups:
            group["lr"] = self.phase.options.learning_rate * factor
        self.optimizer.step()
        self.step += 1
        if self.average is not None:
            self.average.update_parameters(self.phase)

    def end_train_epoch(
        self, losses: dict[str, float], held_out: Sequence[AnyNight]
    ) -> dict[str, Any]:
        """Validate the weights, keep them if they are the best, and return the row."""
        phase: Any = self.phase if self.average is None else self.average.module
        # Only in BatchNorm's statistics do the processes differ: take the first one's.
        if _rank_and_world_size()[1] > 1:
            for buffer in phase.buffers():
                distributed.broadcast(buffer, src=0)
        name, score = validate(phase, held_out)
        number = len(self.rows) + 1
        row = {"phase": self.phase.name, "train_epoch": number, **losses, name: score}
        logger.debug("Train epoch %d: %s", number, row)
        self.rows.append(row)
        if score > self.best_score or not held_out:
            self.best_score, self.best_train_epoch = score, number
            self.best = copy.deepcopy(phase.state_dict())
        return row

    @property
    def origin(self) -> str:
        """What must be the same for a checkpoint to resume, as JSON."""
        origin = {
            "phase": self.phase.name,
            "number of processes": _rank_and_world_size()[1],
            "fingerprint of the frozen weights": fingerprint(self.phase.frozen),
            **asdict(self.phase.net.config),
            **asdict(self.phase.options),
        }
        # A search over parameters passes NumPy scalars.
        return json.dumps(origin, default=np.generic.item)

    def save(self, fname: Path) -> None:
        """Write a checkpoint."""
        states = {name: part.state_dict() for name, part in self.parts.items()}
        progress = {name: getattr(self, name) for name in _PROGRESS}
        save_checkpoint(fname, self.origin, states | progress)

    def resume(self, fname: Path) -> None:
        """Continue from a checkpoint, if it exists; the first process reads it."""
        rank, world_size = _rank_and_world_size()
        found: list[Any] = [None]
        if rank == 0 and fname.exists():
            found = [load_checkpoint(fname, self.origin)]
        if world_size > 1:
            distributed.broadcast_object_list(found, src=0, device=self.phase.device)
        if (saved := found[0]) is not None:
            for name, part in self.parts.items():
                part.load_state_dict(saved[name])
            vars(self).update({name: saved[name] for name in _PROGRESS})


def _batches(
    phase: Phase, nights: Sequence[AnyNight], rng: np.random.Generator | None = None
) -> Iterator[Batch]:
    """Return the part of each batch that this process computes."""
    shard, length = _rank_and_world_size(), phase.net.config.sequence_length
    batch_size = phase.options.batch_size * shard[1]
    batches = iterate_batches(nights, length, batch_size, rng, shard)
    # A CPU computes with all its cores; a GPU would wait for the reading.
    return batches if phase.device.type == "cpu" else read_ahead(batches)


def _rank_and_world_size() -> tuple[int, int]:
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def _mean_over_processes(tensor: Tensor) -> Tensor:
    world_size = _rank_and_world_size()[1]
    if world_size > 1:
        distributed.all_reduce(tensor)
    return tensor / world_size
