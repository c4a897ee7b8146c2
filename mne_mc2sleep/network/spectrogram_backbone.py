"""The backbone of the spectrogram: a Transformer over the frames of one epoch."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._constants import N_TIMES, SFREQ
from .config import MC2SleepConfig
from .cross_attention import sinusoidal_positions

# METHOD: Hamming 200, hop 100, nfft 256, the DC bin dropped (our choice).
_N_WINDOW, _HOP, _N_FFT = 200, 100, 256
N_FRAMES = 1 + (N_TIMES - _N_WINDOW) // _HOP
N_BINS = _N_FFT // 2
_POWER_FLOOR = 1e-3  # µV²/Hz, above the quantisation noise of recorders
# Bins above the band-pass hardly vary: their small deviation would amplify noise.
_MIN_STD = 0.5


class LogSpectrogram(nn.Module):
    """Turn epochs into log-power spectrograms, standardised by the training signals."""

    window: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self):
        super().__init__()
        # Never on "meta", where torch would import its compiler.
        window = torch.hamming_window(_N_WINDOW, dtype=torch.float64, device="cpu")
        # One-sided: each bin counts twice.
        window *= (2 / (SFREQ * window.square().sum())).sqrt()
        self.register_buffer("window", window.float(), persistent=False)
        self.register_buffer("mean", torch.zeros(N_BINS))
        self.register_buffer("std", torch.ones(N_BINS))

    def log_power(self, signals: Tensor) -> Tensor:
        """Return the natural log of µV²/Hz, of shape (n_epochs, N_FRAMES, N_BINS)."""
        frames = signals.unfold(-1, _N_WINDOW, _HOP) * self.window
        # In bfloat16, rounding errors of slow waves would be larger than fast waves.
        spectrum = torch.fft.rfft(frames.float(), n=_N_FFT)[..., 1:]
        density = spectrum.real.square() + spectrum.imag.square()
        # Except for the last bin, at half the sampling rate.
        density[..., -1] *= 0.5
        return torch.log(density + _POWER_FLOOR)

    def fit(self, signals: Tensor) -> None:
        """Store the mean and the standard deviation by bin of training ``signals``."""
        log_power = self.log_power(signals)
        self.mean.copy_(log_power.mean(dim=(0, 1)))
        self.std.copy_(log_power.std(dim=(0, 1)).clamp(min=_MIN_STD))

    def forward(self, signals: Tensor) -> Tensor:
        """Return standardised spectrograms of shape (n_epochs, N_FRAMES, N_BINS)."""
        return (self.log_power(signals) - self.mean) / self.std


class AttentionPooling(nn.Module):
    """Average frames with learned weights."""

    def __init__(self, width: int):
        super().__init__()
        self.score = nn.Sequential(
            nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1, bias=False)
        )

    def forward(self, frames: Tensor) -> Tensor:
        """Pool ``frames`` of shape (n_epochs, n_frames, width) to (n_epochs, width)."""
        return (self.score(frames).softmax(dim=1) * frames).sum(dim=1)


class FrameLayer(nn.TransformerEncoderLayer):
    """A layer of torch whose attention is faster in eval mode, where frames are few."""

    def forward(self, frames: Tensor) -> Tensor:  # type: ignore[override]
        """Update ``frames`` of shape (n_epochs, n_frames, width)."""
        if self.training:
            return super().forward(frames)
        attention = self.self_attn
        inputs = F.linear(frames, attention.in_proj_weight, attention.in_proj_bias)
        inputs = inputs.unflatten(-1, (3, attention.num_heads, -1))
        query, key, value = inputs.permute(2, 0, 3, 1, 4).flatten(1, 2)
        # Keys before queries: a softmax over a last dimension this short is slow.
        scores = torch.bmm(key, query.mT * attention.head_dim**-0.5).softmax(dim=1)
        found = torch.bmm(scores.mT, value).unflatten(0, (len(frames), -1))
        found = attention.out_proj(found.transpose(1, 2).flatten(2))
        frames = self.norm1(frames + found)
        return self.norm2(frames + self._ff_block(frames))


class SpectrogramBackbone(nn.Module):
    """Embed epochs by a Transformer over the frames of their spectrogram.

    The number of layers and the attention pooling are our choice.
    """

    def __init__(self, config: MC2SleepConfig):
        super().__init__()
        self.spectrogram = LogSpectrogram()
        # A token reads the frames up to its neighbours, as a strided convolution.
        self.stride = stride = config.frame_stride
        self.frame_projection = nn.Linear((2 * stride - 1) * N_BINS, config.width)
        positions = sinusoidal_positions((N_FRAMES + 1) // stride - 1, config.width)
        self.register_buffer("positions", positions, persistent=False)
        self.dropout = nn.Dropout(config.dropout)
        sizes = config.width, config.n_heads, config.feedforward, config.dropout
        layer = partial(FrameLayer, *sizes, "gelu", batch_first=True)
        layers = [layer() for _ in range(config.spectrogram_layers)]
        self.layers = nn.Sequential(*layers)
        self.pooling = AttentionPooling(config.width)
        self.norm = nn.LayerNorm(config.width)

    def forward(self, signals: Tensor) -> Tensor:
        """Embed ``signals`` (n_epochs, n_times) in µV as (n_epochs, width)."""
        frames = self.spectrogram(signals).unfold(1, 2 * self.stride - 1, self.stride)
        tokens = self.frame_projection(frames.transpose(2, 3).flatten(2))
        tokens = self.layers(self.dropout(tokens + self.positions))
        return self.norm(self.pooling(tokens))
