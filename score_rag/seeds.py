"""Seeds for libraries that draw from the process's generators: seeded for a block, put back after it."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from threading import RLock
from typing import ParamSpec, TypeVar

import numpy as np

__all__ = ["forked_generators", "seeded"]

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_ONE_AT_A_TIME = RLock()
"""The generators belong to the process: two threads that draw from them would not draw what their seeds say."""


@contextmanager
def forked_generators(seed: int) -> Iterator[None]:
    """Seed the global generators of Python, numpy and torch (every device) for a block, and put their states back after it.

    Torch's layers and transformers' trainers take no generator of their own. The caller's generators go on as if nothing had been drawn,
    whether the block ends well or not; what is drawn in the block depends on `seed` alone. Blocks of several threads wait for each other.
    """
    import torch

    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else []
    with _ONE_AT_A_TIME, torch.random.fork_rng(devices=devices):
        python, numpy = random.getstate(), np.random.get_state()
        try:
            random.seed(seed)
            np.random.seed(seed % 2**32)
            torch.manual_seed(seed)
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def seeded(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Run a function with `forked_generators` of its argument `seed`."""
    signature = inspect.signature(function)

    @wraps(function)
    def run(*args: Arguments.args, **more: Arguments.kwargs) -> Result:
        bound = signature.bind(*args, **more)
        bound.apply_defaults()
        with forked_generators(int(bound.arguments["seed"])):
            return function(*args, **more)

    return run
