"""What a report is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from score_rag.pages.table import PageTable

__all__ = ["Drawn", "Example", "Piece", "Section", "draw"]


class Drawn(NamedTuple):
    """A chart: an SVG element, and what it shows."""

    svg: str
    caption: str


class Piece(NamedTuple):
    """A stretch of a prompt that says one thing."""

    text: str
    kind: str
    name: str


class Example(NamedTuple):
    """A question: what is remarkable about it, and its prompt."""

    title: str
    told: str
    pieces: Sequence[Piece]


@dataclass(frozen=True)
class Section:
    """A chapter.

    Attributes:
        name: Of its place in the page.
        warnings: What is wrong.
        notes: What a reader must know.
    """

    name: str
    title: str
    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()
    tables: Sequence[PageTable] = ()
    charts: Sequence[Drawn] = ()
    examples: Sequence[Example] = ()
    parts: Sequence[Section] = field(default_factory=tuple)


def draw(paint: Callable[[Any], None], width: float, height: float, caption: str) -> list[Drawn]:
    """A chart, in a list; none where matplotlib is not installed."""
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        return []
    from markupsafe import Markup

    from score_rag.pages.chart import new_figure, to_svg

    with new_figure(width, height) as figure:
        paint(figure)
        return [Drawn(Markup(to_svg(figure, label=caption)), caption)]
