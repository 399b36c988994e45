"""bakeoff trains, compares and explains image classifiers.

The Python API is `bakeoff.api`; its names are found here, and imported when they are used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bakeoff.api import compare as compare
    from bakeoff.api import load as load
    from bakeoff.api import train as train
    from bakeoff.classifier import Classifier as Classifier
    from bakeoff.settings import Settings as Settings
    from bakeoff.study import Study as Study

__version__ = "0.1.0"

_HOMES = {
    "compare": "api",
    "load": "api",
    "train": "api",
    "Classifier": "classifier",
    "Settings": "settings",
    "Study": "study",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
