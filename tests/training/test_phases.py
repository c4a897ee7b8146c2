"""What the two stages of training learn, and by which losses."""

import copy
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from mne_mc2sleep import MC2SleepClassifier, training
from mne_mc2sleep.data.nights import iterate_batches
from mne_mc2sleep.network import MC2SleepNet
from mne_mc2sleep.training import TrainingOptions, phases
from mne_mc2sleep.training import trainer as _loop

BOTH = pytest.mark.parametrize("stage", ["pretrain", "finetune"])
PHASES = {"pretrain": phases._Pretraining, "finetune": phases._Finetuning}
SEQUENCE_LEVEL = ("signal_stack", "spectrogram_stack", "modality_head", "total_head")
assert_equal = partial(torch.testing.assert_close, rtol=0, atol=0)


@pytest.mark.parametrize("phase", ["Pretraining", "Fine-tuning"])
def test_the_loss_falls(trained, phase):
    """Each stage of the training lowers its loss on learnable nights."""
    losses = [row["loss"] for row in trained.history if row["phase"] == phase]
    assert losses[-1] < 0.85 * losses[0]


@pytest.mark.parametrize("phase", ["Pretraining", "Fine-tuning"])
def test_held_out_subjects_are_staged_well(trained, phase):
    """What is learnt holds for subjects that were not trained on."""
    scores = [r["validation_macro_f1"] for r in trained.history if r["phase"] == phase]
    assert max(scores) > 0.9


@pytest.mark.parametrize(
    ("scored", "is_learnt"),
    [((True, True), True), ((True, False), True), ((False, False), False)],
    ids=["all", "some", "none"],
)
def test_pretraining_uses_the_stages_that_there_are(
    run_training, make_night, scored, is_learnt
):
    """Its stage losses are zero without stages; the two others are always there."""
    nights = [make_night(i, 16, scored=scored[i]) for i in range(2)]
    (row,) = run_training("pretrain", nights)
    for name in ("stage_total", "stage_signal", "stage_spectrogram"):
        assert (row[name] > 0) is is_learnt
    assert row["contrastive"] > 0
    assert row["reconstruction"] > 0


def test_pretraining_changes_every_part_of_the_network(run_training, net):
    """Backbones, projections, mask tokens, sequence level and heads all learn."""
    before = copy.deepcopy(net.state_dict())
    run_training("pretrain")
    constant = {
        name for name in before if torch.equal(before[name], net.state_dict()[name])
    }
    # The statistics of the inputs are not learnt, but taken before.
    spectrogram = "spectrogram_backbone.spectrogram"
    assert constant == {
        "signal_backbone.scale",
        f"{spectrogram}.mean",
        f"{spectrogram}.std",
    }


def test_finetuning_leaves_the_rest_of_the_network_bit_identical(run_training, net):
    """Backbones with their BatchNorm statistics, projections and tokens stay."""
    before = copy.deepcopy(net.state_dict())
    run_training("finetune", finetune_train_epochs=2)
    changed = {
        name.split(".")[0]
        for name, tensor in net.state_dict().items()
        if not torch.equal(tensor, before[name])
    }
    assert changed == set(SEQUENCE_LEVEL)


def test_finetuning_changes_every_weight_of_the_sequence_level(run_training, net):
    """Both stacks and both heads learn, cross-attention included."""
    before = copy.deepcopy(net.state_dict())
    run_training("finetune")
    assert not any(
        torch.equal(tensor, before[name])
        for name, tensor in net.state_dict().items()
        if name.startswith(SEQUENCE_LEVEL)
    )


def test_a_mask_ratio_of_zero_gives_no_reconstruction_loss(run_training):
    """Where nothing is hidden nothing is recovered."""
    (row,) = run_training("pretrain", mask_ratio=0.0)
    assert row["reconstruction"] == 0


@pytest.mark.parametrize("name", ["contrastive", "reconstruction"])
def test_weights_scale_the_losses(run_training, net, name):
    """A weight of zero leaves the loss out, twice the weight counts twice."""
    losses = [
        run_training(
            "pretrain", net=copy.deepcopy(net), batch_size=99, **{f"{name}_weight": w}
        )
        for w in (0.0, 0.1, 0.2)
    ]
    nothing, once, twice = (history[0][name] for history in losses)
    assert nothing == 0
    assert twice == pytest.approx(2 * once, rel=1e-5)


@pytest.mark.parametrize(
    "setting", [{"excluded_neighbors": 3}, {"exclude_same_stage": True}]
)
def test_excluded_negatives_lower_the_contrastive_loss(run_training, net, setting):
    """Fewer negatives are easier to tell from the positive."""
    (plain,) = run_training("pretrain", net=copy.deepcopy(net), batch_size=99)
    (fewer,) = run_training(
        "pretrain", net=copy.deepcopy(net), batch_size=99, **setting
    )
    assert fewer["contrastive"] < plain["contrastive"]


