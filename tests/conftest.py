"""A network that learns within seconds, and nights that it can learn from."""

import logging
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from stagers import PHASES, QUICK, SEEDS, TINY_SIZES, TINY_SMALL

from mne_mc2sleep import MC2SleepClassifier, simulate_night, training
from mne_mc2sleep._constants import N_TIMES, SFREQ
from mne_mc2sleep.data.nights import Night
from mne_mc2sleep.inference.sliding_window import encode_epochs
from mne_mc2sleep.network import MC2SleepConfig, MC2SleepNet
from mne_mc2sleep.network import config as network_config
from mne_mc2sleep.stager import Stager
from mne_mc2sleep.training import TrainingOptions, seeded

# Networks this small gain nothing from more threads, and lose much on a busy machine.
torch.set_num_threads(1)

BAND_CENTERS = np.array([20.0, 5.0, 9.0, 2.0, 13.0])  # Hz, one for each stage


@pytest.fixture(scope="session")
def config():
    """Return the sizes of a tiny network."""
    return MC2SleepConfig(sequence_layers=1, **TINY_SIZES)


@pytest.fixture
def net(config):
    """Return a tiny network that has learnt nothing."""
    with seeded(0):
        return MC2SleepNet(config).eval()


@pytest.fixture(scope="session")
def options():
    """Return settings by which the tiny network learns."""
    return TrainingOptions(
        pretrain_train_epochs=10,
        finetune_train_epochs=5,
        batch_size=4,
        learning_rate=3e-3,
        patience=8,
        validation_fraction=0.3,
        adaptation=1.0,
        seed=0,
    )


@pytest.fixture(scope="session")
def make_night():
    """Return a function that makes a night: bouts of stages, each a band of noise."""

    def make(seed, n_epochs=48, scored=True):
        rng = np.random.default_rng(seed)
        bouts = rng.integers(2, 6, n_epochs)
        stages = np.repeat(rng.integers(0, 5, n_epochs), bouts)[:n_epochs]
        frequencies = np.fft.rfftfreq(N_TIMES, 1 / SFREQ)
        bands = np.exp(-0.5 * (frequencies - BAND_CENTERS[stages][:, None]) ** 2)
        noise = np.fft.rfft(rng.standard_normal((n_epochs, N_TIMES)))
        signals = np.fft.irfft(noise * bands)
        signals *= 30 / signals.std(axis=1, keepdims=True)  # µV
        return Night(
            inputs=torch.from_numpy(signals.astype(np.float32)),
            stages=stages.astype(np.int8) if scored else np.full(n_epochs, -1, "i1"),
            usable=np.ones(n_epochs, dtype=bool),
            subject=f"subject {seed}",
        )

    return make


@pytest.fixture(scope="session")
def nights(make_night):
    """Return the nights of six subjects."""
    return [make_night(seed) for seed in range(6)]


@pytest.fixture(scope="session")
def trained(config, nights, options):
    """Return a stager after both stages of training; it must not be modified."""
    stager = Stager.untrained(config, seed=0, device="cpu")
    stager.pretrain(nights, options)
    stager.finetune(nights, options)
    return stager


@pytest.fixture(scope="session")
def short_nights(make_night):
    """Return three nights of two sequences, as signals."""
    return [make_night(seed, n_epochs=16) for seed in range(3)]


@pytest.fixture(scope="session")
def as_embeddings():
    """Return a function that turns nights into those that fine-tuning reads."""

    def as_embeddings(net, nights):
        return [night.encoded(encode_epochs(net, night.signals)) for night in nights]

    return as_embeddings


@pytest.fixture
def run_training(net, short_nights, options, as_embeddings):
    """Return a function that runs one stage of the training on short nights.

    It returns the history. The last night is held out unless ``held_out`` is empty.
    """

    def run_training(
        stage,
        nights=None,
        held_out=None,
        progress=None,
        checkpoint=None,
        callback=None,
        net=net,
        **settings,
    ):
        settings = {"pretrain_train_epochs": 1, "finetune_train_epochs": 1} | settings
        nights = short_nights[:2] if nights is None else nights
        held_out = short_nights[2:] if held_out is None else held_out
        if stage == "finetune" and not callable(nights):
            nights, held_out = (as_embeddings(net, part) for part in (nights, held_out))
        phase, history = PHASES[stage](net, replace(options, **settings)), []
        training.train(phase, nights, held_out, history, progress, checkpoint, callback)
        return history

    return run_training


@pytest.fixture
def training_log(caplog):
    """Return what is logged; MNE's logger does not propagate once MNE is imported."""
    logger = logging.getLogger("mne")
    caplog.set_level(logging.DEBUG, logger="mne")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


@pytest.fixture(scope="session")
def scored_raws():
    """Simulate three recordings of 40 epochs, and their stages as integers."""
    pairs = [simulate_night(1200, random_state=seed) for seed in SEEDS]
    return [raw for raw, _ in pairs], [h.as_int().to_numpy() for _, h in pairs]


@pytest.fixture(scope="session")
def raw(scored_raws):
    """Return one of the recordings."""
    return scored_raws[0][0]


@contextmanager
def _tiny_small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(network_config._SIZES, "small", TINY_SMALL)
        yield


@pytest.fixture(scope="session")
def fitted(scored_raws):
    """Train a tiny stager on the nights; it must not be modified."""
    with _tiny_small():
        return MC2SleepClassifier(**QUICK).fit(*scored_raws)


@pytest.fixture(scope="module")
def tiny_small():
    """Let "small" be a network that trains within a moment."""
    with _tiny_small():
        yield


@pytest.fixture(scope="session")
def two_nights(scored_raws):
    """Return two of the recordings, each with its stages."""
    return list(zip(*scored_raws, strict=True))[:2]


@pytest.fixture(scope="module")
def tiny_clf(fitted, tiny_small):
    """Return the tiny stager in a module where all stagers are tiny."""
    return fitted
