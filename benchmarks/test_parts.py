"""Time the parts of staging 8 h of one channel, and what there is to import.

    python -m pytest benchmarks/test_parts.py
    python -m pytest benchmarks/test_parts.py --benchmark-disable    # does it run?

No test asserts a time.
"""

import functools
import pkgutil
import subprocess
import sys
from unittest import mock

import mne
import numpy as np
import pytest
import torch
from common import SIZES, make_night, write_edf

from mne_mc2sleep.inference.sliding_window import encode_epochs, log_posteriors
from mne_mc2sleep.io.hypnograms import make_hypnogram
from mne_mc2sleep.io.recordings import read_recording
from mne_mc2sleep.network import MC2SleepConfig, MC2SleepNet

HOURS = 8
SFREQS = (100, 256)
STEPS = ("find_unusable", "resample_poly", "sosfiltfilt")


@pytest.fixture(scope="session")
def fnames(tmp_path_factory):
    """Write the night at each sampling frequency; return the EDF files by it."""
    folder = tmp_path_factory.mktemp("nights")
    names = {sfreq: folder / f"{sfreq}.edf" for sfreq in SFREQS}
    for sfreq, fname in names.items():
        write_edf(fname, make_night(HOURS, sfreq=float(sfreq))[0])
    return names


@pytest.fixture(scope="session")
def recording(fnames):
    """Return the night as epochs."""
    return read_recording(fnames[100])


@pytest.fixture(scope="session", params=SIZES)
def net(request):
    """Return an untrained network."""
    return MC2SleepNet(MC2SleepConfig.from_size(request.param)).eval()


@pytest.mark.benchmark(group="read")
@pytest.mark.parametrize("sfreq", SFREQS)
def test_read_edf(benchmark, fnames, sfreq):
    """MNE reads the file."""
    benchmark(mne.io.read_raw, fnames[sfreq], preload=True, verbose="error")


@pytest.mark.benchmark(group="read")
@pytest.mark.parametrize("sfreq", SFREQS)
def test_read_recording(benchmark, fnames, sfreq):
    """The package reads the file, filters, resamples and finds what is unusable."""
    benchmark(read_recording, fnames[sfreq])


@pytest.mark.benchmark(group="steps of read_recording")
@pytest.mark.parametrize("sfreq", SFREQS)
@pytest.mark.parametrize("step", STEPS)
def test_step_of_read_recording(benchmark, fnames, step, sfreq):
    """One step, called with the arguments that read_recording gives it."""
    target = f"mne_mc2sleep.io.recordings.{step}"
    function = pkgutil.resolve_name(target)
    with mock.patch(target, wraps=function) as spy:
        read_recording(fnames[sfreq])
    if not spy.called:
        pytest.skip(f"{step} is not needed at {sfreq} Hz")
    benchmark(functools.partial(function, *spy.call_args.args, **spy.call_args.kwargs))


@pytest.mark.benchmark(group="encode")
def test_encode(benchmark, net, recording):
    """Both backbones."""
    benchmark(encode_epochs, net, recording.signals)


@pytest.mark.benchmark(group="encode")
@pytest.mark.parametrize(
    "part",
    ["signal_backbone", "spectrogram_backbone", "spectrogram_backbone.spectrogram"],
)
def test_part_of_encode(benchmark, monkeypatch, net, recording, part):
    """One backbone, or the spectrogram alone, in the batches of encode_epochs."""
    module = net.get_submodule(part)
    monkeypatch.setattr(net, "encode", lambda signals: [module(signals)])
    benchmark(encode_epochs, net, recording.signals)


@pytest.mark.benchmark(group="sequence")
def test_sequence(benchmark, net, recording):
    """The sequence level slides over the embeddings, and the windows are fused."""
    embeddings = torch.randn(recording.n_epochs, 2, net.config.width)
    benchmark(log_posteriors, net, embeddings, recording.usable)


@pytest.mark.benchmark(group="hypnogram")
def test_make_hypnogram(benchmark, recording):
    """The probabilities become a hypnogram."""
    probabilities = np.random.default_rng(0).dirichlet(np.ones(5), recording.n_epochs)
    benchmark(make_hypnogram, probabilities, recording.usable, recording.start)


@pytest.mark.benchmark(group="import in a new process")
@pytest.mark.parametrize("module", ["sys", "mne_mc2sleep.classifier", "yasa"])
def test_import(benchmark, module):
    """Python starts and imports a module; with ``sys``, nothing."""
    command = [sys.executable, "-c", f"import {module}"]
    run = functools.partial(subprocess.run, command, check=True)
    benchmark.pedantic(run, rounds=5, warmup_rounds=1)
