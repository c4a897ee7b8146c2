"""Tests of encoding, fusion and calibration, and of windows in steps."""

import copy

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from mne_mc2sleep.inference import sliding_window
from mne_mc2sleep.inference.sliding_window import (
    encode_epochs,
    fit_temperature,
    log_posteriors,
    stage_in_steps,
)
from mne_mc2sleep.io.recordings import Recording
from mne_mc2sleep.network import Embeddings

LENGTH = 8  # epochs of a sequence of the tiny network


@pytest.fixture(scope="module")
def trained_net(trained):
    """Return a network whose posteriors differ from epoch to epoch."""
    return trained.net


@pytest.fixture(scope="module")
def night(make_night):
    """Return a night of several windows and an odd number of epochs."""
    return make_night(50, n_epochs=29)


@pytest.fixture(scope="module")
def embeddings(trained_net, night):
    """Return the embeddings of the night."""
    return encode_epochs(trained_net, night.signals)


def all_but(n_epochs, *unusable):
    """Return a mask of usable epochs."""
    usable = np.ones(n_epochs, dtype=bool)
    usable[list(unusable)] = False
    return usable


@torch.no_grad()
def test_embeddings_hold_both_modalities(net, night):
    """Of arrays and of tensors."""
    expected = torch.stack(net.encode(night.signals), dim=1)
    for signals in (night.signals, night.signals.numpy()):
        torch.testing.assert_close(encode_epochs(net, signals), expected)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_results_do_not_depend_on_the_batch_size(
    trained_net, night, embeddings, size, monkeypatch
):
    usable = all_but(29, *range(3, 14))
    expected = log_posteriors(trained_net, embeddings, usable)
    monkeypatch.setattr(sliding_window, "_BATCH_SIZE", 0)
    monkeypatch.setattr(sliding_window, "_MIN_EPOCHS", size)
    monkeypatch.setattr(sliding_window, "_WINDOWS_AT_ONCE", size)
    found = encode_epochs(trained_net, night.signals)
    torch.testing.assert_close(found, embeddings, rtol=0, atol=1e-6)
    found = log_posteriors(trained_net, embeddings, usable)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def stage_window(net, embeddings, usable):
    """Return the log-posteriors of one window."""
    with torch.no_grad():
        window = Embeddings(*embeddings[None].unbind(dim=2))
        logits = net.stage(net.contextualize(window, torch.as_tensor(usable)[None]))
    return log_softmax(logits.total[0].double().numpy(), axis=-1)


