"""Draw the waves and bursts of a night boldly, for a teacher to say what they mean.

Which kinds a night has, how often and how strongly, is drawn once per night. In an
epoch, the rate leans on the slowness of the spectrum and follows a slow path; it never
depends on the stage. All of this is our choice.

In our trials, training with events was slightly better on the validation sets, and
training without them on wake and N3 of other patients of UCDDB. The shipped weights are
the mean of both; see ``BRANCHES`` of ``train_shipped_weights.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from mne_mc2sleep._constants import SFREQ

from .spectra import N_SEGMENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator

    from .textures import Noise, Texture

# Share of the nights that have a kind.
_PREVALENCE = 0.75


class Kind(NamedTuple):
    """One kind of events.

    Parameters
    ----------
    max_rate : float
        Events per second, in the night with most of them.
    leaning : float
        How much more often they come in slow spectra (negative: in fast ones).
    amplitudes : tuple of float
        Range of the amplitude, in standard deviations of ``parts``.
    parts : tuple of float
        Weights of slow waves, theta, alpha with sigma, and the fast part.
    form : callable
        Makes the form from the time in s, two uniform random numbers of each epoch, and
        the texture.
    is_block : bool
        Whether the parts themselves swell in the form, as in an arousal.
    polarity : {"fixed", "night", "event"}
        What has the same sign.
    """

    max_rate: float
    leaning: float
    amplitudes: tuple[float, float]
    parts: tuple[float, float, float, float]
    form: Callable[[Tensor, Tensor, Tensor, Texture], Tensor]
    is_block: bool = False
    polarity: str = "fixed"


def _hann(time, length):
    return (time < length) * (torch.pi * time / length).sin().square()


def _box(time, length, edge=0.2):
    rise = ((time - edge) / (edge / 4)).sigmoid()
    return rise * ((length - time) / (edge / 4)).sigmoid()


def _bump(time, centre, width):
    return (-0.5 * ((time - centre) / width).square()).exp()


def _spindle(time, u, v, texture):
    freq = texture.sigma[0] + 0.8 * (v - 0.5)
    return _hann(time, 0.5 + 1.5 * u) * (2 * torch.pi * freq * time).cos()


def _k_complex(time, u, v, texture):
    width = 0.06 + 0.06 * u
    return 0.7 * _bump(time, 0.95, 2.5 * width) - _bump(time, 0.5, width)


def _sawtooth(time, u, v, texture):
    return _hann(time, 1.5 + 3.5 * u) * (2 * (time * (2 + 3 * v) % 1) - 1)


def _alpha(time, u, v, texture):
    freq = texture.alpha[0] + 0.6 * (v - 0.5)
    return _box(time, 2 + 8 * u**2) * (2 * torch.pi * freq * time).cos()


def _blink(time, u, v, texture):
    return _bump(time, 0.5, 0.06 + 0.06 * u)


def _eye_movement(time, u, v, texture):
    return (1 - (-time / 0.04).exp()) * (-time / (0.25 + 0.9 * u)).exp()


def _muscle(time, u, v, texture):
    return _box(time, 0.5 + 7 * u**2)


def _arousal(time, u, v, texture):
    return _box(time, 3 + 11 * u)


def _movement(time, u, v, texture):
    return _box(time, 1 + 5 * u)


_SLOW, _MIDDLE, _FAST = (1, 0, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)
KINDS = (
    Kind(0.25, 1.0, (1.5, 4.0), _MIDDLE, _spindle),
    Kind(0.08, 0.7, (2.0, 5.0), _SLOW, _k_complex),
    Kind(0.06, -0.5, (1.0, 2.5), (1, 1, 0, 0), _sawtooth),
    Kind(0.15, -1.2, (1.0, 3.0), _MIDDLE, _alpha),
    Kind(0.4, -1.5, (1.5, 5.0), _SLOW, _blink, polarity="night"),
    Kind(0.3, -0.7, (1.0, 4.0), _SLOW, _eye_movement, polarity="event"),
    Kind(0.1, -0.7, (1.5, 5.0), _FAST, _muscle, is_block=True),
    Kind(0.03, 0.0, (1.0, 3.0), (0, 0, 0.7, 1), _arousal, is_block=True),
    Kind(0.015, -0.5, (3.0, 10.0), (1, 0, 0, 0.3), _movement, is_block=True),
)


def draw_events(
    parts: list[Tensor],
    slowness: Tensor,
    paths: Tensor,
    texture: Texture,
    noise: Noise,
    rng: Generator,
) -> Tensor:
    """Draw the events of a night: (n_epochs, n_channels, N_SEGMENT).

    Parameters
    ----------
    parts : list of Tensor of shape (n_epochs, n_channels, N_SEGMENT)
        Slow waves, theta, alpha with sigma, and the fast part.
    slowness : Tensor of shape (n_epochs,)
        Of the spectrum, by the night's measure.
    paths : Tensor of shape (n_epochs, n_kinds)
        Slow paths of unit variance.
    texture, noise, rng
        Of the night.
    """
    time = torch.arange(N_SEGMENT).to(slowness) / SFREQ
    total = torch.zeros_like(parts[0])
    for kind, path in zip(KINDS, paths.T, strict=True):
        max_rate = kind.max_rate * rng.uniform() ** 1.5
        leaning = kind.leaning * rng.uniform(0.3, 1.5) + 0.3 * rng.standard_normal()
        bias, amplitude = rng.normal(-0.7, 0.8), rng.uniform(*kind.amplitudes)
        if rng.uniform() > _PREVALENCE:
            continue
        if kind.polarity == "night" and rng.uniform() >= 0.8:
            amplitude = -amplitude
        rate = max_rate * (bias + leaning * slowness + 1.5 * path).sigmoid()
        heights = amplitude * (0.3 * noise.normal(len(rate), 1, 1)).exp()
        form = kind.form(time, *noise.uniform(2, len(rate), 1), texture)
        events = noise.events(rate, form, kind.polarity == "event")
        own = sum(w * part for w, part in zip(kind.parts, parts, strict=True) if w)
        if kind.is_block:
            total += heights * events.clamp(max=1) * own
        else:
            total += heights * events * own.square().mean(dim=-1, keepdim=True).sqrt()
    return total