@BOTH
def test_stage_losses_are_the_mean_over_scored_epochs(
    net, make_night, options, as_embeddings, stage
):
    """The cross-entropy by hand, over the epochs that have a stage."""
    night = make_night(0, n_epochs=16)
    night.stages[::3] = -1
    night.usable[4] = False
    if stage == "finetune":
        (night,) = as_embeddings(net, [night])
    phase = PHASES[stage](net, options)
    (batch,) = iterate_batches([night], 8, batch_size=2)
    with torch.no_grad():
        found = phase.losses(batch)["stage_total"]
        contexts = net.contextualize(phase.embed(batch), batch.usable)
        log_posteriors = net.stage(contexts).total.log_softmax(-1).reshape(16, 5)
    scored = [i for i in range(16) if i % 3 and i != 4]
    expected = [-log_posteriors[i, night.stages[i]].item() for i in scored]
    assert found.item() == pytest.approx(np.mean(expected), rel=1e-5)


@BOTH
def test_stages_of_unusable_epochs_teach_nothing(run_training, net, make_night, stage):
    """Whatever stage stands at an epoch without EEG, the weights come out the same."""
    states = []
    for wrong in (0, 3, -1):
        night, trained = make_night(0, n_epochs=16), copy.deepcopy(net)
        night.usable[2:5] = False
        night.stages[2:5] = wrong
        run_training(stage, [night], net=trained)
        states.append(trained.state_dict())
    assert_equal(states[0], states[1])
    assert_equal(states[0], states[2])


def test_without_stages_validation_goes_by_the_loss(run_training, make_night):
    """Where no held-out night is scored, the lowest loss is the best."""
    held_out = [make_night(9, 16, scored=False)]
    (row,) = run_training("pretrain", held_out=held_out)
    assert row["validation_negative_loss"] < 0
    assert "validation_macro_f1" not in row


def test_validation_by_the_loss_can_be_compared(net, make_night, options):
    """The same masks are drawn each time, so the same weights score the same."""
    phase = phases._Pretraining(net, options)
    held_out = [make_night(9, 16, scored=False)]
    first, second = (_loop._validate(phase, held_out, options) for _ in range(2))
    assert first == second


def test_validation_counts_the_stages_that_are_there(trained, make_night, options):
    """A stage that no held-out night has does not spoil macro-F1."""
    held_out = [make_night(seed) for seed in (90, 91)]
    for night in held_out:
        night.stages[night.stages == 4] = -1
    phase = phases._Pretraining(copy.deepcopy(trained.net), options)
    score, name = _loop._validate(phase, held_out, options)
    assert name == "validation_macro_f1"
    assert score > 0.9


@BOTH
def test_validation_changes_no_weight(net, short_nights, options, as_embeddings, stage):
    """BatchNorm statistics of held-out nights do not enter the network."""
    held_out = short_nights if stage == "pretrain" else as_embeddings(net, short_nights)
    before = copy.deepcopy(net.state_dict())
    _loop._validate(PHASES[stage](net.train(), options), held_out, options)
    assert_equal(net.state_dict(), before)


def test_without_held_out_nights_there_is_no_score(run_training):
    """The history says so by NaN."""
    (row,) = run_training("finetune", held_out=[])
    assert math.isnan(row["validation_macro_f1"])


@pytest.mark.parametrize(
    ("stage", "terms"),
    [
        (
            "pretrain",
            {"stage_total", "stage_signal", "stage_spectrogram"}
            | {"contrastive", "reconstruction"},
        ),
        (
            "finetune",
            {"stage_total", "stage_signal", "stage_spectrogram"}
            | {"stage_signal_only", "stage_spectrogram_only"},
        ),
    ],
)
def test_the_loss_is_the_sum_of_its_terms(run_training, stage, terms):
    """Pretraining has three stage losses and two others, fine-tuning five."""
    (row,) = run_training(stage)
    assert row.keys() - terms == {
        "phase",
        "train_epoch",
        "loss",
        "validation_macro_f1",
    }
    assert row["loss"] == pytest.approx(sum(row[term] for term in terms), rel=1e-5)


def spectrum_of(net):
    """Return the statistics of the inputs that a network holds."""
    spectrogram = net.spectrogram_backbone.spectrogram
    return {"scale": net.signal_backbone.scale, **spectrogram.state_dict()}


