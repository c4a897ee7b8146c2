"""MC2SleepNet in plain torch: two backbones, cross-attention and cross-masking."""

from .config import MC2SleepConfig
from .cross_attention import cross_attention_maps
from .masking import draw_mask
from .mc2sleepnet import MC2SleepNet, make_network
from .sleep_network import Embeddings, SleepNetwork, StageLogits, fuse

__all__ = [
    "Embeddings",
    "MC2SleepConfig",
    "MC2SleepNet",
    "SleepNetwork",
    "StageLogits",
    "cross_attention_maps",
    "draw_mask",
    "fuse",
    "make_network",
]
