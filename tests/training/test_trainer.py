"""The loop that both stages of training share: randomness, stops, steps."""

import copy
import math
from functools import partial

import numpy as np
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from mne_mc2sleep import training
from mne_mc2sleep.data.nights import count_batches
from mne_mc2sleep.training import phases
from mne_mc2sleep.training import trainer as _loop
from mne_mc2sleep.training.state import _warm_up_and_cosine

BOTH = pytest.mark.parametrize("stage", ["pretrain", "finetune"])
PHASE_NAMES = {"pretrain": "Pretraining", "finetune": "Fine-tuning"}
SEQUENCE_LEVEL = ("signal_stack", "spectrogram_stack", "modality_head", "total_head")
assert_equal = partial(torch.testing.assert_close, rtol=0, atol=0)


class Progress:
    """Count the steps as a progress bar is told them, and act after one of them."""

    def __init__(self, act_at=None, act=None):
        self.act_at, self.act, self.n_done = act_at, act, 0

    def __call__(self, n_steps, mesg):
        """Begin, as MNE's progress bar does when it is made."""
        self.n_steps, self.mesg = n_steps, mesg
        return self

    def update_with_increment_value(self, increment):
        """Count one step."""
        self.n_done += increment
        if self.n_done == self.act_at:
            self.act()


def interrupt():
    """Do what Ctrl-C does."""
    raise KeyboardInterrupt


def state_of(module):
    """Return a copy of the weights of a module."""
    return copy.deepcopy(module.state_dict())


def differ(state, other):
    """Return whether any weight is not the same in two states."""
    return any(not torch.equal(state[name], other[name]) for name in state)


@pytest.fixture
def scripted_scores(monkeypatch):
    """Return a function that fixes the validation scores to come.

    It returns the list that gets the weights of each train epoch.
    """

    def script(*scores):
        states, scores = [], iter(scores)

        def validate(phase, held_out, options):
            states.append(state_of(phase.trained))
            return next(scores), "validation_macro_f1"

        monkeypatch.setattr(_loop, "_validate", validate)
        return states

    return script


def trained_part(net, stage):
    """Return the weights that a stage of the training changes."""
    state = net.state_dict()
    if stage == "pretrain":
        return state
    # As the phase names them: modules in a list.
    return {
        name.replace(part, str(index), 1): tensor
        for index, part in enumerate(SEQUENCE_LEVEL)
        for name, tensor in state.items()
        if name.startswith(part)
    }


@BOTH
def test_training_stops_early_and_keeps_the_best_state(
    run_training, net, scripted_scores, stage
):
    """After two train epochs without a better score it ends, with the best weights."""
    states = scripted_scores(0.1, 0.5, 0.3, 0.5, 0.9)
    settings = {f"{stage}_train_epochs": 5}
    history = run_training(stage, patience=2, **settings)
    assert len(history) == 4
    assert_equal(trained_part(net, stage), states[1])
    assert differ(states[1], states[3])


def test_a_better_score_renews_the_patience(run_training, scripted_scores):
    """Patience counts from the best train epoch, not from the first."""
    scripted_scores(0.1, 0.0, 0.2, 0.1, 0.3, 0.2)
    assert len(run_training("finetune", patience=2, finetune_train_epochs=6)) == 6


@BOTH
def test_without_held_out_nights_the_last_state_is_kept(
    run_training, net, scripted_scores, stage
):
    """There is nothing to choose a state or to stop by."""
    states = scripted_scores(*[math.nan] * 3)
    history = run_training(
        stage, held_out=[], patience=1, **{f"{stage}_train_epochs": 3}
    )
    assert len(history) == 3
    assert_equal(trained_part(net, stage), states[2])


@BOTH
def test_one_seed_gives_one_network(run_training, net, stage):
    """The same seed gives the same weights to the bit, another one gives others."""
    states = []
    for seed in (1, 1, 2):
        trained = copy.deepcopy(net)
        run_training(stage, net=trained, seed=seed)
        states.append(trained.state_dict())
    assert_equal(states[0], states[1])
    assert differ(states[0], states[2])


@BOTH
def test_global_random_states_are_left_alone(run_training, stage):
    """Training neither seeds nor draws from the generators of torch and NumPy."""
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    run_training(stage)
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state[1])  # noqa: NPY002
    assert np.random.get_state()[2:] == numpy_state[2:]  # noqa: NPY002