def test_input_statistics_are_those_of_the_signals(net, nights):
    """The scale is the standard deviation in µV, spectrograms come out standardised."""
    training.fit_input_statistics(net, nights, seed=0)
    signals = torch.cat([night.inputs for night in nights])
    assert net.signal_backbone.scale.item() == pytest.approx(30, rel=1e-3)
    spectrogram = net.spectrogram_backbone.spectrogram(signals)
    np.testing.assert_allclose(spectrogram.mean(dim=(0, 1)), 0, atol=1e-3)
    assert spectrogram.std(dim=(0, 1)).max() == pytest.approx(1, abs=1e-3)


def test_unusable_epochs_do_not_enter_the_input_statistics(config, make_night):
    """An artefact of any size leaves them as they are."""
    statistics = []
    for amplitude in (1, 1e4):
        night, net = make_night(0, n_epochs=16), MC2SleepNet(config)
        night.usable[3] = False
        night.inputs[3] *= amplitude
        training.fit_input_statistics(net, [night], seed=0)
        statistics.append(spectrum_of(net))
    assert_equal(*statistics)


def test_input_statistics_come_from_all_nights(net, make_night, monkeypatch):
    """Where there are more epochs than are needed, each night gives its share."""
    monkeypatch.setattr(phases, "_N_STATISTICS", 8)
    quiet, loud = make_night(0, n_epochs=16), make_night(1, n_epochs=16)
    loud.inputs.mul_(3)
    training.fit_input_statistics(net, [quiet, loud], seed=0)
    expected = 30 * math.sqrt((1 + 9) / 2)
    assert net.signal_backbone.scale.item() == pytest.approx(expected, rel=1e-2)


@BOTH
def test_smoothed_labels_ask_for_all_stages(
    net, make_night, options, as_embeddings, stage
):
    """The loss by hand: a share of each epoch goes evenly to all five stages."""
    night = make_night(0, n_epochs=16)
    night.stages[::3] = -1
    if stage == "finetune":
        (night,) = as_embeddings(net, [night])
    phase = PHASES[stage](net, replace(options, label_smoothing=0.2))
    (batch,) = iterate_batches([night], 8, batch_size=2)
    with torch.no_grad():
        found = phase.losses(batch)["stage_total"]
        contexts = net.contextualize(phase.embed(batch), batch.usable)
        log_posteriors = net.stage(contexts).total.log_softmax(-1).reshape(16, 5)
    scored = np.flatnonzero(night.stages != -1)
    chosen = log_posteriors[scored, night.stages[scored]]
    expected = -(0.8 * chosen + 0.2 * log_posteriors[scored].mean(dim=-1)).mean()
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


@BOTH
def test_averaged_weights_are_those_that_are_kept(
    run_training, net, options, monkeypatch, stage
):
    """The moving average over the steps, from the first on, which is validated too."""
    states, validated = [], []

    def look(optimizer, *_):
        (group,) = optimizer.param_groups
        states.append([p.detach().clone() for p in group["params"]])

    def validate(phase, *_):
        validated.append([p.detach().clone() for p in phase.trained.parameters()])
        return 0.5, "validation_macro_f1"

    monkeypatch.setattr(_loop, "_validate", validate)
    handle = register_optimizer_step_post_hook(look)
    try:
        run_training(stage, batch_size=1, average_decay=0.7)
    finally:
        handle.remove()
    expected = states[0]
    for state in states[1:]:
        expected = [0.7 * e + 0.3 * s for e, s in zip(expected, state, strict=True)]
    kept = list(PHASES[stage](net, options).trained.parameters())
    torch.testing.assert_close(kept, expected)
    torch.testing.assert_close(validated[0], expected)


@BOTH
def test_lower_precision_trains_almost_the_same(run_training, net, stage):
    """In bfloat16 the losses of a train epoch are close, and the weights float32."""
    found, expected = (
        run_training(stage, net=trained, precision=precision)[0]
        for precision, trained in [("bfloat16", net), ("float32", copy.deepcopy(net))]
    )
    assert found["loss"] != expected["loss"]
    assert found["loss"] == pytest.approx(expected["loss"], rel=0.05)
    assert all(p.dtype == torch.float32 for p in net.parameters())


def test_spectrograms_keep_their_precision(net, make_night):
    """Faint fast waves beside large slow ones would drown in bfloat16's rounding."""
    signals = make_night(0, 8).inputs
    spectrogram = net.spectrogram_backbone.spectrogram
    with torch.autocast("cpu", torch.bfloat16):
        found = spectrogram(signals)
    assert_equal(found, spectrogram(signals))


def test_an_unknown_precision_is_refused(options):
    """The error names those that there are."""
    with pytest.raises(ValueError, match=r"precision.*bfloat16.*float16"):
        replace(options, precision="float16")


def test_the_parameters_of_the_classifier_are_enough():
    """What it does not know has the values that change nothing."""
    options = TrainingOptions.from_parameters(MC2SleepClassifier().get_params())
    assert options.label_smoothing == options.average_decay == 0
    assert options.precision == "float32"
