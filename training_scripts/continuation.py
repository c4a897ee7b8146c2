"""Continue the training of a network on soft targets, whole and in short pieces.

Two fifths of the recordings of a pass are scaled whole. The others are cut into pieces
of 10 min to 2 h, each of which is scaled as a short recording is: by what is known of
it before it is staged, or as after its stages were found, with an error.
"""

from __future__ import annotations

import logging
import math
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from band_power_nights import draw_error
from scipy.signal import welch
from torch.nn import functional as F

from mne_mc2sleep._constants import SFREQ
from mne_mc2sleep.network import Embeddings
from mne_mc2sleep.preprocessing.scaling import (
    N_WELCH,
    approach_reference,
    distances_by_band,
)
from mne_mc2sleep.preprocessing.short_recordings import trust_shape

logger = logging.getLogger("mne")

# Share of the recordings that are cut, and of the pieces that are scaled as before
# their stages are known.
SHARE_IN_PIECES = 0.6
SHARE_UNKNOWN = 0.4
MIN_PIECE, MAX_PIECE = 20, 240
# Share of the cut recordings whose pieces are put together from runs of few stages:
# half an hour of a young sleeper can be all N3, which old sleepers lack.
SHARE_OF_RUNS = 0.3
_CONCENTRATION, _MAX_RUN = 0.3, 15
N_RECORDINGS_AT_ONCE = 16


@dataclass(frozen=True)
class Recording:
    """Signals in µV (n_epochs, n_times), soft targets (n_epochs, 5), and the subject.

    A row of zeros in the targets does not count. A short recording has a ``middle``,
    the distance of its whole night from the reference. ``candidates`` are the stages
    that its epochs were selected by; None if they were not selected.
    """

    signals: np.ndarray
    targets: np.ndarray
    subject: str
    middle: np.ndarray | None = None
    candidates: tuple[int, ...] | None = None


def cut(recording, sequence_length, rng, in_pieces=SHARE_IN_PIECES):
    """Scale one recording, whole or in pieces, and cut it into sequences.

    Returns (signals, targets, allowed) for each, of up to ``sequence_length``
    consecutive epochs; ``allowed`` (5,) is False for stages that are not candidates.
    """
    signals = recording.signals.astype(np.float32)
    freqs, density = welch(signals, SFREQ, nperseg=N_WELCH)
    middle = recording.middle
    if middle is None:
        middle = _middle(freqs, density)
    allowed = np.ones(5, bool)
    if recording.candidates is not None:
        allowed = np.isin(np.arange(5), recording.candidates)
    pieces, of_night = [slice(0, len(signals))], True
    if recording.middle is not None:
        of_night = False
    elif rng.uniform() < in_pieces:
        of_night = False
        if rng.uniform() < SHARE_OF_RUNS:
            pieces = _draw_runs(recording.targets, rng)
        else:
            pieces = _draw_pieces(len(signals), rng)
    sequences = []
    for piece in pieces:
        part, targets = signals[piece], recording.targets[piece]
        level = middle
        if not of_night:
            level = _middle(freqs, density[piece])
            stages_known = rng.uniform() >= SHARE_UNKNOWN
            assumed = middle + draw_error(rng) if stages_known else level
            assumed = trust_shape(assumed, len(part), stages_known)
            part = approach_reference(part, assumed, level)
        else:
            part = approach_reference(part, level, level)
        first = -int(rng.integers(sequence_length)) if of_night else 0
        for start in range(first, len(part), sequence_length):
            chosen = slice(max(start, 0), start + sequence_length)
            if (targets[chosen].sum(axis=1) > 0).sum() >= 5:
                signals_chosen = part[chosen].astype(np.float16)
                sequences.append((signals_chosen, targets[chosen], allowed))
    return sequences


def _middle(freqs, density):
    return distances_by_band(freqs, np.median(density, axis=0))


def _draw_pieces(n_epochs, rng):
    pieces, start = [], -int(rng.integers(MIN_PIECE))
    while start < n_epochs - MIN_PIECE:
        length = math.exp(rng.uniform(math.log(MIN_PIECE), math.log(MAX_PIECE)))
        if rng.uniform() < 0.5:
            length = 60
        stop = start + round(length)
        pieces.append(slice(max(start, 0), min(stop, n_epochs)))
        start = stop
    return pieces


