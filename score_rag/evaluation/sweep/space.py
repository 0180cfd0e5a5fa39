"""Which values of which settings: `reranker.top_n=0,1,2,4` (a list), or, for a search, `crm.learning_rate=1e-4..1e-2` (a range)."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from score_rag.errors import InputError
from score_rag.pipeline.yaml_text import read_yaml

__all__ = ["Axis", "assignments", "grid", "read_axis", "read_list"]

_RANGE = re.compile(r"\s*([-+.\w]+?)\.\.([-+.\w]+)\s*")
_LOG = 100
"""A range whose end is so many times its beginning is searched by order of magnitude."""


@dataclass(frozen=True)
class Axis:
    """One setting and its values.

    Attributes:
        name: Of the setting, such as `reranker.top_n`.
        values: To try; empty where there is a range.
        low: Of a range, for a search.
        high: Of a range.
    """

    name: str
    values: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None

    @property
    def whole(self) -> bool:
        """Whether a range is of whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def log(self) -> bool:
        """Whether a range is searched by order of magnitude."""
        return self.low is not None and self.high is not None and self.low > 0 and self.high / self.low >= _LOG


def read_axis(text: str) -> Axis:
    """An axis as it is typed.

    Raises:
        InputError: It is malformed, or says a value twice.

    >>> read_axis("reranker.top_n=0,1,2").values, read_axis("crm.dim=16..64").whole, read_axis("crm.learning_rate=1.0e-4..1.0e-2").log
    ((0, 1, 2), True, True)
    """
    name, equals, told = text.partition("=")
    if not equals or not name.strip() or not told.strip():
        raise InputError("what to sweep is malformed", where=text, expected="section.key=VALUE,VALUE,... or section.key=LOW..HIGH")
    found = _RANGE.fullmatch(told)
    if found is not None:
        low, high = (_number(part, text) for part in found.groups())
        if not low < high:
            raise InputError("a range is empty", where=text, expected="LOW..HIGH with LOW below HIGH")
        return Axis(name.strip(), (), low, high)
    try:
        values = read_yaml(f"[{told}]")
    except yaml.YAMLError as error:
        raise InputError("what to sweep is not valid YAML", where=text, found=str(error).splitlines()[0]) from error
    said = [json.dumps(value) for value in values]
    if len(set(said)) < len(said):
        raise InputError("a value is there twice", where=text)
    return Axis(name.strip(), tuple(values))


def _number(part: str, text: str) -> float:
    value = read_yaml(part)
    if isinstance(value, str):
        # YAML takes 1e-4 for a text.
        try:
            value = float(value)
        except ValueError:
            value = None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError("a range is of numbers", where=text, found=part)
    return value


def grid(axes: Sequence[Axis]) -> list[dict[str, Any]]:
    """All combinations, the last axis fastest.

    Raises:
        InputError: There is none, a setting is there twice, or a range stands where values must be listed.

    >>> grid([Axis("a", (1, 2)), Axis("b", (0, 3))])
    [{'a': 1, 'b': 0}, {'a': 1, 'b': 3}, {'a': 2, 'b': 0}, {'a': 2, 'b': 3}]
    """
    names = [axis.name for axis in axes]
    if not axes or len(set(names)) < len(names):
        raise InputError("a sweep needs settings, each once", expected="section.key=VALUE,VALUE,...", found=", ".join(names) or "none")
    if (wide := [axis.name for axis in axes if not axis.values]) != []:
        raise InputError("a grid needs listed values", where=wide[0], hint="a range is for a search: --search 20")
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*(axis.values for axis in axes))]


def read_list(path: Path | str) -> list[dict[str, Any]]:
    """Points from a YAML file: a list of mappings of settings to values.

    Raises:
        InputError: It is not there, or is something else.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("there is no such list of points", where=path)
    try:
        found = read_yaml(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError("a list of points is not valid YAML", where=path, found=str(error).splitlines()[0]) from error
    if not isinstance(found, list) or not found or not all(isinstance(point, dict) and point for point in found):
        raise InputError("a list of points has another form", where=path, expected='a YAML list such as "- {reranker.top_n: 1}"')
    return [{str(name): value for name, value in point.items()} for point in found]


def assignments(point: Mapping[str, Any]) -> list[str]:
    """A point as overrides of a pipeline.

    >>> assignments({"reranker.top_n": 1, "crm.model": "din", "retriever.tune_layers": None})
    ['reranker.top_n=1', 'crm.model="din"', 'retriever.tune_layers=null']
    """
    return [f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in point.items()]
