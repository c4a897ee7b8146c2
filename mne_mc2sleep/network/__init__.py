"""MC2SleepNet in plain torch: two backbones, cross-attention and cross-masking."""

from .config import MC2SleepConfig as MC2SleepConfig
from .cross_attention import cross_attention_maps as cross_attention_maps
from .masking import draw_mask as draw_mask
from .mc2sleepnet import MC2SleepNet as MC2SleepNet
from .mc2sleepnet import make_network as make_network
from .sleep_network import Embeddings as Embeddings
from .sleep_network import SleepNetwork as SleepNetwork
from .sleep_network import StageLogits as StageLogits
from .sleep_network import fuse as fuse
