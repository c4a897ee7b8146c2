"""Training on a CPU that other programs use too."""

import logging

import pytest
import torch

from mne_mc2sleep.training import threads, useful_threads

CPU = torch.device("cpu")


@pytest.fixture
def two_threads(monkeypatch):
    """Let torch have two threads, and nobody fix their number."""
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("seconds", "expected"), [((1, 2), 1), ((1, 1.2), 2), ((2, 1), 2)]
)
def test_two_threads_are_used_unless_clearly_slower(
    seconds, expected, two_threads, monkeypatch, caplog
):
    """The log says when they are not, and the number is restored."""
    monkeypatch.setattr(threads, "_seconds_of_a_step", lambda n: seconds[n - 1])
    with caplog.at_level(logging.INFO, "mne"), useful_threads(CPU):
        assert torch.get_num_threads() == expected
    assert torch.get_num_threads() == 2
    assert ("uses 1 thread" in caplog.text) == (expected == 1)


def test_the_random_state_stays(two_threads):
    """The trial step draws nothing."""
    before = torch.get_rng_state()
    with useful_threads(CPU):
        assert torch.equal(torch.get_rng_state(), before)


def test_a_fixed_number_stays(two_threads, monkeypatch):
    """OMP_NUM_THREADS is the user's choice, which makes training repeatable."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setattr(threads, "_seconds_of_a_step", lambda n: n)
    with useful_threads(CPU):
        assert torch.get_num_threads() == 2
