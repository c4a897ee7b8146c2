"""The loop that both stages of training share."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.metrics import f1_score
from torch import Tensor, nn

from .._constants import UNSCORED
from ..data.nights import iterate_batches, read_ahead
from ..weights.file_format import check_fname
from .checkpoints import locked
from .distributed import (
    average_batch_norm,
    average_gradients,
    broadcast_state,
    gather,
    n_ranks,
    rank,
    sum_over_ranks,
)
from .state import TrainingState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ..data.nights import Batch, Night
    from .options import TrainingOptions
    from .state import Phase

# MNE's logger by its name: training also runs where MNE is not installed.
logger = logging.getLogger("mne")

# The norm that gradients are clipped to: our choice.
_MAX_GRADIENT_NORM = 1.0


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch inside the block; the global state is as before after it."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def train(
    phase: Phase,
    nights: Sequence[Night] | Callable[[int], Sequence[Night]],
    held_out: Sequence[Night],
    history: list[dict],
    progress: Callable | None = None,
    checkpoint: str | Path | None = None,
) -> None:
    """Run one phase; see `training.pretrain` for the parameters."""
    broadcast_state(phase.trained)
    # What the ranks draw for their own sequences must differ.
    with seeded(phase.options.seed + rank()):
        if checkpoint is None:
            _train(TrainingState(phase), nights, held_out, history, progress)
            return
        fname = check_fname(checkpoint, ".safetensors", overwrite=True)
        with locked(fname) if rank() == 0 else nullcontext():
            run = TrainingState(phase)
            if fname.exists():
                run.load(fname)
            _train(run, nights, held_out, history, progress, fname)


def _train(
    run: TrainingState,
    nights: Sequence[Night] | Callable[[int], Sequence[Night]],
    held_out: Sequence[Night],
    history: list[dict],
    progress: Callable | None,
    fname: Path | None = None,
) -> None:
    phase, options, bar = run.phase, run.phase.options, None
    history += run.rows
    _check_ranks_agree(run)
    try:
        while not run.is_finished:
            train_epoch = run.train_epoch + 1
            current = nights(train_epoch) if callable(nights) else nights
            run.plan(current)
            if bar is None and progress and rank() == 0:
                bar = progress(run.n_steps, mesg=phase.name)
                bar.update_with_increment_value(run.schedule.last_epoch)
            batches = _own_batches(phase, current, run.rng)
            row = _train_once(phase, batches, run.optimizer, run.schedule, bar)
            average_batch_norm(phase.trained)
            if run.average is not None:
                average_batch_norm(run.average)
            with run.averaged():
                score, name = _validate(phase, held_out, options)
                row = {"phase": phase.name, "train_epoch": train_epoch, **row}
                run.note(row | {name: score}, score, bool(held_out))
            history.append(run.rows[-1])
            _log(logging.DEBUG, "Train epoch %d: %s", train_epoch, history[-1])
            if fname is not None:
                run.save(fname)
    finally:
        phase.trained.load_state_dict(run.best)
        _log(logging.INFO, "Kept the state of train epoch %d.", run.best_train_epoch)


def _log(level: int, *args: Any) -> None:
    if rank() == 0:
        logger.log(level, *args)


def _check_ranks_agree(run: TrainingState) -> None:
    done = [int(n) for n in gather(torch.tensor(run.train_epoch, device=run.device))]
    if len(set(done)) > 1:
        raise RuntimeError(
            f"The processes go on after different train epochs ({done}): they do not "
            "see the same checkpoint. Put it into a folder that all of them share."
        )


def _own_batches(
    phase: Phase, nights: Sequence[Night], rng: np.random.Generator | None = None
) -> Iterator[Batch]:
    """Yield this rank's sequences of each batch of ``batch_size`` times the ranks.

    All ranks draw the same order from the same seed, and each takes every n-th
    sequence.
    """
    length, batch_size = phase.net.config.sequence_length, phase.options.batch_size
    shard = rank(), n_ranks()
    batches = iterate_batches(nights, length, batch_size * n_ranks(), rng, shard)
    # A CPU computes with all its cores; a GPU would wait for the reading.
    is_cpu = next(phase.trained.parameters()).device.type == "cpu"
    return batches if is_cpu else read_ahead(batches)


def _autocast(phase: Phase) -> torch.autocast:
    device = next(phase.trained.parameters()).device
    is_lower = phase.options.precision == "bfloat16"
    return torch.autocast(device.type, torch.bfloat16, enabled=is_lower)


def _train_once(
    phase: Phase,
    batches: Iterator[Batch],
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    bar: Any,
) -> dict[str, float]:
    """Pass over the batches once; return the mean of each loss."""
    parameters = list(phase.trained.parameters())
    sums, n_batches = defaultdict(float), 0
    phase.trained.train()
    for batch in batches:
        with _autocast(phase):
            losses = phase.losses(batch.to(parameters[0].device))
        loss = sum(losses.values())
        means = _means_over_ranks({"loss": loss, **losses})
        # The same on all ranks, so that all of them end here.
        if not math.isfinite(means["loss"]):
            raise RuntimeError(
                f"The training loss became {means['loss']}. The weights so far are "
                "kept; train with a lower 'learning_rate'."
            )
        optimizer.zero_grad()
        loss.backward()
        average_gradients(parameters)
        nn.utils.clip_grad_norm_(parameters, _MAX_GRADIENT_NORM)
        optimizer.step()
        schedule.step()
        for name, value in means.items():
            sums[name] += value
        n_batches += 1
        if bar is not None:
            bar.update_with_increment_value(1)
    return {name: value / n_batches for name, value in sums.items()}


def _means_over_ranks(losses: dict[str, Tensor]) -> dict[str, float]:
    values = torch.stack([value.detach().float() for value in losses.values()])
    means = sum_over_ranks(values) / n_ranks()
    return dict(zip(losses, means.tolist(), strict=True))


@torch.no_grad()
def _validate(
    phase: Phase, held_out: Sequence[Night], options: TrainingOptions
) -> tuple[float, str]:
    """Return macro-F1 on held-out nights or, where none is scored, minus the loss."""
    if not held_out:
        return math.nan, "validation_macro_f1"
    phase.trained.eval()
    device = next(phase.trained.parameters()).device
    if not any(night.is_scored for night in held_out):
        # The same masks at every call, so that the scores can be compared.
        with seeded(options.seed), _autocast(phase):
            losses = [
                _means_over_ranks(
                    {"loss": sum(phase.losses(batch.to(device)).values())}
                )
                for batch in _own_batches(phase, held_out)
            ]
        mean = np.mean([means["loss"] for means in losses])
        return -float(mean), "validation_negative_loss"
    reference = np.concatenate([night.targets for night in held_out])
    predicted = _predict(phase, held_out, device)
    scored = reference != UNSCORED
    present = np.unique(reference[scored])
    macro_f1 = f1_score(
        reference[scored], predicted[scored], labels=present, average="macro"
    )
    return float(macro_f1), "validation_macro_f1"


def _predict(phase: Phase, nights: Sequence[Night], device: torch.device) -> np.ndarray:
    """Return the stages of all nights in one array; each rank stages every n-th."""
    length, batch_size = phase.net.config.sequence_length, phase.options.batch_size
    predicted = [torch.zeros(len(night.stages), dtype=torch.long) for night in nights]
    own = slice(rank(), None, n_ranks())
    if nights[own]:
        for batch in iterate_batches(nights[own], length, batch_size):
            batch = batch.to(device)
            with _autocast(phase):
                contexts = phase.net.contextualize(phase.embed(batch), batch.usable)
                stages = phase.net.stage(contexts).total.argmax(dim=-1)
            for row, night in enumerate(batch.nights[:, 0].tolist()):
                part = predicted[own][night][batch.positions[row, 0] :][:length]
                part[:] = stages[row, : len(part)]
    return sum_over_ranks(torch.cat(predicted).to(device)).cpu().numpy()
