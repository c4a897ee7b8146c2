"""A stager as one ONNX file, to be run where torch is not."""

from __future__ import annotations

import copy
import json
import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional as F

from . import __version__
from ._constants import (
    BAND,
    EPOCH_DURATION,
    FILTER_ORDER,
    N_TIMES,
    SFREQ,
    STAGES,
)
from ._files import replace_file
from .inference import fuse_windows, stage_windows, window_epochs
from .recordings import FILTER_PADDING
from .scaling import ROBUST_IQR
from .weights import check_fname

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from onnx import ModelProto

    from .network import MC2SleepNet
    from .stager import Stager

# Epochs that are encoded at once: it bounds the memory and does not change the result.
_PART_SIZE = 64


def export_onnx(
    stager: Stager,
    fname: str | Path,
    picks: str | list[str] | None,
    scaling: str | None,
    overwrite: bool = False,
) -> None:
    """Write what `Stager.probabilities` does with one channel into one ONNX file.

    Parameters
    ----------
    stager : Stager
        The stager; it is not modified.
    fname : path-like
        The file, ``*.onnx``.
    picks, scaling
        Parameters of the classifier, for the file's metadata.
    overwrite : bool
        Whether to replace a file of that name.

    Raises
    ------
    ValueError, FileExistsError, FileNotFoundError
        As in `mne_mc2sleep.weights.save_weights`.
    ImportError
        If onnx or onnxscript is not installed.
    """
    fname = check_fname(fname, ".onnx", overwrite)
    try:
        import onnx
        import onnxscript  # noqa: F401, torch's exporter needs it
    except ImportError as error:
        raise ImportError(
            "The export needs the packages onnx and onnxscript; install them by "
            "'pip install mne-mc2sleep[onnx]'."
        ) from error
    model = _make_model(stager)
    onnx.helper.set_model_props(model, _describe(stager, picks, scaling))
    replace_file(fname, model.SerializeToString())


class _Encoder(nn.Module):
    """Embed epochs, as `inference` does."""

    def __init__(self, net: MC2SleepNet):
        super().__init__()
        self.net = net

    def forward(self, signals: Tensor) -> Tensor:
        """Turn (n_epochs, n_times) into (n_epochs, 2, width)."""
        return torch.stack(self.net.encode(signals), dim=1)


class _NightStager(nn.Module):
    """Stage a night of embedded epochs, as `inference` does."""

    def __init__(self, net: MC2SleepNet, temperature: float):
        super().__init__()
        self.net = net
        self.temperature = temperature

    def forward(self, embeddings: Tensor, usable: Tensor) -> Tensor:
        """Turn (n_epochs, 2, width) and (n_epochs,) into (n_epochs, 5)."""
        length = self.net.config.sequence_length
        # len() would fix the number of epochs in the graph.
        n_epochs = usable.shape[0]
        # Not attending to an epoch does not stop its NaN.
        embeddings = torch.where(usable[:, None, None], embeddings, 0.0)
        # As unusable epochs, those that a short night lacks have no influence.
        lacking = torch.sym_max(length - n_epochs, 0)
        embeddings = F.pad(embeddings, (0, 0, 0, 0, 0, lacking))
        mask = F.pad(usable, (0, lacking))
        epochs = window_epochs(n_epochs + lacking, length)
        logits = stage_windows(self.net, embeddings[epochs], mask[epochs])
        posteriors = fuse_windows(logits, epochs, n_epochs + lacking)[:n_epochs]
        return (posteriors * usable[:, None] / self.temperature).softmax(dim=-1)


def _make_model(stager: Stager) -> ModelProto:
    net = copy.deepcopy(stager.net).cpu().eval()
    # More than one window, or torch would take a single one for granted.
    n_epochs = 2 * net.config.sequence_length + 1
    encoder = _convert(
        _Encoder(net),
        {"signals": torch.zeros(n_epochs, N_TIMES)},
        "embeddings",
        ({0: Dim("n_epochs")},),
    )
    night = _convert(
        _NightStager(net, stager.temperature),
        {
            "embeddings": torch.zeros(n_epochs, 2, net.config.width),
            "usable": torch.ones(n_epochs, dtype=torch.bool),
        },
        "probabilities",
        # The second follows from the first; torch warns if both are named.
        ({0: Dim("n_epochs")}, {0: Dim.AUTO}),
    )
    return _encode_in_parts(encoder, night)


