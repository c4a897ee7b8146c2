"""MC2SleepNet in plain torch: two backbones, cross-attention and cross-masking."""

from .attention_maps import cross_attention_maps
from .config import MC2SleepConfig
from .fused import fuse
from .interface import Embeddings, SleepNetwork, StageLogits
from .masking import draw_mask
from .mc2sleepnet import MC2SleepNet, make_network

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
