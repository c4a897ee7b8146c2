"""Nights of many subjects: who is held out, and batches of sequences."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from .._constants import STAGES, UNSCORED

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray


class Epochs(Protocol):
    """Values of consecutive epochs: a Tensor, or what reads like one from the disk."""

    @property
    def shape(self) -> torch.Size:
        """The shape of the whole, beginning with n_epochs."""

    def __getitem__(self, epochs: slice) -> Tensor:
        """Return consecutive epochs; ``[:]`` returns all."""


@dataclass(frozen=True)
class AnyNight:
    """The epochs of one recording with their stages.

    Parameters
    ----------
    inputs : Epochs
        Signals or embeddings, in memory or on the disk.
    stages : array of int of shape (n_epochs,)
        -1 where unscored.
    usable : array of bool of shape (n_epochs,)
        False where the signal is not EEG.
    subject : hashable
        Nights of one subject are held out together.
    soft_stages : array of float of shape (n_epochs, 5) | None
        Probabilities of the stages that the losses compare with, instead of ``stages``;
        zero where unscored. Validation compares with ``stages``.
    """

    inputs: Epochs
    stages: NDArray[np.int8]
    usable: NDArray[np.bool_]
    subject: Hashable
    soft_stages: NDArray[np.float32] | None = None

    @property
    def targets(self) -> NDArray[np.int8]:
        """The stages of usable epochs, -1 elsewhere."""
        return np.where(self.usable, self.stages, UNSCORED)

    @property
    def is_scored(self) -> bool:
        """Whether any usable epoch has a stage."""
        return bool((self.targets != UNSCORED).any())


class Night(AnyNight):
    """A night as pretraining sees it: signals in µV, (n_epochs, n_times)."""

    @property
    def signals(self) -> Epochs:
        """The inputs."""
        return self.inputs

    def encoded(self, embeddings: Epochs) -> EncodedNight:
        """Return the night with embeddings in place of its signals."""
        return EncodedNight(
            embeddings, self.stages, self.usable, self.subject, self.soft_stages
        )


class EncodedNight(AnyNight):
    """A night as fine-tuning sees it: embeddings, (n_epochs, 2, width)."""


def count_stages(nights: Sequence[AnyNight]) -> dict[str, int]:
    """Return how many usable epochs of each stage the nights hold."""
    stages = np.concatenate([night.targets for night in nights])
    return {name: int((stages == i).sum()) for i, name in enumerate(STAGES)}


class Batch(NamedTuple):
    """Sequences of epochs; every tensor begins with (batch, sequence)."""

    inputs: Tensor
    """Signals (..., n_times) or embeddings (..., 2, width)."""
    stages: Tensor
    usable: Tensor
    nights: Tensor
    positions: Tensor
    soft_stages: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """Return the batch on ``device``."""
        moved = (t if t is None else t.to(device) for t in self)
        return Batch._make(moved)


def hold_out_subjects(
    nights: Sequence[Night], fraction: float, rng: Generator
) -> tuple[list[Night], list[Night]]:
    """Split nights by subject into those to train on and those to validate on.

    Hold out a ``fraction`` of the subjects, at least one and never all. Subjects with
    scored nights are drawn, so that validation can score stages; if no night is scored,
    any. Nobody is held out if the fraction is 0 or there is only one such subject.
    """
    names = [str(night.subject) for night in nights]
    scored = {s for s, night in zip(names, nights, strict=True) if night.is_scored}
    subjects = list(dict.fromkeys(names))
    candidates = [s for s in subjects if s in scored] if scored else subjects
    if fraction == 0 or len(candidates) < 2:
        return list(nights), []
    n_held_out = min(max(1, round(fraction * len(candidates))), len(candidates) - 1)
    chosen = rng.choice(len(candidates), size=n_held_out, replace=False)
    chosen_subjects = {candidates[i] for i in chosen}
    train = [night for night in nights if str(night.subject) not in chosen_subjects]
    held_out = [night for night in nights if str(night.subject) in chosen_subjects]
    return train, held_out


def iterate_batches(
    nights: Sequence[AnyNight],
    sequence_length: int,
    batch_size: int,
    rng: Generator | None = None,
    shard: tuple[int, int] = (0, 1),
) -> Iterator[Batch]:
    """Cut nights into sequences and yield them in batches.

    Every epoch is in at least one sequence. A night shorter than a sequence is padded
    by unusable, unscored epochs. The last batch may hold fewer sequences.

    ``rng`` draws where in each night the first sequence begins, and the order of the
    sequences. If it is None, begin at the start and keep the order. ``shard`` is the
    number of a part and how many parts there are: of each batch, yield every n-th
    sequence. A part that would be empty repeats a sequence of another part.
    """
    places = []
    for index, night in enumerate(nights):
        n_epochs = len(night.stages)
        offset = 0 if rng is None else rng.integers(sequence_length)
        starts = np.arange(-offset, n_epochs, sequence_length)
        last = max(n_epochs - sequence_length, 0)
        places += [
            (index, start)
            for start in np.unique(starts.clip(0, last))
            if night.usable[start : start + sequence_length].any()
        ]
    if rng is not None:
        rng.shuffle(places)
    for first in range(0, len(places), batch_size):
        batch = places[first : first + batch_size]
        own = batch[shard[0] :: shard[1]] or [batch[shard[0] % len(batch)]]
        yield _collate(nights, own, sequence_length)


def read_ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Yield batches, and read the next one in another thread meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        upcoming = pool.submit(next, batches, None)
        while (batch := upcoming.result()) is not None:
            upcoming = pool.submit(next, batches, None)
            yield batch


def count_batches(
    nights: Sequence[AnyNight], sequence_length: int, batch_size: int
) -> int:
    """Return how many batches a pass yields at most, without making them."""
    n_sequences = sum(-(-len(n.stages) // sequence_length) + 1 for n in nights)
    return -(-n_sequences // batch_size)


def _collate(
    nights: Sequence[AnyNight], places: list[tuple[int, int]], sequence_length: int
) -> Batch:
    shape = (len(places), sequence_length)
    inputs = torch.zeros(*shape, *nights[0].inputs.shape[1:])
    stages = torch.full(shape, UNSCORED)
    usable = torch.zeros(shape, dtype=torch.bool)
    soft = torch.zeros(*shape, len(STAGES))
    for row, (index, start) in enumerate(places):
        night, part = nights[index], slice(start, start + sequence_length)
        n_present = len(night.stages[part])
        inputs[row, :n_present] = night.inputs[part]
        stages[row, :n_present] = torch.from_numpy(night.targets[part]).long()
        usable[row, :n_present] = torch.from_numpy(night.usable[part])
        if night.soft_stages is None:
            scored = stages[row] != UNSCORED
            soft[row, scored, stages[row, scored]] = 1
        else:
            soft[row, :n_present] = torch.from_numpy(night.soft_stages[part])
    indices, starts = torch.tensor(places).T[..., None]  # (batch, 1) each
    positions = starts + torch.arange(sequence_length)
    is_soft = any(nights[index].soft_stages is not None for index, _ in places)
    return Batch(
        inputs,
        stages,
        usable,
        indices.expand(shape).clone(),
        positions,
        soft * usable[..., None] if is_soft else None,
    )
