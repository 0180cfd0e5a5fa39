"""Other packages' bars and log lines kept off the screen, by their own switches: nobody's standard output or error is redirected."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

__all__ = ["quiet"]

_LOGGERS = ("onnxscript", "sentence_transformers", "torch.onnx", "torch.onnx._internal.exporter._registration")

_lock = Lock()
_inside = 0
_levels: dict[str, int] = {}
_bars = False


@contextmanager
def quiet() -> Iterator[None]:
    """Within the block, transformers draws no bars, and sentence-transformers and torch's exporter log errors only.

    The switches belong to the process. The first block that begins turns them off, the last that ends puts them back as they were, so
    blocks of several threads may overlap.
    """
    global _inside
    with _lock:
        if _inside == 0:
            _turn_off()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _put_back()


def _turn_off() -> None:
    global _bars
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        _levels[name] = logger.level
        logger.setLevel(logging.ERROR)
    switch = _switch()
    _bars = bool(switch.is_progress_bar_enabled())
    if _bars:
        switch.disable_progress_bar()


def _put_back() -> None:
    for name, level in _levels.items():
        logging.getLogger(name).setLevel(level)
    if _bars:
        _switch().enable_progress_bar()


def _switch() -> Any:
    """Transformers' own switch of its bars."""
    from transformers.utils import logging as bars

    return bars