@pytest.mark.parametrize("n_epochs", [1, 2, 3, 7, 8, 9, 10, 13, 29])
def test_windows_are_fused_by_their_mean_log_posterior(
    trained_net, embeddings, n_epochs
):
    """As by a loop over windows a quarter of a sequence apart.

    A night of a sequence or less is one window.
    """
    part, usable = embeddings[:n_epochs], all_but(n_epochs, *range(2, n_epochs, 20))
    last = max(n_epochs - LENGTH, 0)
    rows = [[] for _ in range(n_epochs)]
    for start in {*range(0, last, LENGTH // 4), last}:
        window = slice(start, start + LENGTH)
        posteriors = stage_window(trained_net, part[window], usable[window])
        for i, row in enumerate(posteriors):
            rows[start + i].append(row)
    expected = log_softmax([np.mean(row, axis=0) for row in rows], axis=-1)
    found = log_posteriors(trained_net, part, usable)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1)


@pytest.mark.parametrize("unusable", [range(29), range(8, 24)], ids=["all", "most"])
def test_windows_without_any_usable_epoch_are_finite(trained_net, embeddings, unusable):
    found = log_posteriors(trained_net, embeddings, all_but(29, *unusable))
    assert np.isfinite(found).all()


def test_threads_change_neither_the_results_nor_their_number(trained_net, night):
    alone = encode_epochs(trained_net, night.signals)
    torch.set_num_threads(2)
    try:
        together = encode_epochs(trained_net, night.signals.repeat(5, 1))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    torch.testing.assert_close(together[:29], alone)


def test_a_network_in_train_mode_is_put_into_eval_mode(trained_net, night):
    """The network is in eval mode, without dropout, and its buffers do not change."""
    net = copy.deepcopy(trained_net)
    expected = log_posteriors(net, encode_epochs(net, night.signals), night.usable)
    embeddings = encode_epochs(net.train(), night.signals)
    assert not net.training
    found = log_posteriors(net.train(), embeddings, night.usable)
    np.testing.assert_array_equal(found, expected)
    torch.testing.assert_close(net.state_dict(), trained_net.state_dict())


def first_sample(channels):
    """Return the time of the first sample of each epoch of the first channel."""
    return np.repeat(channels[0].signals[:, :1], 5, axis=1)


def seconds(*usable):
    """Return a channel that holds the time in seconds."""
    times = (np.arange(3000 * len(usable)) / 100).reshape(-1, 3000)
    return Recording(times, np.where(usable, "", "flat"), "Cz", None, None)


@pytest.mark.parametrize("step", [1, 2.5, 5, 30])
@pytest.mark.parametrize("n_epochs", [1, 4])
def test_a_window_begins_every_step_until_the_last_whole_one(n_epochs, step):
    channels = [seconds(*[True] * n_epochs)]
    onsets, proba, is_usable = stage_in_steps(first_sample, channels, step)
    np.testing.assert_allclose(onsets, np.arange(0, 30 * n_epochs - 29.999, step))
    np.testing.assert_allclose(proba[:, 0], onsets)
    assert is_usable.all()


def test_a_window_is_usable_if_the_epochs_that_it_overlaps_are():
    """On any channel."""
    channels = [seconds(True, True, False, True), seconds(False, False, False, True)]
    result = stage_in_steps(first_sample, channels, 10)
    assert result[2].tolist() == [True] * 4 + [False] * 5 + [True]


@pytest.mark.parametrize("step", [0, -5, 7, 60])
def test_a_step_must_divide_an_epoch(step):
    with pytest.raises(ValueError, match="'step' must divide 30 s"):
        stage_in_steps(first_sample, [seconds(True, True)], step)


def test_predict_proba_has_a_row_for_each_window(fitted, raw):
    """Every sixth is that of an epoch."""
    fine = fitted.predict_proba(raw, step=5)
    coarse = fitted.predict_proba(raw)
    np.testing.assert_allclose(fine.index, np.arange(0, 1200 - 29, 5))
    np.testing.assert_allclose(fine.iloc[::6], coarse)
    (again,) = fitted.predict_proba([raw], step=30, picks="EEG Fpz-Cz")
    np.testing.assert_allclose(again, coarse)


def draw(n_epochs):
    """Return log-posteriors and stages drawn by them: perfectly calibrated."""
    rng = np.random.default_rng(0)
    posteriors = log_softmax(2 * rng.standard_normal((n_epochs, 5)), axis=1)
    cumulative = np.exp(posteriors).cumsum(axis=1)
    return posteriors, (rng.random((n_epochs, 1)) > cumulative).sum(axis=1).clip(max=4)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_fit_temperature_recovers_a_known_temperature(temperature):
    posteriors, stages = draw(20_000)
    found = fit_temperature(log_softmax(posteriors * temperature, axis=1), stages)
    assert found == pytest.approx(temperature, rel=0.05)


def test_fit_temperature_ignores_unscored_epochs():
    posteriors, stages = draw(200)
    expected = fit_temperature(posteriors[::2], stages[::2])
    stages[1::2] = -1
    assert fit_temperature(posteriors, stages) == expected


@pytest.mark.parametrize(("sign", "bound"), [(1, 0.1), (-1, 10.0)])
def test_fit_temperature_has_bounds(sign, bound):
    """Where the network is always right, or always wrong."""
    posteriors, _ = draw(50)
    found = fit_temperature(posteriors, (sign * posteriors).argmax(axis=1))
    assert found == pytest.approx(bound, rel=1e-3)
    assert 0.1 <= found <= 10
