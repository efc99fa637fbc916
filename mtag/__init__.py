"""Hear what is in your own music files and write it where players look.

>>> from mtag import load_ensemble, predict_file
>>> ensemble = load_ensemble()
>>> predict_file("song.mp3", ensemble).top(5)
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# From 1.29 on ONNX Runtime leaves an identifier in the user's cache folder and reports to its maker, unless this is set
# before it is first imported. Nothing leaves the machine.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

if TYPE_CHECKING:
    from mtag.ensemble import load_ensemble as load_ensemble
    from mtag.predict import Prediction as Prediction
    from mtag.predict import predict_file as predict_file

__all__ = ["Prediction", "load_ensemble", "predict_file"]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})  # notebooks complete these names, and help() lists what has them


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Import the API when it is first used: the command line must start without NumPy."""
    from importlib import import_module

    if name == "load_ensemble":
        return import_module("mtag.ensemble").load_ensemble
    if name in __all__:
        return getattr(import_module("mtag.predict"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
