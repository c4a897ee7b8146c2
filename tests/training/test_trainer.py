"""The trainer that both phases share: randomness, stops, steps."""

import copy
import math

import numpy as np
import pytest
import torch
from stagers import BOTH, PHASES, assert_equal
from torch.optim.optimizer import register_optimizer_step_pre_hook

from mne_mc2sleep import training
from mne_mc2sleep.data.nights import count_batches
from mne_mc2sleep.training import trainer


class Progress:
    """Count the steps like a progress bar, and act after one of them."""

    def __init__(self, act_at=None, act=None):
        self.act_at, self.act, self.n_done = act_at, act, 0

    def __call__(self, n_steps, mesg):
        """Begin, as MNE's progress bar does when it is made."""
        self.n_steps, self.mesg = n_steps, mesg
        return self

    def update_with_increment_value(self, increment):
        self.n_done += increment
        if self.n_done == self.act_at:
            self.act()


def interrupt():
    raise KeyboardInterrupt


@pytest.fixture
def scripted_scores(monkeypatch):
    """Return a function that fixes the validation scores to come.

    It returns the list that gets the weights of each train epoch.
    """

    def script(*scores):
        states, scores = [], iter(scores)

        def validate(phase, held_out):
            states.append(copy.deepcopy(dict(phase.net.state_dict())))
            return "validation_macro_f1", next(scores)

        monkeypatch.setattr(trainer, "validate", validate)
        return states

    return script


@BOTH
@pytest.mark.parametrize(
    ("scores", "n_rows", "kept"),
    [
        ((0.1, 0.5, 0.3, 0.5, 0.9), 4, 1),
        ((0.1, 0.0, 0.2, 0.1, 0.3, 0.2), 6, 4),
        ((math.nan,) * 4, 4, 3),
    ],
)
def test_training_stops_early_and_keeps_the_best_weights(
    run_training, net, scripted_scores, stage, scores, n_rows, kept
):
    """After two train epochs without a better score; without any score, the last."""
    states = scripted_scores(*scores)
    settings = {"patience": 2, f"{stage}_train_epochs": len(scores)}
    held_out = [] if math.isnan(scores[0]) else None
    history = run_training(stage, held_out=held_out, **settings)
    assert len(history) == n_rows
    assert_equal(dict(net.state_dict()), states[kept])


@BOTH
def test_one_seed_gives_one_network(run_training, net, stage):
    """To the bit, regardless of the global generators, which stay unchanged."""

    def train(seed):
        trained = copy.deepcopy(net)
        run_training(stage, net=trained, seed=seed)
        return dict(trained.state_dict())

    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    first, other = train(1), train(2)
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state[1])  # noqa: NPY002
    assert any(not torch.equal(first[name], other[name]) for name in first)
    torch.rand(3)
    assert_equal(train(1), first)


@pytest.mark.parametrize("n_steps", [2, 3 * 4 + 2])
def test_an_interruption_keeps_the_best_weights(
    run_training, net, scripted_scores, n_steps
):
    """In the middle of the first train epoch, those of before; later, the best."""
    before = copy.deepcopy(dict(net.state_dict()))
    states = scripted_scores(0.1, 0.5, 0.3)
    progress = Progress(act_at=n_steps, act=interrupt)
    settings = {"batch_size": 1, "patience": 9, "finetune_train_epochs": 9}
    with pytest.raises(KeyboardInterrupt):
        run_training("finetune", progress=progress, **settings)
    assert_equal(dict(net.state_dict()), states[1] if states else before)


@BOTH
@pytest.mark.parametrize("learning_rate", [1e5, 1e38])
def test_a_loss_that_is_not_finite_is_an_error(run_training, net, stage, learning_rate):
    """The message names the remedy, and the weights stay finite."""
    settings = {"batch_size": 1, f"{stage}_train_epochs": 5}
    with pytest.raises(RuntimeError, match=r"became (nan|inf).*'learning_rate'"):
        run_training(stage, learning_rate=learning_rate, **settings)
    assert all(tensor.isfinite().all() for tensor in net.state_dict().values())


def record_steps(run):
    """Return the learning rates and the norm of the gradient at each step."""
    rates, norms = [], []

    def record(optimizer, *_):
        groups = optimizer.param_groups
        rates.append({group["lr"] for group in groups})
        gradients = [
            p.grad.norm() for g in groups for p in g["params"] if p.grad is not None
        ]
        norms.append(torch.stack(gradients).norm().item())

    handle = register_optimizer_step_pre_hook(record)
    try:
        run()
    finally:
        handle.remove()
    return np.array([rate for (rate,) in rates]), np.array(norms)


@BOTH
def test_steps_are_announced_clipped_and_scheduled(run_training, short_nights, stage):
    """The learning rate rises in a tenth of the steps, then falls by a cosine."""
    progress = Progress()
    settings = {"batch_size": 1, "learning_rate": 0.002, f"{stage}_train_epochs": 4}
    rates, norms = record_steps(
        lambda: run_training(stage, progress=progress, **settings)
    )
    n_steps = 4 * count_batches(short_nights[:2], 8, 1)
    assert (progress.n_done, progress.n_steps) == (len(rates), n_steps)
    assert progress.mesg == PHASES[stage].name
    assert norms.max() == pytest.approx(1, rel=1e-3)
    share = np.arange(len(rates)) / n_steps
    rise, fall = share.clip(1e-3) / 0.1, (1 + np.cos(np.pi * (share - 0.1) / 0.9)) / 2
    np.testing.assert_allclose(rates, 0.002 * np.where(share < 0.1, rise, fall))


class Idle(training.Pretraining):
    """A phase without any gradient but zero: only weight decay moves the weights."""

    def losses(self, embeddings, batch):
        return {"nothing": sum(0 * p.sum() for p in self.parameters())}


def test_weight_decay_spares_norms_biases_and_tokens(net, short_nights, options):
    before = copy.deepcopy(dict(net.named_parameters()))
    training.train(Idle(net, options), short_nights, [], [])
    for name, parameter in net.named_parameters():
        assert (parameter.abs() <= before[name].abs()).all(), name
        assert torch.equal(parameter, before[name]) == (parameter.ndim < 2), name


class WithTerm(training.Finetuning):
    """Fine-tuning with a term of its own, which has a weight to learn."""

    def __init__(self, net, options):
        super().__init__(net, options)
        self.scale = torch.nn.Parameter(torch.ones(1))

    def losses(self, embeddings, batch):
        losses = super().losses(embeddings, batch)
        return losses | {"mine": (self.scale**2).sum()}


def test_a_phase_of_your_own_adds_a_loss(net, short_nights, options, as_embeddings):
    phase, history = WithTerm(net, options), []
    training.train(phase, as_embeddings(net, short_nights), [], history)
    assert history[-1]["mine"] < history[0]["mine"]
    assert phase.scale.item() != 1
