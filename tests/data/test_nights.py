"""Who is held out, and how nights become batches of sequences."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mne_mc2sleep.data.nights import (
    Batch,
    Night,
    count_batches,
    hold_out_subjects,
    iterate_batches,
    read_ahead,
)

LENGTH = 8


def toy_night(n_epochs=20, subject="a", stage=2, night=0):
    """Return a night whose inputs encode the night and the epoch, from 1 on."""
    epochs = torch.arange(1, n_epochs + 1)
    return Night(
        inputs=torch.stack([torch.full_like(epochs, night), epochs], dim=1).float(),
        stages=np.full(n_epochs, stage, dtype=np.int8),
        usable=np.ones(n_epochs, dtype=bool),
        subject=subject,
    )


def toy_nights(*lengths):
    """Return one night for each length."""
    return [toy_night(n, night=i) for i, n in enumerate(lengths)]


def sequences(nights, seed=None, batch_size=2):
    """Return all sequences of a pass, each tensor whole."""
    rng = None if seed is None else np.random.default_rng(seed)
    batches = iterate_batches(nights, LENGTH, batch_size, rng)
    tensors = zip(*(batch[:5] for batch in batches), strict=True)
    return Batch(*map(torch.cat, tensors))


@pytest.mark.parametrize(
    ("stage", "usable", "is_scored"),
    [(2, True, True), (0, True, True), (-1, True, False), (2, False, False)],
)
def test_a_night_is_scored_if_a_usable_epoch_has_a_stage(stage, usable, is_scored):
    night = toy_night(4, stage=stage)
    night.usable[:] = usable
    assert night.is_scored is is_scored


@pytest.mark.parametrize("n_epochs", [1, 7, 8, 9, 16, 29])
@pytest.mark.parametrize("seed", [None, *range(4)])
def test_every_epoch_is_in_some_sequence(n_epochs, seed):
    """For any length of the night and any start of the first sequence."""
    inputs = sequences(toy_nights(n_epochs, 11), seed).inputs
    seen = {tuple(row) for row in inputs.flatten(0, 1).int().tolist() if row[1] > 0}
    assert seen == {
        (night, epoch)
        for night, n in enumerate((n_epochs, 11))
        for epoch in range(1, n + 1)
    }


@pytest.mark.parametrize("seed", [None, 0])
def test_no_sequence_crosses_nights(seed):
    """A sequence holds consecutive epochs of the one night that it names."""
    batch = sequences(toy_nights(20, 3, 9), seed)
    night, epoch = batch.inputs.long().unbind(dim=2)
    present = epoch > 0
    assert (night == batch.nights)[present].all()
    assert (epoch - 1 == batch.positions)[present].all()
    assert (batch.nights == batch.nights[:, :1]).all()
    assert (batch.positions.diff(dim=1) == 1).all()


@pytest.mark.parametrize("seed", [None, 0])
def test_short_nights_are_padded_by_unusable_unscored_epochs(seed):
    batch = sequences(toy_nights(3), seed)
    np.testing.assert_array_equal(batch.usable, [[True] * 3 + [False] * 5])
    np.testing.assert_array_equal(batch.stages, [[2] * 3 + [-1] * 5])
    assert (batch.inputs[:, 3:] == 0).all()


def test_the_last_sequence_of_a_long_night_reaches_back():
    batch = sequences(toy_nights(20))
    assert batch.usable.all()
    np.testing.assert_array_equal(batch.positions[:, 0], [0, 8, 12])


def test_unusable_epochs_have_no_stage_in_a_batch():
    """They stay in their sequence, marked, and no loss sees their stage."""
    night = toy_night(8)
    night.usable[5] = False
    batch = sequences([night])
    np.testing.assert_array_equal(batch.usable[0], night.usable)
    np.testing.assert_array_equal(batch.stages[0], night.targets)
    assert batch.inputs[0, 5, 1] == 6


def test_offsets_and_order_change_from_pass_to_pass():
    nights, rng = toy_nights(80, 80), np.random.default_rng(0)
    passes = []
    for _ in range(2):
        batches = list(iterate_batches(nights, LENGTH, 2, rng))
        places = [torch.stack([b.nights[:, 0], b.positions[:, 0]], 1) for b in batches]
        passes.append(list(map(tuple, torch.cat(places).tolist())))
    assert set(passes[0]) != set(passes[1])
    assert passes[0] != sorted(passes[0])


@pytest.mark.parametrize("seed", [None, *range(5)])
@pytest.mark.parametrize("lengths", [(1,), (8,), (9, 16), (20, 3, 64)])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_count_batches_is_an_upper_bound(seed, lengths, batch_size):
    """A pass never takes more steps than are counted, regardless of its offsets."""
    nights = toy_nights(*lengths)
    rng = None if seed is None else np.random.default_rng(seed)
    n_batches = len(list(iterate_batches(nights, LENGTH, batch_size, rng)))
    counted = count_batches(nights, LENGTH, batch_size)
    assert n_batches <= counted <= n_batches + len(nights) + 1


def test_soft_stages_of_one_night_make_all_stages_soft():
    """Stages become probabilities of 0 and 1; unscored and unusable epochs get 0."""
    soft = np.random.default_rng(0).dirichlet(np.ones(5), 8).astype(np.float32)
    with_soft, without = replace(toy_night(8), soft_stages=soft), toy_night(3)
    with_soft.usable[1] = False
    without.stages[0] = -1
    (batch,) = iterate_batches([with_soft, without], LENGTH, 2)
    found = batch.soft_stages.numpy()
    np.testing.assert_array_equal(found[0], soft * with_soft.usable[:, None])
    np.testing.assert_array_equal(found[1, 1:3], np.eye(5)[[2, 2]])
    assert not found[1, [0, 3, 4, 5, 6, 7]].any()


@pytest.mark.parametrize("seed", range(5))
def test_hold_out_never_splits_a_subject(seed):
    """Both nights of a subject fall on one side, also if one number is text."""
    nights = [toy_night(subject=subject) for subject in [*"12345", *range(1, 6)]]
    parts = hold_out_subjects(nights, 0.4, np.random.default_rng(seed))
    train, held_out = ({str(night.subject) for night in part} for part in parts)
    assert not train & held_out
    assert [len(part) for part in parts] == [6, 4]


@pytest.mark.parametrize("seed", range(5))
def test_hold_out_prefers_scored_subjects(seed):
    nights = [toy_night(subject=i, stage=2 if i < 3 else -1) for i in range(10)]
    _, held_out = hold_out_subjects(nights, 0.4, np.random.default_rng(seed))
    assert len(held_out) == 1
    assert held_out[0].is_scored


@pytest.mark.parametrize(
    ("subjects", "n_scored", "fraction", "known", "n_held_out"),
    [
        ("abcd", 4, 0.01, "", 1),
        ("abcd", 4, 0.5, "", 2),
        ("abcd", 4, 0.99, "", 3),
        ("abcd", 4, 0.5, "adz", 2),
        ("abcd", 4, 0.99, "abcd", 3),
        ("abcd", 4, 0, "a", 0),
        ("aaa", 3, 0.5, "", 0),
        ("abc", 1, 0.5, "", 0),
    ],
)
def test_hold_out_takes_known_subjects_or_a_fraction_but_never_all(
    subjects, n_scored, fraction, known, n_held_out
):
    """Nobody, if the fraction is 0 or only one subject is scored."""
    nights = [toy_night(subject=s, stage=2) for s in subjects[:n_scored]]
    nights += [toy_night(subject=s, stage=-1) for s in subjects[n_scored:]]
    rng = np.random.default_rng(0)
    train, held_out = hold_out_subjects(nights, fraction, rng, known)
    assert len(held_out) == n_held_out
    assert sorted(map(id, train + held_out)) == sorted(map(id, nights))
    assert known != "adz" or [night.subject for night in held_out] == ["a", "d"]


def test_reading_ahead_yields_batches_and_raises_errors():
    """After the batches that came before it, which are the same."""
    nights = toy_nights(20, 9, 30)
    plain, ahead = (
        iterate_batches(nights, 8, 2, np.random.default_rng(0)) for _ in range(2)
    )
    for one, other in zip(plain, read_ahead(ahead), strict=True):
        assert all(map(torch.equal, one[:5], other[:5]))

    def read():
        yield 1
        raise ValueError("The prepared night is gone.")

    batches = read_ahead(read())
    assert next(batches) == 1
    with pytest.raises(ValueError, match="is gone"):
        next(batches)
