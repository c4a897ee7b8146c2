"""Which way of running the backbones on a CPU is the fastest, and what it changes.

For each size: milliseconds an epoch of both backbones, in 32-bit floats as built, with
BatchNorm fused into the convolutions, as staged (fused and channels-last), in bf16,
traced, by ONNX Runtime and compiled; at several numbers of epochs at once. Beside
them, how far the probabilities of a simulated night are from those as built, and the
share of epochs of the same stage.

    python benchmarks/encoders.py [--sizes small base] [--epochs 320] [--compile]
"""

import argparse
import copy
import io
import time
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mne_mc2sleep import MC2SleepClassifier, simulate_night
from mne_mc2sleep.inference import log_posteriors
from mne_mc2sleep.network import fuse

CHANNEL = "EEG Fpz-Cz"
AT_ONCE = (8, 16, 32, 64)
REPEATS = 5


def main():
    """Print one row for each way."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--sizes", nargs="+", default=["small", "base"])
    parser.add_argument("--epochs", type=int, default=320)
    parser.add_argument("--compile", action="store_true", help="needs a C++ compiler")
    args = parser.parse_args()
    raw, _ = simulate_night(args.epochs * 30, random_state=1000)
    signals = torch.from_numpy(raw.get_data([0], units="uV").astype("float32"))
    signals = signals.reshape(args.epochs, -1)
    print(f"{torch.get_num_threads()} threads, {args.epochs} epochs, ", end="")
    print(f"best of {REPEATS}; ms an epoch at {AT_ONCE} epochs at once")
    for size in args.sizes:
        stager = train_briefly(size)
        expected = None
        for name, encode in make_ways(stager.net, signals, args.compile).items():
            seconds, embeddings = measure(encode, signals)
            usable = np.ones(args.epochs, bool)
            found = log_posteriors(stager.net, embeddings, usable)
            expected = found if expected is None else expected
            print_row(size, name, seconds / args.epochs, expected, found)


def train_briefly(size):
    """Return a stager that knows enough to be sure of some stages."""
    nights = [simulate_night(2400, random_state=seed) for seed in (3, 10, 69)]
    raws, hypnos = map(list, zip(*nights, strict=True))
    clf = MC2SleepClassifier(
        CHANNEL,
        size=size,
        batch_size=4,
        pretrain_train_epochs=3,
        finetune_train_epochs=5,
        random_state=0,
    )
    return clf.fit(raws, hypnos, verbose="error").stager_


def make_ways(net, signals, with_compiled):
    """Return functions from signals to embeddings (n_epochs, 2, width), by name."""
    net = net.eval()
    fused = fuse(net)
    ways = {
        "as built": net.encode,
        "BatchNorm fused": fuse_batch_norm(net).encode,
        "as staged": fused.encode,
        "bf16": partial(in_bf16, net.encode),
        "bf16, as staged": partial(in_bf16, fused.encode),
        "traced": trace(net, signals),
        "ONNX Runtime": in_onnxruntime(net, signals),
    }
    if with_compiled:
        ways["compiled"] = torch.compile(net.encode, dynamic=True)
    return ways


def measure(encode, signals):
    """Return the best seconds for each number at once, and the embeddings."""
    best = np.full(len(AT_ONCE), np.inf)
    with torch.inference_mode():
        for _ in range(REPEATS):
            for index, at_once in enumerate(AT_ONCE):
                start = time.perf_counter()
                parts = [torch.stack(encode(p), dim=1) for p in signals.split(at_once)]
                best[index] = min(best[index], time.perf_counter() - start)
    return best, torch.cat(parts).float()


def print_row(size, name, seconds, expected, found):
    """Print the milliseconds and what became of the stages."""
    times = " ".join(f"{1000 * value:7.3f}" for value in seconds)
    difference = np.abs(np.exp(expected) - np.exp(found)).max()
    same = (expected.argmax(axis=1) == found.argmax(axis=1)).mean()
    print(f"{size:6}{name:22}{times}   largest difference of a probability ", end="")
    print(f"{difference:.1e}, same stage {100 * same:.2f} %", flush=True)


def in_bf16(encode, signals):
    """Encode by bf16 where torch's autocast does."""
    with torch.autocast("cpu", torch.bfloat16):
        return encode(signals)


def trace(net, signals):
    """Return both backbones as traced and frozen TorchScript."""
    with torch.no_grad():
        backbones = [
            # Tracing again, as a check, stumbles over the layers' names alone.
            torch.jit.freeze(torch.jit.trace(backbone, signals[:16], check_trace=False))
            for backbone in net.backbones
        ]
    return lambda part: [backbone(part) for backbone in backbones]


class Encoder(nn.Module):
    """Both backbones as one module with plain outputs."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, signals):
        """Return the embeddings of the signal and of the spectrogram."""
        return tuple(self.net.encode(signals))


def in_onnxruntime(net, signals):
    """Return both backbones as ONNX Runtime runs them, with torch's threads."""
    import onnxruntime

    content = io.BytesIO()
    torch.onnx.export(
        Encoder(net).eval(),
        (signals[:16],),
        dynamic_shapes=({0: torch.export.Dim("epochs")},),
        dynamo=True,
        verbose=False,
    ).save(content)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content.getvalue(), options)
    name = session.get_inputs()[0].name

    def encode(part):
        found = session.run(None, {name: part.numpy()})
        return [torch.from_numpy(embeddings) for embeddings in found]

    return encode


def fuse_batch_norm(net):
    """Return a copy whose BatchNorms are part of the convolutions before them."""
    net = copy.deepcopy(net)
    for block in net.signal_backbone.blocks:
        if isinstance(block, nn.Sequential):
            block[0] = fuse_conv_bn_eval(block[0], block[1])
            block[1] = nn.Identity()
    return net


if __name__ == "__main__":
    main()
