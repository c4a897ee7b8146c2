"""Make hostile weights for `fuzz.py`."""

import json
import pickle
import struct

import numpy as np
import torch
from hostile_files import DAMAGES, Case, Trap, brief
from safetensors import safe_open

from mne_mc2sleep.data.nights import Night
from mne_mc2sleep.io.recordings import read_recording
from mne_mc2sleep.network import MC2SleepConfig
from mne_mc2sleep.stager import Stager
from mne_mc2sleep.weights.file_format import save_tensors

TINY = MC2SleepConfig(
    sequence_length=8,
    width=16,
    n_heads=2,
    feedforward=32,
    sequence_layers=1,
    spectrogram_layers=1,
    signal_channels=(4, 4, 4, 4, 8),
    signal_convolutions=(1, 1, 1, 1, 1),
    stem_kernel=15,
    stem_stride=4,
    pool_size=3,
)
NUMBERS = (0, -1, 1, 2, 3, 7, 10**3, 10**6, 10**9, 10**12, 10**30, -(10**9), 0.5)
NOT_FINITE = (float("nan"), float("inf"), -float("inf"))
JUNK = (
    None,
    True,
    False,
    "",
    "wide",
    "µ",
    "\0",
    "../x",
    [],
    {},
    [[]],
    [1, 2],
    {"a": 1},
)


class HostileWeights:
    """Weights: damaged, and sealed by a right checksum but with wrong content."""

    def __init__(self, folder):
        self.intact = [folder / "intact.safetensors"]
        stager = Stager.untrained(TINY, seed=0, device="cpu")
        stager.can_stage = True
        stager.save(self.intact[0], {"picks": "EEG Fpz-Cz"})
        self.content = self.intact[0].read_bytes()
        with safe_open(self.intact[0], framework="pt") as file:
            self.header = file.metadata()
            self.state = {name: file.get_tensor(name) for name in sorted(file.keys())}
        del self.header["sha256"]
        self.makers = (
            *(self._damaged,) * 8,
            self._executable,
            self._huge_header,
            self._lying_header,
            self._wrong_tensors,
            *(self._wrong_config,) * 2,
            *(self._wrong_metadata,) * 2,
        )

    def make(self, folder, rng):
        """Write one hostile file."""
        fname = folder / "hostile.safetensors"
        maker = self.makers[rng.integers(len(self.makers))]
        made_by, must_fail = maker(fname, rng)
        return Case(fname, made_by, must_fail)

    def _damaged(self, fname, rng):
        damage = DAMAGES[rng.choice(len(DAMAGES), p=(0.15, 0.6, 0.1, 0.1, 0.05))]
        content = damage(self.content, rng)
        fname.write_bytes(content)
        return damage.__name__, content != self.content

    def _executable(self, fname, rng):
        if rng.random() < 0.5:
            fname.write_bytes(pickle.dumps(Trap(), protocol=int(rng.integers(6))))
        else:
            torch.save({"state": self.state, "trap": Trap()}, fname)
        return "pickle", True

    def _huge_header(self, fname, rng):
        length = int(rng.choice([2**63 - 1, 2**40, 10**8, 10**8 + 1, 10**6, 0, 1]))
        fname.write_bytes(struct.pack("<Q", length) + self.content[8:])
        return f"header of {length} bytes", True

    def _lying_header(self, fname, rng):
        length = int.from_bytes(self.content[:8], "little")
        header = json.loads(self.content[8 : 8 + length])
        name = rng.choice([name for name in header if name != "__metadata__"])
        field = rng.choice(["shape", "data_offsets", "dtype"])
        lies = [[], [-1], [2**62, 2**62], [2**31, 2**31], [0, 2**63], [3], "F64", "X"]
        before, lie = header[name][field], lies[rng.integers(len(lies))]
        header[name][field] = lie
        text = json.dumps(header).encode()
        data = self.content[8 + length :]
        fname.write_bytes(struct.pack("<Q", len(text)) + text + data)
        return f"header: {field} {lie}", lie != before

    def _wrong_tensors(self, fname, rng):
        state = dict(self.state)
        name = rng.choice(list(state))
        tensor = state.pop(name)
        kind = rng.choice(["remove", "rename", "add", "resize", "cast", "not finite"])
        if kind == "rename":
            state[f"{name}.more"] = tensor
        elif kind == "add":
            state |= {name: tensor, "more": torch.zeros(3)}
        elif kind == "resize":
            state[name] = torch.zeros(*tensor.shape, 2)
        elif kind == "cast":
            dtypes = [torch.bool, torch.int8, torch.float64, torch.bfloat16]
            state[name] = tensor.to(dtypes[rng.integers(len(dtypes))])
        elif kind == "not finite":
            value = NOT_FINITE[rng.integers(3)]
            state[name] = torch.full_like(tensor.float(), value).to(tensor.dtype)
        save_tensors(fname, state, self.header)
        must_fail = kind in ("remove", "rename", "add", "resize")
        # Of this one, which staging does not use, torch allows the lack.
        must_fail &= kind != "remove" or not name.endswith("num_batches_tracked")
        return f"tensor {name}: {kind}", must_fail

    def _wrong_config(self, fname, rng):
        config = json.loads(self.header["config"])
        for _ in range(rng.integers(1, 3)):
            name = str(rng.choice(list(config)))
            config[name] = _wrong_value(config[name], rng)
        save_tensors(fname, self.state, self.header | {"config": json.dumps(config)})
        return f"config: {brief(config)}", False

    def _wrong_metadata(self, fname, rng):
        metadata = json.loads(self.header["metadata"])
        place = metadata
        while True:
            name = str(rng.choice(list(place)))
            deeper = isinstance(place[name], dict) and place[name]
            if not deeper or rng.random() < 0.2:
                break
            place = place[name]
        if rng.random() < 0.1:
            del place[name]
        else:
            place[name] = _wrong_value(place[name], rng)
        text = json.dumps(metadata)
        if rng.random() < 0.1:
            text = "[" * int(rng.choice([1, 10**5])) + text
        save_tensors(fname, self.state, self.header | {"metadata": text})
        return f"metadata: {name} {brief(place.get(name))}", False


def _as_night(raw):
    """Return the signals of a recording to take the input statistics from."""
    recording = read_recording(raw)
    stages = np.zeros(recording.n_epochs, dtype=np.int8)
    signals = torch.from_numpy(recording.signals)
    return Night(signals, stages, recording.usable, "a subject")


def _wrong_value(value, rng):
    """Return something else in the place of a value of JSON."""
    if isinstance(value, list) and value and rng.random() < 0.5:
        value = list(value)
        value[rng.integers(len(value))] = NUMBERS[rng.integers(len(NUMBERS))]
        return value if rng.random() < 0.8 else value * 1000
    choices = NUMBERS * 2 + NOT_FINITE + JUNK
    return choices[rng.integers(len(choices))]
