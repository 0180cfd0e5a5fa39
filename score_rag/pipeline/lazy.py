"""An attribute computed at its first use, once, however many threads ask for it together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar, overload

__all__ = ["lazy"]

T = TypeVar("T")


class Locked(Protocol):
    """Whoever has lazy attributes: one lock for all of them, which a thread may take again (an `RLock`)."""

    lock: threading.RLock


class lazy(Generic[T]):  # a decorator, like property
    """An attribute computed at its first use, once, however many threads ask for it together."""

    def __init__(self, make: Callable[[Any], T]) -> None:
        self.make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, holder: None, owner: type) -> lazy[T]: ...
    @overload
    def __get__(self, holder: Locked, owner: type) -> T: ...
    def __get__(self, holder: Locked | None, owner: type) -> lazy[T] | T:
        # Without __set__, a value in the instance's own dictionary is found before this is called.
        if holder is None:
            return self
        with holder.lock:
            if self.name not in holder.__dict__:
                holder.__dict__[self.name] = self.make(holder)
            value: T = holder.__dict__[self.name]
            return value