def _draw_runs(targets, rng):
    """Put pieces together from runs of one stage, with few stages in each piece."""
    stages = np.where(targets.sum(axis=1) > 0, targets.argmax(axis=1), -1)
    edges = np.flatnonzero(np.diff(stages, prepend=-2, append=-2))
    runs = [
        range(start, min(stop, start + _MAX_RUN))
        for first, last in pairwise(edges)
        if stages[first] >= 0
        for start, stop in _split(first, last)
    ]
    by_stage = {}
    for run in runs:
        by_stage.setdefault(stages[run[0]], []).append(run)
    pieces = []
    for _ in range(len(targets) // 60):
        shares = rng.dirichlet([_CONCENTRATION] * len(by_stage))
        length, piece = int(rng.integers(30, 61)), []
        while len(piece) < length:
            stage = list(by_stage)[rng.choice(len(shares), p=shares)]
            piece += by_stage[stage][rng.integers(len(by_stage[stage]))]
        pieces.append(np.array(piece[:length]))
    return pieces


def _split(first, last):
    return [(i, min(i + _MAX_RUN, last)) for i in range(first, last, _MAX_RUN)]


def iterate_batches(recordings, sequence_length, n_epochs, rng):
    """Yield batches of shuffled sequences, of about ``n_epochs`` epochs.

    A batch is (signals, targets, usable, allowed), see `cut`.
    """
    order = rng.permutation(len(recordings))
    batch, total = [], 0
    for first in range(0, len(order), N_RECORDINGS_AT_ONCE):
        sequences = []
        for index in order[first : first + N_RECORDINGS_AT_ONCE]:
            sequences += cut(recordings[index], sequence_length, rng)
        for index in rng.permutation(len(sequences)):
            batch.append(sequences[index])
            total += len(sequences[index][1])
            if total >= n_epochs:
                yield _collate(batch, sequence_length)
                batch, total = [], 0
    if batch:
        yield _collate(batch, sequence_length)


def _collate(batch, sequence_length):
    shape = (len(batch), sequence_length)
    usable = torch.zeros(shape, dtype=torch.bool)
    targets = torch.zeros(*shape, 5)
    allowed = torch.ones(len(batch), 1, 5, dtype=torch.bool)
    for row, (_, target, stages) in enumerate(batch):
        usable[row, : len(target)] = True
        allowed[row] = torch.from_numpy(stages)
        targets[row, : len(target)] = torch.from_numpy(target)
    signals = np.concatenate([signals for signals, _, _ in batch])
    return torch.from_numpy(signals).float(), targets, usable, allowed


def log_posteriors(logits, allowed):
    """Return log-posteriors that are conditional on the stages that are allowed."""
    # Minus infinity times a target of 0 would be NaN.
    return F.log_softmax(logits.float().masked_fill(~allowed, -1e4), dim=-1)


def soft_loss(logits, targets, allowed):
    """Return the mean cross-entropy over the rows that have a target."""
    n_scored = (targets.sum(dim=-1) > 0).sum().clamp(min=1)
    return -(targets * log_posteriors(logits, allowed)).sum() / n_scored


def stage(net, embeddings, usable):
    """Return the logits of padded sequences from the embeddings of usable epochs."""
    sequences = []
    for modality in embeddings:
        padded = modality.new_zeros(*usable.shape, modality.shape[-1])
        padded[usable] = modality
        sequences.append(padded)
    return net.stage(net.contextualize(Embeddings(*sequences), usable))


def loss_of_targets(net, batch, progress):
    """Return the loss of a batch of `iterate_batches`; all logits are trained."""
    signals, targets, usable, allowed = batch
    logits = stage(net, net.encode(signals), usable)
    return sum(soft_loss(part, targets, allowed) for part in logits)


def train(
    net,
    draw,
    n_passes,
    n_steps,
    learning_rate=4e-4,
    weight_decay=0.02,
    n_epochs=300,
    average_decay=0.998,
    seed=0,
    checkpoint=None,
    after_pass=None,
    find_loss=loss_of_targets,
):
    """Train what requires gradients; leave the moving average in ``net``.

    ``draw`` returns the list of `Recording` of a pass by its number. ``n_steps`` is
    about how many steps the passes take together: the learning rate rises for 100
    steps, and falls as a cosine. If the ``checkpoint`` exists, training continues from
    it; it is written after each pass, when ``after_pass`` gets the pass's number and
    the averaged network. ``find_loss`` gets the network, a batch, and the share of the
    steps that is over.
    """
    average = deepcopy(net).eval()
    trained = [p for p in net.parameters() if p.requires_grad]
    matrices = [p for p in trained if p.ndim > 1]
    vectors = [p for p in trained if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}],
        lr=learning_rate,
        weight_decay=weight_decay,
    )
    step = first = 0
    if checkpoint is not None and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(state["net"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        step, first = state["step"], state["n_passes"]
    for number in range(first, n_passes):
        rng = np.random.default_rng([seed, 60_000, number])
        torch.manual_seed(seed * 1000 + number)
        net.train()
        losses = []
        recordings = draw(number)
        for batch in iterate_batches(
            recordings, net.config.sequence_length, n_epochs, rng
        ):
            share = min(step / n_steps, 1)
            rate = learning_rate * min((step + 1) / 100, 1)
            rate *= 0.02 + 0.98 * (1 + math.cos(math.pi * share)) / 2
            for group in optimizer.param_groups:
                group["lr"] = rate
            with torch.autocast("cpu", torch.bfloat16):
                loss = find_loss(net, batch, share)
            losses.append(_step(trained, optimizer, loss))
            step += 1
            _average(average, net, min(average_decay, (step + 1) / (step + 10)))
            if step % 50 == 0:
                logger.info("Step %d: loss %.4f.", step, np.mean(losses[-50:]))
        logger.info("Pass %d: loss %.4f, step %d.", number, np.mean(losses), step)
        if checkpoint is not None:
            state = {
                "net": net.state_dict(),
                "average": average.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": step,
                "n_passes": number + 1,
            }
            torch.save(state, checkpoint)
        if after_pass is not None:
            after_pass(number, average)
    net.load_state_dict(average.state_dict())
    net.eval()


def _step(parameters, optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    return loss.item()


@torch.no_grad()
def _average(average, net, decay):
    for own, new in zip(
        average.state_dict().values(), net.state_dict().values(), strict=True
    ):
        if own.is_floating_point():
            own.lerp_(new, 1 - decay)
        else:
            own.copy_(new)