@BOTH
def test_the_global_seed_does_not_matter(run_training, net, stage):
    """What was drawn before does not change the weights."""
    states = []
    for n_drawn in (0, 3):
        trained = copy.deepcopy(net)
        torch.rand(n_drawn)
        run_training(stage, net=trained)
        states.append(trained.state_dict())
    assert_equal(*states)


@BOTH
def test_nights_are_not_modified(run_training, net, make_night, stage):
    """Inputs, stages and masks of the nights stay as they were."""
    night = make_night(0, n_epochs=16)
    before = copy.deepcopy(night)
    run_training(stage, [night])
    assert torch.equal(night.inputs, before.inputs)
    np.testing.assert_array_equal(night.stages, before.stages)
    np.testing.assert_array_equal(night.usable, before.usable)


@BOTH
def test_an_interruption_keeps_the_best_state(
    run_training, net, scripted_scores, stage
):
    """In the middle of a later train epoch, the weights of the second return."""
    states = scripted_scores(0.1, 0.5, 0.3)
    progress = Progress(act_at=3 * 4 + 2, act=interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_training(
            stage,
            progress=progress,
            batch_size=1,
            patience=9,
            **{f"{stage}_train_epochs": 9},
        )
    assert_equal(trained_part(net, stage), states[1])


def test_interruptible_ends_the_training_not_the_session(training_log):
    """The interruption goes no further, and a warning tells of it."""
    with training.interruptible():
        interrupt()
    record = training_log.records[-1]
    assert record.levelname == "WARNING"
    assert "interrupted" in record.message


def test_interruptible_lets_errors_pass():
    """Only an interruption is taken for the end of the training."""
    with pytest.raises(RuntimeError, match="loss"), training.interruptible():
        raise RuntimeError("The loss")


@BOTH
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_loss_that_is_not_finite_is_an_error(
    run_training, net, monkeypatch, stage, value
):
    """The message names the remedy, and no weight takes part in the accident."""
    loss = torch.tensor(float(value), requires_grad=True)
    monkeypatch.setattr(phases, "stage_loss", lambda *_: loss)
    with pytest.raises(RuntimeError, match=f"became {value}.*'learning_rate'"):
        run_training(stage)
    assert all(tensor.isfinite().all() for tensor in net.state_dict().values())


@BOTH
def test_a_loss_that_becomes_not_finite_keeps_the_best_state(
    run_training, net, scripted_scores, monkeypatch, stage
):
    """Train epochs that went well are not lost."""
    states = scripted_scores(0.5, 0.4)

    def spoil():
        loss = torch.tensor(torch.nan, requires_grad=True)
        monkeypatch.setattr(phases, "stage_loss", lambda *_: loss)

    settings = {f"{stage}_train_epochs": 5, "batch_size": 1}
    with pytest.raises(RuntimeError, match="learning_rate"):
        run_training(stage, progress=Progress(act_at=2 * 4 + 1, act=spoil), **settings)
    assert_equal(trained_part(net, stage), states[0])


@BOTH
def test_history_has_one_row_for_each_train_epoch(run_training, stage):
    """A row names its phase and its train epoch."""
    rows = run_training(stage, **{f"{stage}_train_epochs": 3})
    assert [row["phase"] for row in rows] == [PHASE_NAMES[stage]] * 3
    assert [row["train_epoch"] for row in rows] == [1, 2, 3]


@BOTH
def test_the_kept_train_epoch_is_logged(
    run_training, scripted_scores, training_log, stage
):
    """The log tells which state was kept."""
    scripted_scores(0.1, 0.5, 0.3)
    run_training(stage, **{f"{stage}_train_epochs": 3})
    assert "Kept the state of train epoch 2." in training_log.messages


@BOTH
def test_progress_is_told_of_every_step(run_training, short_nights, monkeypatch, stage):
    """Once per optimiser step, and never more often than announced."""
    progress, n_steps = Progress(), []
    handle = register_optimizer_step_pre_hook(lambda *_: n_steps.append(1))
    try:
        run_training(
            stage, progress=progress, batch_size=1, **{f"{stage}_train_epochs": 2}
        )
    finally:
        handle.remove()
    assert progress.n_done == len(n_steps)
    assert progress.n_steps == 2 * count_batches(short_nights[:2], 8, 1)
    assert progress.n_done <= progress.n_steps
    assert progress.mesg == PHASE_NAMES[stage]


def record_steps(train):
    """Return the learning rate and the norm of the gradient at each step."""
    rates, norms = [], []

    def record(optimizer, *_):
        (group,) = optimizer.param_groups
        rates.append(group["lr"])
        gradients = [p.grad.norm() for p in group["params"] if p.grad is not None]
        norms.append(torch.stack(gradients).norm().item())

    handle = register_optimizer_step_pre_hook(record)
    try:
        train()
    finally:
        handle.remove()
    return np.array(rates), np.array(norms)


@BOTH
def test_gradients_are_clipped(run_training, stage):
    """No step is longer than a gradient of norm 1 makes it."""
    _, norms = record_steps(lambda: run_training(stage, **{f"{stage}_train_epochs": 3}))
    assert norms.max() == pytest.approx(1, rel=1e-3)


@BOTH
def test_the_learning_rate_follows_its_schedule(run_training, short_nights, stage):
    """Each step has the rate of its share of all steps."""
    settings = {"batch_size": 1, "learning_rate": 0.002, f"{stage}_train_epochs": 4}
    rates, _ = record_steps(lambda: run_training(stage, **settings))
    n_steps = 4 * count_batches(short_nights[:2], 8, 1)
    factors = [_warm_up_and_cosine(i / n_steps) for i in range(len(rates))]
    np.testing.assert_allclose(rates, 0.002 * np.array(factors))


@pytest.mark.parametrize(
    ("progress", "factor"),
    [(0, 0.01), (0.05, 0.5), (0.1, 1), (0.55, 0.5), (1, 0), (1.01, 0)],
)
def test_warm_up_and_cosine(progress, factor):
    """A line to the full rate in a tenth of the steps, then half a cosine to zero."""
    assert _warm_up_and_cosine(progress) == pytest.approx(factor, abs=1e-9)


@BOTH
def test_without_a_whole_train_epoch_the_weights_are_those_of_before(
    run_training, net, monkeypatch, stage
):
    """Interrupted in the first train epoch, half a train epoch is not kept."""
    before = copy.deepcopy(net.state_dict())
    stage_loss, n_calls = phases.stage_loss, []

    def interrupted(*args):
        n_calls.append(1)
        if len(n_calls) > 6:  # in the third step (pretrain), the second (finetune)
            raise KeyboardInterrupt
        return stage_loss(*args)

    monkeypatch.setattr(phases, "stage_loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_training(stage, batch_size=1)
    assert_equal(dict(net.state_dict()), dict(before))


@BOTH
@pytest.mark.parametrize("learning_rate", [1e5, 1e20, 1e38])
def test_a_learning_rate_that_explodes_leaves_finite_weights(
    run_training, net, stage, learning_rate
):
    """After the error, the network can be trained again with a lower rate."""
    with pytest.raises(RuntimeError, match="learning_rate"):
        run_training(
            stage,
            learning_rate=learning_rate,
            batch_size=1,
            **{f"{stage}_train_epochs": 5},
        )
    assert all(tensor.isfinite().all() for tensor in net.state_dict().values())


@pytest.mark.parametrize("scored", [True, False])
def test_a_batch_without_any_usable_epoch_is_harmless(run_training, make_night, scored):
    """An electrode that is off for a whole sequence does not end the training."""
    night, held_out = (make_night(i, n_epochs=24, scored=scored) for i in range(2))
    night.usable[8:] = held_out.usable[8:] = False
    (row,) = run_training("pretrain", [night], [held_out], batch_size=1)
    assert all(np.isfinite(v) for v in row.values() if isinstance(v, float))


@pytest.mark.parametrize("n_epochs", [16, 5])
def test_signals_of_unusable_epochs_do_not_enter_batch_norm(
    run_training, net, make_night, n_epochs
):
    """Whatever an artefact looks like, the weights come out the same."""
    states = []
    for amplitude in (1.0, 100.0):
        night, trained = make_night(0, n_epochs=n_epochs), copy.deepcopy(net)
        night.usable[2] = False
        night.inputs[2] *= amplitude
        run_training("pretrain", [night], held_out=[], net=trained)
        states.append(dict(trained.state_dict()))
    assert_equal(*states)
