"""Nights of many subjects: in memory or on the disk, held out, and in batches."""

from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import Tensor

from .._constants import STAGES, UNSCORED


@dataclass(frozen=True)
class StoredEpochs:
    """Signals or embeddings of one night in a file, from the epoch ``first`` on.

    The file is opened at each access: the system limits how many can stay open.
    """

    fname: Path
    shape: torch.Size
    first: int = 0

    @classmethod
    def store(cls, fname: Path, values: Tensor) -> Self:
        """Write values to a new file, unchanged."""
        fname.write_bytes(save({"values": values.numpy()}))
        return cls(fname, values.shape)

    def __getitem__(self, epochs: slice) -> Tensor:
        """Read consecutive epochs; ``[:]`` reads all."""
        start, stop, _ = epochs.indices(self.shape[0])
        part = slice(self.first + start, self.first + stop)
        try:
            with safe_open(self.fname, framework="np") as file:
                values = file.get_slice("values")[part]
                if "scales" in file.keys():  # noqa: SIM118
                    values = values * file.get_slice("scales")[part]
        except (SafetensorError, OSError) as error:
            raise ValueError(
                f"The prepared night {str(self.fname)!r} is missing or damaged: "
                f"{error}. Call prepare_cohort to prepare it again."
            ) from error
        return torch.from_numpy(values)

    def crop(self, start: int, stop: int) -> Self:
        """Keep the epochs from ``start`` to before ``stop``, without reading any."""
        shape = torch.Size((stop - start, *self.shape[1:]))
        return replace(self, first=self.first + start, shape=shape)


Epochs: TypeAlias = Tensor | StoredEpochs


@dataclass(frozen=True)
class AnyNight:
    """The epochs of one recording with their stages."""

    inputs: Epochs
    stages: NDArray[np.int8]  # -1 where unscored
    usable: NDArray[np.bool_]  # False where the signal is not EEG
    subject: Hashable  # nights of one subject are held out together
    # Probabilities (n_epochs, 5), zero where unscored, that the losses compare with
    # instead of ``stages``. Validation compares with ``stages``.
    soft_stages: NDArray[np.float32] | None = None
    scaling: str = "none"  # of the signals

    @property
    def targets(self) -> NDArray[np.int8]:
        """The stages of usable epochs, -1 elsewhere."""
        return np.where(self.usable, self.stages, UNSCORED)

    @property
    def is_scored(self) -> bool:
        """Whether any usable epoch has a stage."""
        return bool((self.targets != UNSCORED).any())


class EncodedNight(AnyNight):
    """A night as fine-tuning sees it: embeddings, (n_epochs, 2, width)."""


class Night(AnyNight):
    """A night as pretraining sees it: signals in µV, (n_epochs, n_times)."""

    @property
    def signals(self) -> Epochs:
        """The inputs."""
        return self.inputs

    def encoded(self, embeddings: Epochs) -> EncodedNight:
        """Return the night with embeddings in place of its signals."""
        return EncodedNight(**vars(self) | {"inputs": embeddings})


def count_stages(nights: Sequence[AnyNight]) -> dict[str, int]:
    """Return how many usable epochs of each stage the nights hold."""
    stages = np.concatenate([night.targets for night in nights])
    return {name: int((stages == i).sum()) for i, name in enumerate(STAGES)}


class Batch(NamedTuple):
    """Sequences of epochs; every tensor begins with (batch, sequence)."""

    inputs: Tensor  # signals (..., n_times) or embeddings (..., 2, width)
    stages: Tensor
    usable: Tensor
    nights: Tensor
    positions: Tensor
    soft_stages: Tensor | None = None

    def to(self, device: torch.device) -> Self:
        """Return the batch on ``device``."""
        return type(self)._make(t if t is None else t.to(device) for t in self)


def hold_out_subjects(
    nights: Sequence[Night], fraction: float, rng: np.random.Generator, known=()
) -> tuple[list[Night], list[Night]]:
    """Split nights by subject into those to train on and those to validate on.

    Hold out the ``known`` subjects. If they are all or none of those here, draw a
    ``fraction``, at least one and never all: of the subjects with scored nights, so
    that validation can score stages, if there are any. A fraction of 0 is nobody.
    """
    if fraction == 0:
        return list(nights), []
    subjects = {str(night.subject) for night in nights}
    chosen = subjects.intersection(known)
    if not chosen or chosen == subjects:
        scored = [night for night in nights if night.is_scored]
        candidates = list(dict.fromkeys(str(n.subject) for n in scored or nights))
        n_wanted = max(1, round(fraction * len(candidates)))
        size = min(n_wanted, len(candidates) - 1)
        chosen = set(rng.choice(candidates, size, replace=False))
    train = [night for night in nights if str(night.subject) not in chosen]
    held_out = [night for night in nights if str(night.subject) in chosen]
    return train, held_out


def iterate_batches(
    nights: Sequence[AnyNight],
    sequence_length: int,
    batch_size: int,
    rng: np.random.Generator | None = None,
    shard: tuple[int, int] = (0, 1),
) -> Iterator[Batch]:
    """Cut nights into sequences and yield them in batches.

    Every epoch is in at least one sequence. A night shorter than a sequence is padded
    by unusable, unscored epochs. The last batch may hold fewer sequences. ``rng`` draws
    where in each night the first sequence begins, by default at its start, and the
    order of the sequences. ``shard`` is the number of a part of each batch and of all
    parts; one that would be empty repeats a sequence of another part.
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


def count_batches(nights: Sequence, sequence_length: int, batch_size: int) -> int:
    """Return how many batches a pass yields at most, without making them."""
    n_sequences = sum(-(-len(n.stages) // sequence_length) + 1 for n in nights)
    return -(-n_sequences // batch_size)


def _collate(nights, places, sequence_length) -> Batch:
    """Cut the sequences that begin at ``places``: each a night and its epoch."""
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
    numbers, starts = torch.tensor(places).T[..., None]  # (batch, 1) each
    numbers, positions = numbers.expand(shape), starts + torch.arange(sequence_length)
    is_soft = any(nights[index].soft_stages is not None for index, _ in places)
    soft_stages = soft * usable[..., None] if is_soft else None
    return Batch(inputs, stages, usable, numbers.clone(), positions, soft_stages)
