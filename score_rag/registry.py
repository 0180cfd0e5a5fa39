"""Parts by name: those shipped here, those registered by a program, those that installed packages bring as Python entry points."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from score_rag.errors import InputError, did_you_mean

__all__ = ["Registry", "load_object"]

T = TypeVar("T")


class Registry(Generic[T]):
    """Names with what they stand for; what a package brings is loaded when it is asked for.

    Args:
        what: What one is called in messages, such as `recommender`.
        group: The entry points' group.
        shipped: Those of this package.
        check: Makes of what was registered what is looked up, or raises.
    """

    def __init__(self, what: str, group: str, shipped: Mapping[str, T], *, check: Callable[[str, Any], T]) -> None:
        self.what, self.group = what, group
        self._check = check
        self._known: dict[str, T] = dict(shipped)

    def register(self, name: str, part: Any) -> None:
        """Add one under a name.

        Raises:
            InputError: The name is taken by another, or the part is not what it should be.
        """
        made = self._check(name, part)
        if self._known.get(name, made) != made:
            raise InputError(f"there is a {self.what} {name!r} already", hint="choose another name")
        self._known[name] = made

    def forget(self, name: str) -> None:
        """Take one out again; nothing where there is none."""
        self._known.pop(name, None)

    def __contains__(self, name: str) -> bool:
        return name in self._known or name in self._installed()

    def __getitem__(self, name: str) -> T:
        if name not in self._known:
            installed = self._installed()
            if name not in installed:
                raise InputError(f"there is no {self.what} {name!r}", hint=did_you_mean(name, self.names()))
            try:
                part = installed[name].load()
            except (ImportError, AttributeError) as error:
                where = f"entry point {name} = {installed[name].value} ({self.group})"
                raise InputError(f"the {self.what} {name!r} cannot be loaded", where=where, found=error) from error
            self._known[name] = self._check(name, part)
        return self._known[name]

    def names(self) -> list[str]:
        """All names: the shipped in their order, then the others."""
        return [*self._known, *(name for name in self._installed() if name not in self._known)]

    def _installed(self) -> dict[str, Any]:
        return {point.name: point for point in entry_points(group=self.group)}


def load_object(where: str) -> Any:
    """What `package.module:Name` names."""
    module, _, name = where.partition(":")
    return getattr(import_module(module), name)
