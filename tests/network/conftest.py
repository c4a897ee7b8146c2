"""A tiny network of two layers at the sequence level, and what it reads."""

import pytest
import torch
from stagers import TINY_SIZES

from mne_mc2sleep._constants import N_TIMES
from mne_mc2sleep.network import Embeddings, MC2SleepConfig


@pytest.fixture(scope="session")
def config():
    """Return the sizes of a tiny network."""
    return MC2SleepConfig(sequence_layers=2, **TINY_SIZES)


@pytest.fixture
def embeddings(config):
    """Return three whole sequences."""
    shape = (2, 3, config.sequence_length, config.width)
    return Embeddings(*torch.randn(shape, generator=torch.Generator().manual_seed(0)))


@pytest.fixture
def signals():
    """Return four epochs of white noise of 30 µV."""
    return 30 * torch.randn(4, N_TIMES, generator=torch.Generator().manual_seed(0))
