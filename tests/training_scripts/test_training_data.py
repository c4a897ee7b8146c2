"""Band powers, heads, teachers and constants: what is trained on besides recordings."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import continuation
import distillation
import numpy as np
import pytest
import rehearsal
import sleep_edf_heads as heads
import torch
from numpy.testing import assert_allclose
from teachers import mix_targets

from mne_mc2sleep.datasets import read_night, sleep_edf
from mne_mc2sleep.network import MC2SleepNet
from mne_mc2sleep.simulation import constants


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("powers")


@pytest.fixture(scope="module")
def powers(folder):
    """Make the file from two nights, and read it as the training does."""
    import band_power_nights
    import make_band_powers

    with rehearsal.physionet(folder, (13, 36)):
        data = folder / "fetched"
        data.mkdir()
        arguments = [folder / "powers.npz", "--data", data, "--subjects", 13, 36]
        make_band_powers.main([*map(str, arguments)])
    return band_power_nights.read_power_nights(folder / "powers.npz")


def test_nights_and_stages_are_those_of_the_recordings(folder, powers):
    """Subject 36 has one night; wake is trimmed."""
    with rehearsal.physionet(folder, (13, 36)):
        records = sleep_edf.fetch_nights((13, 36), folder / "fetched").records
    assert [night.name for night in powers] == [r.name[:8] for r in records]
    for night, record in zip(powers, records, strict=True):
        np.testing.assert_array_equal(night.stages, read_night(record).stages)


def test_powers_are_densities_of_the_signal(powers):
    """In N3, delta power is much of the variance, and more than in wake."""
    night = powers[0]
    delta = night.log_band_power[:, 0, 0].astype(float)
    assert np.median(delta[night.stages == 3]) > np.median(delta[night.stages == 0]) + 1
    # A density times the width of its band is at most the whole variance.
    widths = np.log([3.5, 4, 5, 17, 20])
    total = np.exp(night.log_band_power[:, 0].astype(float) + widths).sum(axis=1)
    ratio = total / np.exp(night.log_variance[:, 0].astype(float))
    assert 0.75 < np.median(ratio) < 1


def draw(n_epochs, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 20, (n_epochs, 500)).astype(np.float32)


def test_glued_epochs_keep_the_power_of_their_heads():
    """Crossfades of equal power leave no holes, regardless of the speed."""
    donors = heads.draw_donors(np.zeros(40, int), False, np.random.default_rng(0))
    for speed in (1.0, 0.94, 1.06):
        signal = heads.glue(draw(40), donors, speed).reshape(40, 3000)
        assert_allclose(signal.std(axis=1), 20, rtol=0.1)


@pytest.mark.parametrize("same_stage", [False, True])
def test_each_epoch_holds_its_own_head(same_stage):
    """The other six come from neighbors, or from epochs of the same stage."""
    stages = np.repeat([0, 2, 4], 20)
    donors = heads.draw_donors(stages, same_stage, np.random.default_rng(0))
    assert (donors == np.arange(60)[:, None]).any(axis=1).all()
    shares = heads.stage_shares(stages, donors)
    assert_allclose(shares.sum(axis=1), 1)
    assert (shares.max(axis=1) == 1).all() == same_stage


def test_targets_mix_expert_and_teacher():
    teacher = np.full((2, 5), 0.2)
    targets = mix_targets(np.array([3, -1]), teacher, 0.5)
    assert_allclose(targets, [[0.1, 0.1, 0.1, 0.6, 0.1], [0] * 5], atol=1e-6)


def test_training_on_soft_targets_continues(config, tmp_path):
    """A run that stopped after one pass ends with the same weights."""
    rng = np.random.default_rng(0)
    signals = rng.normal(0, 20, (24, 3000)).astype(np.float16)
    targets = np.full((24, 5), 0.2, np.float32)
    recordings = [continuation.Recording(signals, targets, "a")]
    ends = []
    for passes in ([2], [1, 2]):
        torch.manual_seed(0)
        net = MC2SleepNet(config)
        checkpoint = tmp_path / f"{len(passes)}.pt"
        for n_passes in passes:
            continuation.train(
                net,
                lambda _: recordings,
                n_passes,
                4,
                n_epochs=12,
                checkpoint=checkpoint,
            )
        ends.append(net.total_head.bias.detach().clone())
    assert torch.equal(*ends)
    assert ends[0].abs().max() > 0


def test_distillation_begins_with_what_the_teacher_knows(config):
    """Where the spectrum is constant, a token of three frames is that of one."""
    teacher, frame = MC2SleepNet(config), torch.randn(128)
    student = distillation.start_from(teacher, replace(config, frame_stride=2))
    one, three = (n.spectrogram_backbone.frame_projection for n in (teacher, student))
    torch.testing.assert_close(three(frame.repeat(3)), one(frame))


def test_imitation_mixes_targets_and_compares_embeddings(config):
    """A copy of the teacher pays for the targets alone; later, so do others."""
    teacher, other = MC2SleepNet(config).eval(), MC2SleepNet(config).eval()
    signals, usable = 20 * torch.randn(6, 3000), torch.ones(1, 6, dtype=torch.bool)
    # Only wake and N3 are possible, and the last epoch does not count.
    allowed = torch.tensor([[[True, False, False, True, False]]])
    is_scored = torch.tensor([1.0] * 5 + [0.0])[:, None]
    targets = (torch.eye(5)[[0, 0, 0, 3, 3, 3]] * is_scored)[None]
    logits = continuation.stage(teacher, teacher.encode(signals), usable)
    posteriors = logits.total.masked_fill(~allowed, -1e4).softmax(-1) * is_scored
    mixed = (targets + posteriors) / 2
    expected = sum(continuation.soft_loss(part, mixed, allowed) for part in logits)
    imitate = distillation.ImitationLoss(teacher, 0.5, faded_at=0.5)
    batch = signals, targets, usable, allowed
    torch.testing.assert_close(imitate(teacher, batch, 0.0), expected)
    early, later, last = (imitate(other, batch, step) for step in (0.0, 0.25, 0.5))
    assert early > later > last == imitate(other, batch, 1.0)


ROOT = Path(__file__).parents[2]
NIGHTS = ROOT.parent / "shared" / "data" / "sleep_edf" / "band_power_nights.npz"


@pytest.mark.skipif(not NIGHTS.exists(), reason=f"{NIGHTS} is missing")
def test_constants_are_those_of_the_data():
    script = ROOT / "training_scripts" / "fit_simulation_constants.py"
    output = subprocess.run([sys.executable, script, NIGHTS], capture_output=True)
    made = {}
    exec(output.stdout.decode(), made)
    for name in ("STAGE_MEANS", "STAGE_STDS", "CORRELATIONS", "SUBJECT_STDS"):
        assert_allclose(made[name], getattr(constants, name), atol=0.011)
