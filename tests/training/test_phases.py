"""What the two phases of the training learn, and by which losses."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from stagers import BOTH, PHASES, assert_equal
from torch.nn import functional as F
from torch.optim.optimizer import register_optimizer_step_post_hook

from mne_mc2sleep import MC2SleepClassifier, training
from mne_mc2sleep.data.nights import iterate_batches
from mne_mc2sleep.network import Embeddings, MC2SleepNet
from mne_mc2sleep.training import TrainingOptions, phases, trainer
from mne_mc2sleep.training.losses import info_nce_loss

SEQUENCE_LEVEL = ("signal_stack", "spectrogram_stack", "modality_head", "total_head")


@BOTH
def test_training_learns_to_stage_subjects_that_it_has_not_seen(trained, stage):
    """The loss falls, and held-out subjects are staged well."""
    rows = [row for row in trained.history if row["phase"] == PHASES[stage].name]
    assert rows[-1]["loss"] < 0.85 * rows[0]["loss"]
    assert max(row["validation_macro_f1"] for row in rows) > 0.9


@pytest.mark.parametrize("scored", [(True, False), (False, False)], ids=str)
def test_pretraining_uses_the_stages_that_there_are(run_training, make_night, scored):
    """Its stage losses are zero without stages; the two others are always there."""
    nights = [make_night(i, 16, scored=scored[i]) for i in range(2)]
    (row,) = run_training("pretrain", nights)
    for name in ("stage_total", "stage_signal", "stage_spectrogram"):
        assert (row[name] > 0) is any(scored)
    assert row["contrastive"] > 0
    assert row["reconstruction"] > 0


def test_pretraining_changes_every_part_of_the_network(run_training, net):
    before = copy.deepcopy(net.state_dict())
    run_training("pretrain")
    constant = {
        name for name in before if torch.equal(before[name], net.state_dict()[name])
    }
    spectrogram = "spectrogram_backbone.spectrogram"
    assert constant == {
        "signal_backbone.scale",
        f"{spectrogram}.mean",
        f"{spectrogram}.std",
    }


@pytest.mark.parametrize("average_decay", [0.0, 0.9])
def test_finetuning_changes_the_sequence_level_only(run_training, net, average_decay):
    """All of it; backbones, projections and mask tokens stay the same to the bit."""
    before = copy.deepcopy(net.state_dict())
    run_training("finetune", finetune_train_epochs=2, average_decay=average_decay)
    for name, tensor in net.state_dict().items():
        is_trained = name.startswith(SEQUENCE_LEVEL)
        assert torch.equal(tensor, before[name]) != is_trained, name


@pytest.mark.parametrize("name", ["contrastive", "reconstruction"])
def test_weights_scale_the_losses(run_training, net, name):
    nothing, once, twice = (
        run_training(
            "pretrain", net=copy.deepcopy(net), batch_size=99, **{f"{name}_weight": w}
        )[0][name]
        for w in (0.0, 0.1, 0.2)
    )
    assert nothing == 0
    assert twice == pytest.approx(2 * once, rel=1e-5)


def losses_of(net, stage, options, night):
    """Return the losses of a night, and the log-posteriors of all its epochs."""
    if stage == "finetune":
        with torch.no_grad():
            night = night.encoded(torch.stack(net.encode(night.signals), dim=1))
    phase = PHASES[stage](net, options)
    (batch,) = iterate_batches([night], 8, batch_size=2)
    with torch.no_grad():
        contexts = net.contextualize(phase.embed(batch), batch.usable)
        log_posteriors = net.stage(contexts).total.log_softmax(-1).reshape(-1, 5)
        return phase(batch), log_posteriors


@BOTH
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("is_soft", [False, True])
def test_stage_losses_are_the_mean_over_scored_epochs(
    net, make_night, options, stage, smoothing, is_soft
):
    """The cross-entropy by hand; smoothing gives a share to all five stages."""
    night = make_night(0, n_epochs=16)
    night.stages[::3] = -1
    night.usable[4] = False
    targets = np.eye(5, dtype=np.float32)[night.stages]
    if is_soft:
        targets = np.random.default_rng(0).dirichlet(np.ones(5), 16).astype("f4")
        targets[::3] = 0
        night = replace(night, soft_stages=targets)
    options = replace(options, label_smoothing=smoothing)
    losses, log_posteriors = losses_of(net, stage, options, night)
    terms = -log_posteriors.numpy() * ((1 - smoothing) * targets + smoothing / 5)
    scored = [i for i in range(16) if i % 3 and i != 4]
    expected = terms.sum(axis=1)[scored].mean()
    assert losses["stage_total"].item() == pytest.approx(expected, rel=1e-5)


@BOTH
def test_stages_of_unusable_epochs_teach_nothing(run_training, net, make_night, stage):
    states = []
    for wrong in (0, -1):
        night, trained = make_night(0, n_epochs=16), copy.deepcopy(net)
        night.usable[2:5] = False
        night.stages[2:5] = wrong
        run_training(stage, [night], net=trained)
        states.append(trained.state_dict())
    assert_equal(*states)


@pytest.mark.parametrize("n_epochs", [16, 5])
def test_signals_of_unusable_epochs_do_not_enter_batch_norm(
    run_training, net, make_night, n_epochs
):
    states = []
    for amplitude in (1.0, 100.0):
        night, trained = make_night(0, n_epochs=n_epochs), copy.deepcopy(net)
        night.usable[2] = False
        night.signals[2] *= amplitude
        run_training("pretrain", [night], held_out=[], net=trained)
        states.append(dict(trained.state_dict()))
    assert_equal(*states)


@pytest.mark.parametrize("scored", [True, False])
def test_a_batch_without_any_usable_epoch_is_harmless(run_training, make_night, scored):
    """An electrode that is off for a whole sequence does not end the training."""
    night, held_out = (make_night(i, n_epochs=24, scored=scored) for i in range(2))
    night.usable[8:] = held_out.usable[8:] = False
    (row,) = run_training("pretrain", [night], [held_out], batch_size=1)
    assert all(np.isfinite(v) for v in row.values() if isinstance(v, float))


def test_without_stages_validation_uses_the_loss(net, make_night, options):
    """The same masks are drawn each time, so that scores can be compared."""
    phase = training.Pretraining(net, options)
    held_out = [make_night(9, 16, scored=False)]
    first, second = (trainer.validate(phase, held_out) for _ in range(2))
    assert first == second
    assert first[0] == "validation_negative_loss"
    assert first[1] < 0


def test_validation_counts_the_stages_that_there_are(trained, make_night, options):
    """A stage that no held-out night has does not lower macro-F1."""
    held_out = [make_night(seed) for seed in (90, 91)]
    for night in held_out:
        night.stages[night.stages == 4] = -1
    phase = training.Pretraining(copy.deepcopy(trained.net), options)
    name, score = trainer.validate(phase, held_out)
    assert name == "validation_macro_f1"
    assert score > 0.9


@BOTH
def test_validation_changes_no_weight(net, short_nights, options, as_embeddings, stage):
    held_out = short_nights if stage == "pretrain" else as_embeddings(net, short_nights)
    before = copy.deepcopy(net.state_dict())
    trainer.validate(PHASES[stage](net.train(), options), held_out)
    assert_equal(net.state_dict(), before)


TERMS = {
    "pretrain": {"contrastive", "reconstruction"},
    "finetune": {"stage_signal_only", "stage_spectrogram_only"},
}


@BOTH
def test_the_loss_is_the_sum_of_its_terms(run_training, stage):
    """Pretraining has three stage losses and two others, fine-tuning five."""
    (row,) = run_training(stage)
    terms = {"stage_total", "stage_signal", "stage_spectrogram"} | TERMS[stage]
    assert terms <= row.keys()
    assert row["loss"] == pytest.approx(sum(row[term] for term in terms), rel=1e-5)


def test_input_statistics_are_those_of_the_signals(net, nights):
    """The scale is the standard deviation in µV, spectrograms come out standardised."""
    training.fit_input_statistics(net, nights, seed=0)
    signals = torch.cat([night.signals for night in nights])
    assert net.signal_backbone.scale.item() == pytest.approx(30, rel=1e-3)
    spectrogram = net.spectrogram_backbone.spectrogram(signals)
    np.testing.assert_allclose(spectrogram.mean(dim=(0, 1)), 0, atol=1e-3)
    assert spectrogram.std(dim=(0, 1)).max() == pytest.approx(1, abs=1e-3)


def test_unusable_epochs_do_not_enter_the_input_statistics(config, make_night):
    statistics = []
    for amplitude in (1, 1e4):
        night, net = make_night(0, n_epochs=16), MC2SleepNet(config)
        night.usable[3] = False
        night.signals[3] *= amplitude
        training.fit_input_statistics(net, [night], seed=0)
        spectrogram = net.spectrogram_backbone.spectrogram.state_dict()
        statistics.append({"scale": net.signal_backbone.scale, **spectrogram})
    assert_equal(*statistics)


def test_input_statistics_come_from_all_nights(net, make_night, monkeypatch):
    monkeypatch.setattr(phases, "_N_STATISTICS", 8)
    quiet, loud = make_night(0, n_epochs=16), make_night(1, n_epochs=16)
    loud.signals.mul_(3)
    training.fit_input_statistics(net, [quiet, loud], seed=0)
    expected = 30 * math.sqrt((1 + 9) / 2)
    assert net.signal_backbone.scale.item() == pytest.approx(expected, rel=1e-2)


@BOTH
def test_averaged_weights_are_those_that_are_kept(
    run_training, net, monkeypatch, stage
):
    """The moving average over the steps, from the first, which is validated too."""
    states, validated = [], []

    def validate(phase, held_out):
        validated.append([p.detach().clone() for p in phase.parameters()])
        return "validation_macro_f1", 0.5

    monkeypatch.setattr(trainer, "validate", validate)
    handle = register_optimizer_step_post_hook(
        lambda *_: states.append([p.detach().clone() for p in net.parameters()])
    )
    try:
        run_training(stage, batch_size=1, average_decay=0.7)
    finally:
        handle.remove()
    expected = states[0]
    for state in states[1:]:
        expected = [0.7 * e + 0.3 * s for e, s in zip(expected, state, strict=True)]
    torch.testing.assert_close([p.detach() for p in net.parameters()], expected)
    torch.testing.assert_close(validated[0], expected)


@BOTH
def test_lower_precision_trains_almost_the_same(run_training, net, stage):
    """The losses in bfloat16 are close, and the weights are float32."""
    (expected,) = run_training(stage, net=copy.deepcopy(net))
    (found,) = run_training(stage, precision="bfloat16")
    assert found["loss"] != expected["loss"]
    assert found["loss"] == pytest.approx(expected["loss"], rel=0.05)
    assert all(p.dtype == torch.float32 for p in net.parameters())


def test_info_nce_compares_in_float32_and_different_epochs(
    net, make_night, options, monkeypatch
):
    """Under autocast too. An epoch of overlapping sequences is not its own negative."""
    pairs = F.normalize(torch.randn(2, 16, 16), dim=-1)
    monkeypatch.setattr(MC2SleepNet, "project", lambda *_: Embeddings(*pairs))
    phase = training.Pretraining(net, options)
    # 12 epochs in sequences of 8 that overlap by 4.
    (batch,) = iterate_batches([make_night(0, 12)], 8, batch_size=2)
    same_epoch = torch.eye(16, dtype=torch.bool)
    for epoch in range(4, 8):
        same_epoch[epoch, epoch + 4] = same_epoch[epoch + 4, epoch] = True
    expected = info_nce_loss(*pairs, options.contrastive_temperature, same_epoch)
    embeddings = Embeddings(*torch.zeros(2, 2, 8, 16))
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            assert_equal(phase.contrastive_loss(embeddings, batch), expected)


def test_spectrograms_keep_their_precision(net, make_night):
    """Faint fast waves beside large slow ones would drown in bfloat16's rounding."""
    signals = make_night(0, 8).signals
    spectrogram = net.spectrogram_backbone.spectrogram
    with torch.autocast("cpu", torch.bfloat16):
        found = spectrogram(signals)
    assert_equal(found, spectrogram(signals))


def test_the_classifier_has_the_defaults_of_the_options():
    """Options that are not its parameters have values that change nothing."""
    parameters = MC2SleepClassifier(random_state=0).get_params()
    options = TrainingOptions.from_parameters(parameters)
    assert options == TrainingOptions(seed=options.seed)
