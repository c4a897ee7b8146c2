"""The trainer that pretraining and fine-tuning share."""

from __future__ import annotations

import copy
import logging
import math
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from sklearn.metrics import confusion_matrix
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from .._constants import STAGES, UNSCORED
from .._utils import check_fname
from ..data.nights import count_batches, iterate_batches, read_ahead
from .checkpoints import fingerprint, load_checkpoint, locked, save_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ..data.nights import AnyNight, Batch
    from .phases import Phase

# MNE's logger by its name: training also runs where MNE is not installed.
logger = logging.getLogger("mne")

# Share of the steps in which the learning rate rises, and the norm that gradients are
# clipped to (our choices).
_WARM_UP = 0.1
_MAX_GRADIENT_NORM = 1.0
# What a checkpoint holds, besides weights and optimizer.
_PROGRESS = ("step", "n_steps", "rows", "best", "best_score", "best_train_epoch")
# Where every torch that we support has a fused AdamW.
_FUSED_DEVICES = ("cpu", "cuda")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch inside the block, and restore its global state afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@contextmanager
def interruptible() -> Iterator[None]:
    """End a training at Ctrl-C but not the session; the best weights are kept."""
    try:
        yield
    except KeyboardInterrupt:
        logger.warning("Training was interrupted: the best weights so far are kept.")


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

    Parameters
    ----------
    phase : Phase
        `Pretraining`, `Finetuning`, or a class of your own. Its network is changed in
        place and holds the best weights at the end, also after an interruption.
    nights : sequence of Night or EncodedNight | callable
        The nights to train on, encoded for `Finetuning`. A callable gets the number of
        the train epoch, from 1, and returns its nights (augmented, for example), of the
        same lengths each time.
    held_out : sequence of Night or EncodedNight
        The nights to stop early by; may be empty.
    history : list of dict
        Gets the losses and the validation score of each train epoch.
    progress : callable | None
        MNE's ProgressBar, or a class with the same interface.
    checkpoint : path-like | None
        A file ``*.pt`` that is written after each train epoch. If it exists, the
        training resumes from it, and ends with the same weights to the bit.
    callback : callable | None
        Called with the row of ``history`` after each train epoch.

    Raises
    ------
    RuntimeError
        If the loss is not finite, or another training writes to the checkpoint.
    ValueError
        If the checkpoint is damaged or belongs to another training, or the lengths of
        the nights change.

    Notes
    -----
    If torch.distributed is initialised, its processes train together by
    DistributedDataParallel: a step takes ``batch_size`` sequences in each process and
    averages the gradients. Losses, the negatives of InfoNCE and BatchNorm are those of
    each process's own sequences. The first process reads and writes the checkpoint.
    """
    model: nn.Module = phase
    if _world_size() > 1:
        # It also copies the weights of the first process to the others. Fine-tuning
        # gives no gradient to the backbones.
        model = DistributedDataParallel(phase, find_unused_parameters=True)
    is_first, fname, bar = _rank() == 0, None, None
    if checkpoint is not None:
        fname = check_fname(checkpoint, (".pt",), overwrite=True)
    with locked(fname if is_first else None), seeded(phase.options.seed):
        state = _State(phase)
        if fname is not None:
            state.resume(fname)
        history += state.rows
        try:
            while not state.is_finished:
                train_epoch = len(state.rows) + 1
                current = nights(train_epoch) if callable(nights) else nights
                state.count_steps(current)
                if bar is None and progress and is_first:
                    bar = progress(state.n_steps, mesg=phase.name)
                    bar.update_with_increment_value(state.step)
                losses = _train_once(model, state, current, bar)
                row = state.end_train_epoch(losses, held_out)
                history.append(row)
                if is_first:
                    logger.debug("Train epoch %d: %s", train_epoch, row)
                    if fname is not None:
                        save_checkpoint(fname, state.origin, state.as_dict())
                    if callback is not None:
                        callback(row)
        finally:
            phase.load_state_dict(state.best)
            if is_first:
                logger.info("Kept train epoch %d.", state.best_train_epoch)


def _train_once(
    model: nn.Module, state: _State, nights: Sequence[AnyNight], bar: Any
) -> dict[str, float]:
    """Pass over the nights once, and return the mean of each loss."""
    phase, n_batches = state.phase, 0
    sums: dict[str, float] = defaultdict(float)
    seed, number = phase.options.seed, len(state.rows)
    # One order for all processes, but masks and dropout of their own. Seeds that
    # follow from the train epoch need no place in a checkpoint.
    rng = np.random.default_rng([seed, number])
    seeds = np.random.SeedSequence([seed, number, _rank()])
    torch.manual_seed(int(seeds.generate_state(1)[0]))
    model.train()
    for batch in _batches(phase, nights, rng):
        with _autocast(phase):
            losses = model(batch)
        loss = sum(losses.values())
        means = _mean_over_processes({"loss": loss, **losses})
        # The same in all processes, so all of them stop here.
        if not math.isfinite(means["loss"]):
            raise RuntimeError(
                f"The training loss became {means['loss']}. The best weights so far "
                "are kept; train with a lower 'learning_rate'."
            )
        state.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(phase.parameters(), _MAX_GRADIENT_NORM)
        state.take_step()
        for name, value in means.items():
            sums[name] += value
        n_batches += 1
        if bar is not None:
            bar.update_with_increment_value(1)
    return {name: value / n_batches for name, value in sums.items()}


@torch.no_grad()
def validate(phase: Phase, held_out: Sequence[AnyNight]) -> tuple[str, float]:
    """Return macro-F1 on held-out nights or, where none is scored, minus the loss."""
    if not held_out:
        return "validation_macro_f1", math.nan
    phase.eval()
    if not any(night.is_scored for night in held_out):
        # The same masks at every call make the scores comparable.
        with seeded(phase.options.seed), _autocast(phase):
            losses = [
                _mean_over_processes({"loss": sum(phase(batch).values())})["loss"]
                for batch in _batches(phase, held_out)
            ]
        return "validation_negative_loss", -float(np.mean(losses))
    counts = _sum_over_processes(
        _confusion(phase, held_out[_rank() :: _world_size()]).to(_device(phase))
    )
    both = counts.sum(dim=0) + counts.sum(dim=1)
    is_present = counts.sum(dim=1) > 0
    f1 = 2 * counts.diagonal()[is_present] / both[is_present]
    return "validation_macro_f1", f1.mean().item()


def _confusion(phase: Phase, nights: Sequence[AnyNight]) -> Tensor:
    """Count scored epochs by stage (rows) and predicted stage (columns)."""
    length, batch_size = phase.net.config.sequence_length, phase.options.batch_size
    counts = np.zeros((len(STAGES), len(STAGES)), dtype=np.float32)
    for night in nights:
        predicted = torch.zeros(len(night.stages), dtype=torch.long)
        for batch in iterate_batches([night], length, batch_size):
            with _autocast(phase):
                stages = phase.predict(batch.to(_device(phase))).cpu()
            predicted[batch.positions[batch.usable]] = stages[batch.usable]
        scored = night.targets != UNSCORED
        counts += confusion_matrix(
            night.targets[scored], predicted.numpy()[scored], labels=range(len(STAGES))
        )
    return torch.from_numpy(counts)


class _State:
    """State of a training that changes with each train epoch."""

    def __init__(self, phase: Phase):
        self.phase = phase
        self.optimizer = _make_optimizer(phase)
        self.best = copy.deepcopy(phase.state_dict())
        self.best_score, self.best_train_epoch = -math.inf, 0
        self.average: AveragedModel | None = None
        if decay := phase.options.average_decay:
            average = get_ema_multi_avg_fn(decay)
            self.average = AveragedModel(phase, multi_avg_fn=average, use_buffers=True)
        self.step, self.n_steps = 0, 0
        self.rows: list[dict] = []

    @property
    def is_finished(self) -> bool:
        """Whether the training has ended."""
        n_done, options = len(self.rows), self.phase.options
        is_last = n_done >= self.phase.n_train_epochs
        return is_last or n_done - self.best_train_epoch >= options.patience

    def count_steps(self, nights: Sequence[AnyNight]) -> None:
        """Count the steps of the training, which the learning rate depends on."""
        phase = self.phase
        batch_size = phase.options.batch_size * _world_size()
        n_steps = phase.n_train_epochs * count_batches(
            nights, phase.net.config.sequence_length, batch_size
        )
        if self.n_steps not in (0, n_steps):
            raise ValueError(
                f"The nights give {n_steps} training steps, but gave {self.n_steps} "
                "before. Pass nights of the same lengths, or name another checkpoint."
            )
        self.n_steps = n_steps

    def take_step(self) -> None:
        """Update the weights, and their average if there is one."""
        rate = self.phase.options.learning_rate
        for group in self.optimizer.param_groups:
            group["lr"] = rate * _warm_up_and_cosine(self.step / self.n_steps)
        self.optimizer.step()
        self.step += 1
        if self.average is not None:
            self.average.update_parameters(self.phase)

    def end_train_epoch(
        self, losses: dict[str, float], held_out: Sequence[AnyNight]
    ) -> dict[str, Any]:
        """Validate the weights, keep them if they are the best, and return the row."""
        phase = self.phase
        if self.average is not None:
            phase = cast("Phase", self.average.module)
        number = len(self.rows) + 1
        # Only in BatchNorm's statistics do the processes differ: take the first one's.
        if _world_size() > 1:
            for buffer in phase.buffers():
                distributed.broadcast(buffer, src=0)
        name, score = validate(phase, held_out)
        row = {"phase": phase.name, "train_epoch": number, **losses, name: score}
        self.rows.append(row)
        if score > self.best_score or not held_out:
            self.best_score, self.best_train_epoch = score, number
            self.best = copy.deepcopy(phase.state_dict())
        return row

    @property
    def origin(self) -> dict[str, Any]:
        """What must be the same for a checkpoint to resume."""
        phase = self.phase
        return {
            "phase": phase.name,
            "number of processes": _world_size(),
            "fingerprint of the frozen weights": fingerprint(phase.frozen),
            **asdict(phase.net.config),
            **asdict(phase.options),
        }

    def as_dict(self) -> dict[str, Any]:
        """Return everything that a checkpoint holds."""
        return {
            "weights": self.phase.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average and self.average.state_dict(),
            **{name: getattr(self, name) for name in _PROGRESS},
        }

    def resume(self, fname: Path) -> None:
        """Continue from a checkpoint, if it exists; the first process reads it."""
        found: list[Any] = [None]
        if _rank() == 0 and fname.exists():
            found = [load_checkpoint(fname, self.origin)]
        if _world_size() > 1:
            distributed.broadcast_object_list(found, src=0, device=_device(self.phase))
        if found[0] is not None:
            self.phase.load_state_dict(found[0]["weights"])
            self.optimizer.load_state_dict(found[0]["optimizer"])
            if self.average is not None:
                self.average.load_state_dict(found[0]["average"])
            for name in _PROGRESS:
                setattr(self, name, found[0][name])


def _make_optimizer(phase: Phase) -> torch.optim.AdamW:
    """Make AdamW, whose weight decay spares norms, biases, PReLU and mask tokens."""
    options, parameters = phase.options, list(phase.parameters())
    groups = [
        {
            "params": [p for p in parameters if p.ndim >= 2],
            "weight_decay": options.weight_decay,
        },
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    is_fused = _device(phase).type in _FUSED_DEVICES
    return torch.optim.AdamW(groups, lr=options.learning_rate, fused=is_fused)


def _warm_up_and_cosine(progress: float) -> float:
    """Return the factor of the learning rate at ``progress`` from 0 to 1."""
    if progress < _WARM_UP:
        return max(progress, 1e-3) / _WARM_UP
    rest = (progress - _WARM_UP) / (1 - _WARM_UP)
    return 0.5 * (1 + math.cos(math.pi * min(rest, 1.0)))


def _batches(
    phase: Phase,
    nights: Sequence[AnyNight],
    rng: np.random.Generator | None = None,
) -> Iterator[Batch]:
    """Yield the part of each batch that this process computes, on its device."""
    length, device = phase.net.config.sequence_length, _device(phase)
    batch_size = phase.options.batch_size * _world_size()
    shard = _rank(), _world_size()
    batches = iterate_batches(nights, length, batch_size, rng, shard)
    # A CPU computes with all its cores; a GPU would wait for the reading.
    batches = batches if device.type == "cpu" else read_ahead(batches)
    return (batch.to(device) for batch in batches)


def _device(phase: Phase) -> torch.device:
    return next(phase.parameters()).device


def _autocast(phase: Phase) -> torch.autocast:
    is_lower = phase.options.precision == "bfloat16"
    return torch.autocast(_device(phase).type, torch.bfloat16, enabled=is_lower)


def _world_size() -> int:
    is_distributed = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if is_distributed else 1


def _rank() -> int:
    return distributed.get_rank() if _world_size() > 1 else 0


def _sum_over_processes(tensor: Tensor) -> Tensor:
    if _world_size() > 1:
        distributed.all_reduce(tensor)
    return tensor


def _mean_over_processes(losses: dict[str, Tensor]) -> dict[str, float]:
    values = torch.stack([value.detach().float() for value in losses.values()])
    means = _sum_over_processes(values) / _world_size()
    return dict(zip(losses, means.tolist(), strict=True))
