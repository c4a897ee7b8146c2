"""Tests of networks of your own."""

import pytest
import torch
from stagers import QUICK

from mne_mc2sleep import MC2SleepClassifier
from mne_mc2sleep.network import MC2SleepNet, SleepNetwork, make_network


class OwnNet(MC2SleepNet):
    """MC2SleepNet with a head of its own."""

    def __init__(self, config):
        super().__init__(config)
        self.total_head = torch.nn.Sequential(
            torch.nn.Linear(2 * config.width, 7), torch.nn.Linear(7, 5)
        )


@pytest.mark.usefixtures("tiny_small")
def test_own_network_is_trained_saved_and_loaded(scored_raws, tmp_path):
    """Its class must be passed to load it; the error names it."""
    raw, fname = scored_raws[0][0], tmp_path / "own.safetensors"
    clf = MC2SleepClassifier(**QUICK, network=OwnNet).fit(*scored_raws)
    clf.save(fname)
    loaded = MC2SleepClassifier.from_pretrained(fname, network=OwnNet)
    assert loaded.predict_proba(raw).equals(clf.predict_proba(raw))
    with pytest.raises(ValueError, match=r"test_interface:OwnNet', but network=None"):
        MC2SleepClassifier.from_pretrained(fname)
    with pytest.raises(ValueError, match=r"OwnNet', but network='.*:MC2SleepNet'"):
        MC2SleepClassifier.from_pretrained(fname, network=MC2SleepNet)


def test_shipped_weights_are_not_of_an_own_network():
    """Passing one is an error, not a network with other weights."""
    with pytest.raises(ValueError, match="of the network 'MC2SleepNet', but"):
        MC2SleepClassifier.from_pretrained(network=OwnNet)


def test_another_class_is_refused_and_missing_members_are_named(config):
    class Incomplete(SleepNetwork):
        encode = project = MC2SleepNet.project

    with pytest.raises(TypeError, match=r"Incomplete .*backbones.*recover.*stage"):
        make_network(config, lambda config: Incomplete())
    with pytest.raises(TypeError, match=r"subclass of MC2SleepNet, got Linear"):
        make_network(config, lambda config: torch.nn.Linear(2, 2))
