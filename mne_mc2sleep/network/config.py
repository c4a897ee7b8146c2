"""The sizes of the network."""

from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class MC2SleepConfig:
    """Sizes of an `MC2SleepNet`; the defaults are those of ``"base"``."""

    sequence_length: int = 20  #: Epochs read at once (our choice).
    width: int = 128  #: Of every embedding, as in the authors' code.
    # Of the sequence level, as in the authors' code.
    n_heads: int = 8
    feedforward: int = 1024
    sequence_layers: int = 4
    dropout: float = 0.1
    spectrogram_layers: int = 4  #: Of the spectrogram's Transformer (our choice).
    frame_stride: int = 1  #: Frames from one of its tokens to the next (our choice).
    # Channels and convolutions of each block of the CNN, its first convolution, and the
    # pooling between blocks, as in SleePyCo.
    signal_channels: tuple[int, ...] = (64, 128, 192, 256, 256)
    signal_convolutions: tuple[int, ...] = (2, 2, 3, 3, 3)
    stem_kernel: int = 3
    stem_stride: int = 1
    pool_size: int = 5

    @classmethod
    def from_size(cls, size: str, sequence_length: int = 20) -> Self:
        """Return the sizes of ``"base"``, as published, or ``"small"``, for a CPU."""
        if size not in _SIZES:
            raise ValueError(f"'size' must be one of {sorted(_SIZES)}, not {size!r}.")
        return cls(sequence_length=sequence_length, **_SIZES[size])

    @property
    def size(self) -> str:
        """The name of the size, or "custom"."""
        sizes = {n: self.from_size(n, self.sequence_length) for n in _SIZES}
        return next((n for n, config in sizes.items() if config == self), "custom")


_SIZES: dict[str, dict[str, Any]] = {
    "base": {},
    "small": {
        "width": 64,
        "n_heads": 4,
        "feedforward": 256,
        "sequence_layers": 2,
        "spectrogram_layers": 2,
        "frame_stride": 2,
        "signal_channels": (32, 48, 64, 96, 128),
        "signal_convolutions": (1, 2, 2, 2, 2),
        "stem_kernel": 15,
        "stem_stride": 8,
        "pool_size": 3,
    },
}
