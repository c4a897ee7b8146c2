"""Sleep staging with MC2SleepNet inside the MNE and YASA world."""

import lazy_loader as _lazy

from ._utils import importing as _importing

__version__ = "0.1.0.dev0"

_import, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)


def __getattr__(name: str):
    with _importing():
        return _import(name)
