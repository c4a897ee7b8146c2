"""RobustSleepNet (Guillot and Thorey 2021, MIT) as a teacher on real EEG.

Needs the package ``robust_sleep_net`` of github.com/Dreem-Organization/RobustSleepNet,
of which the folder above ``robust_sleep_net`` must be on ``PYTHONPATH``; its pretrained
models lie beside the package. As a teacher: ``robust_teacher:stage``.

Unlike its own inference, this one does not pad a recording with epochs of zeros, which
would ruin recordings of half an hour.
"""

from __future__ import annotations

from contextlib import redirect_stdout
from fractions import Fraction
from functools import lru_cache
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

import numpy as np
import torch
from scipy.signal import filtfilt, iirfilter, resample_poly
from teachers import log_mean

# The models that hold out one data set each: that of Sleep-EDF has not seen Sleep-EDF.
# The three others were chosen by how well they stage the validation recordings.
MODELS = {
    "sleep_edf": "0dfcee73-055a-4c4d-929c-8fdf630e14f1",
    "dodo": "a2eb4aed-90de-4968-8535-a424588c0dfa",
    "dodh": "fdbd193a-0408-4fc8-9a6a-a18351459512",
    "mass": "415fe39c-0729-41b6-bf8a-a04570042f5c",
}
_SFREQ, _N_TIMES, _N_SEQUENCE, _STRIDE = 60, 1800, 21, 3


@torch.inference_mode()
def stage(signal, sfreq, models=tuple(MODELS)):
    """Return the mean probabilities of several models, (n_epochs, 5)."""
    epochs = _preprocess(np.asarray(signal, float), sfreq)
    length = min(_N_SEQUENCE, len(epochs))
    starts = np.unique(
        [*range(0, len(epochs) - length + 1, _STRIDE), len(epochs) - length]
    )
    return log_mean([_stage(_load(name), epochs, starts, length) for name in models])


def _stage(net, epochs, starts, length):
    total, count = torch.zeros(len(epochs), 5), torch.zeros(len(epochs), 1)
    for part in np.array_split(starts, -(-len(starts) // 32)):
        windows = torch.stack([epochs[i : i + length] for i in part])
        logits, _ = net({"signals": {"eeg": windows[:, :, None]}, "features": {}})
        posteriors = logits.view(len(part), length, 5).log_softmax(dim=-1)
        for start, window in zip(part, posteriors, strict=True):
            total[start : start + length] += window
            count[start : start + length] += 1
    return (total / count).softmax(dim=-1).double().numpy()


def _preprocess(signal, sfreq):
    """Filter to 0.2-30 Hz, resample to 60 Hz, clip, divide by the IQR, and cut."""
    edges = [2 * 0.2 / sfreq, 2 * 30 / sfreq]
    signal = filtfilt(*iirfilter(2, edges, btype="bandpass", ftype="butter"), signal)
    ratio = Fraction(_SFREQ / sfreq).limit_denominator(1000)
    signal = resample_poly(signal, ratio.numerator, ratio.denominator)
    low, middle, high = np.percentile(signal, [25, 50, 75])
    signal = signal.clip(-40 * (middle - low), 40 * (high - middle))
    low, middle, high = np.percentile(signal, [25, 50, 75])
    signal = (signal - middle) / (high - low)
    n_epochs = len(signal) // _N_TIMES
    signal = signal[: n_epochs * _N_TIMES].reshape(n_epochs, _N_TIMES)
    return torch.from_numpy(signal.astype(np.float32))


@lru_cache
def _load(name):
    from robust_sleep_net.models.modulo_net.net import ModuloNet

    folder = Path(find_spec("robust_sleep_net").origin).parents[1] / "pretrained_model"
    with redirect_stdout(StringIO()):
        return ModuloNet.load(str(folder / MODELS[name] / "best_model.gz")).eval()
