"""YAML as people write it: read safely, and a key given twice is an error, where the plain reader takes the last in silence."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

__all__ = ["read_yaml"]

_MERGE = "tag:yaml.org,2002:merge"


class _OnceLoader(yaml.SafeLoader):
    """The safe loader, which refuses a mapping that says a key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        lines: dict[Any, int] = {}
        # What `<<` brings from elsewhere may be said again, which is what it is for.
        for key, _ in [pair for pair in node.value if pair[0].tag != _MERGE] if isinstance(node, yaml.MappingNode) else []:
            name, line = self.construct_object(key, deep=True), key.start_mark.line + 1
            if not isinstance(name, Hashable):
                continue
            if name in lines:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {name!r} is given twice, in line {lines[name]} and again", key.start_mark
                )
            lines[name] = line
        return super().construct_mapping(node, deep)


def read_yaml(text: str) -> Any:
    """What a YAML text says.

    Raises:
        yaml.YAMLError: It is not valid, or a mapping in it says a key twice.

    >>> read_yaml("{dim: 64, heads: 2}")
    {'dim': 64, 'heads': 2}
    """
    # The safe loader in another form: it makes plain values only.
    return yaml.load(text, Loader=_OnceLoader)