def _encode_in_parts(encoder: ModelProto, night: ModelProto) -> ModelProto:
    """Let the encoder read a night part by part: at once, memory would grow with it."""
    from onnx import TensorProto, compose, helper

    graph = night.graph
    graph.input[0].CopyFrom(encoder.graph.input[0])
    size = helper.make_tensor("part_size", TensorProto.INT64, [], [_PART_SIZE])
    graph.initializer.append(size)
    # Names must differ from those of the graph around.
    body = compose.add_prefix_graph(encoder.graph, "encoder/")
    nodes = [
        helper.make_node(
            "SplitToSequence", ["signals", "part_size"], ["parts"], axis=0
        ),
        helper.make_node("SequenceMap", ["parts"], ["embedded_parts"], body=body),
        helper.make_node(
            "ConcatFromSequence", ["embedded_parts"], ["embeddings"], axis=0
        ),
    ]
    for index, node in enumerate(nodes):
        graph.node.insert(index, node)
    return night


def _convert(
    module: nn.Module,
    inputs: dict[str, Tensor],
    output: str,
    dynamic_shapes: tuple[dict[int, Any], ...],
) -> ModelProto:
    """Convert a module by an example of its inputs."""
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    with _quiet_exporter():
        program = torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=[output],
            dynamic_shapes=dynamic_shapes,
            dynamo=True,
            verbose=False,
        )
    # It notes the lines of code, with their paths, from which each node comes.
    ClearMetadataAndDocStringPass()(program.model)
    return program.model_proto


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep from the user what the exporter says of itself and of torchvision."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for category in (FutureWarning, DeprecationWarning):
                warnings.simplefilter("ignore", category)
            yield
    finally:
        logging.disable(disabled)


def _describe(
    stager: Stager, picks: str | list[str] | None, scaling: str | None
) -> dict[str, str]:
    """Return the metadata: what the file holds and what to feed it."""
    scaled = {
        None: "",
        "robust": ", and multiplied by one factor that brings the interquartile range "
        f"of its usable epochs to {ROBUST_IQR:g} µV",
        "spectrum": ", and scaled by mne_mc2sleep.scaling.scale_signals(signals, "
        "usable, 'spectrum'), which needs NumPy and SciPy alone",
    }[scaling]
    anew = (
        " Stage recordings of less than 6 h twice more, each time with signals as "
        "mne_mc2sleep.rescaling.scale_anew(signals, usable, probabilities, levels) "
        "makes them of the first ones by the probabilities found last; then raise "
        "these to the power of 1 / rescaling.temperature_factor(number of usable "
        "epochs), and normalise them."
    )
    return {
        "description": "Sleep stager MC2SleepNet (arXiv 2502.17470), one EEG channel.",
        "inputs": (
            f"signals: float32 (n_epochs, {N_TIMES}), the consecutive epochs of one "
            f"recording in µV, sampled at {SFREQ:g} Hz, band-passed as a whole at "
            f"{BAND[0]:g}-{BAND[1]:g} Hz (Butterworth filter of order {FILTER_ORDER}, "
            f"forwards and backwards, reflected evenly by {FILTER_PADDING:g} s at both "
            f"ends){scaled}. usable: bool (n_epochs,), False where an epoch holds no "
            "EEG (not finite, flat, clipped, bad); it does not influence the others."
        ),
        "outputs": (
            f"probabilities: float32 (n_epochs, {len(STAGES)}), calibrated, columns "
            "in the order of stages; uniform where usable is False."
            f"{anew if stager.levels else ''}"
        ),
        "stages": json.dumps(STAGES),
        "sfreq": json.dumps(SFREQ),
        "epoch_duration": json.dumps(EPOCH_DURATION),
        "band": json.dumps(BAND),
        "picks": json.dumps(picks),
        "scaling": json.dumps(scaling),
        "levels": json.dumps(stager.levels),
        "sequence_length": json.dumps(stager.net.config.sequence_length),
        "temperature": json.dumps(stager.temperature),
        "package_version": __version__,
    }
