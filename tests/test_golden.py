"""The shipped weights stage three fixed recordings as they did when they were made.

To store the probabilities of other weights: ``python tests/test_golden.py``.
"""

from pathlib import Path

import mne
import numpy as np
import pytest

from mne_mc2sleep import MC2SleepClassifier
from mne_mc2sleep.weights.registry import KNOWN_WEIGHTS

GOLDEN = Path(__file__).with_name("golden.npz")
RECORDINGS = {
    "night": {"n_epochs": 720, "sfreq": 100.0, "seed": 0},
    "half_hour": {"n_epochs": 60, "sfreq": 100.0, "seed": 1},
    "at_50_hz": {"n_epochs": 240, "sfreq": 50.0, "seed": 2},
}
STAGES = ["WAKE", "N1", "N2", "N3", "REM"]


def make_raw(n_epochs, sfreq, seed):
    """Return a recording of one channel: noise with a spectrum for each stage."""
    rng = np.random.default_rng(seed)
    n_times = round(30 * sfreq)
    freqs = np.fft.rfftfreq(n_times, 1 / sfreq)
    bouts = rng.permutation(np.arange(n_epochs // 10 + 1)) % 5
    parts = []
    for stage in np.repeat(bouts, 10)[:n_epochs]:
        shape = (freqs + 0.5) ** -np.array([0.5, 0.7, 0.9, 1.2, 0.6])[stage]
        if stage == 0:
            shape += 0.4 * np.exp(-((freqs - 10) ** 2) / 2)
        if stage == 2:
            shape += 0.3 * np.exp(-((freqs - 13) ** 2) / 2)
        noise = [rng.standard_normal(freqs.size) for _ in range(2)]
        signal = np.fft.irfft(shape * (noise[0] + 1j * noise[1]), n_times)
        parts.append(signal / signal.std() * (12 + 8 * stage * (stage < 4)))
    signal = np.concatenate(parts)[None] * 1e-6
    info = mne.create_info(["EEG Fpz-Cz"], sfreq, "eeg")
    return mne.io.RawArray(signal, info, verbose="error")


def stage(name):
    """Return the probabilities of a recording."""
    clf = MC2SleepClassifier.from_pretrained(device="cpu")
    proba = clf.predict_proba(make_raw(**RECORDINGS[name]), verbose="error")
    return proba[STAGES].to_numpy()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", RECORDINGS)
def test_shipped_weights_stage_as_before(name):
    """Within 1e-4, on a night, half an hour, and a recording at 50 Hz."""
    with np.load(GOLDEN) as golden:
        if str(golden["sha256"]) != KNOWN_WEIGHTS["small"].sha256:
            pytest.skip(f"golden.npz is of other weights: run 'python {__file__}'")
        np.testing.assert_allclose(stage(name), golden[name], atol=1e-4)


if __name__ == "__main__":
    probas = {name: stage(name).astype(np.float32) for name in RECORDINGS}
    np.savez_compressed(GOLDEN, sha256=KNOWN_WEIGHTS["small"].sha256, **probas)
