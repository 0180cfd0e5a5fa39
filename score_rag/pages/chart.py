"""Charts by matplotlib, as files and as SVG that stands in a page and takes its colours.

Needs matplotlib: `pip install "score-rag[plot]"`.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from score_rag.errors import InputError
from score_rag.extras import names_extras
from score_rag.files.modes import new_file

__all__ = ["COLOURS", "check_picture", "new_figure", "save_picture", "styles_as_attributes", "to_svg"]

COLOURS = {"instructions": "#8a8a8a", "neighbour": "#0072B2", "history": "#009E73", "evidence": "#E69F00", "target": "#B4518F"}
"""By kind of segment; told apart in every common kind of colour blindness (Okabe and Ito 2008, purple darkened)."""
_INK, _LINE = "#101112", "#d0d1d2"
"""Stand for the page's own colours of text and lines."""
_SHARED = re.compile(r' id="(?:figure|axes|patch|line2d|text|matplotlib\.axis|[xy]tick|legend|PathCollection|LineCollection|QuadMesh)_\d+"')
_FONT = re.compile(r"(?:(?P<weight>bold|\d{3})\s+)?(?P<size>[\d.]+px)\s+(?P<family>.+)")
_KINDS = (".png", ".svg")


@contextmanager
def new_figure(width: float, height: float, *, dpi: int = 150) -> Iterator[Any]:
    """A figure of so many inches, in the style that all charts have.

    Args:
        dpi: Pixels an inch, of a PNG.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    with names_extras():
        import matplotlib
        from matplotlib.figure import Figure
    look: dict[Any, Any] = {"font.size": 11, "axes.titlesize": 12, "axes.titleweight": "bold", "axes.titlelocation": "left"}
    look |= {"axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True, "axes.grid": True, "grid.color": _LINE}
    look |= dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor"), _INK)
    look |= {"svg.fonttype": "none", "svg.hashsalt": "score-rag", "text.parse_math": False, "legend.frameon": False}
    with matplotlib.rc_context(look):
        yield Figure(figsize=(width, height), dpi=dpi, layout="constrained")


def to_svg(figure: Any, *, label: str) -> str:
    """An SVG element for a page: text stays text, text and lines have the page's colours, the ground shines through.

    Args:
        label: What it shows, for who cannot see it.
    """
    from html import escape

    stream = io.StringIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = _SHARED.sub("", text).replace(_INK, "currentColor").replace(_LINE, "var(--line)")
    text = re.sub(r"font(?:-family)?: ([^;\"]*)", lambda found: found.group(0).replace("'DejaVu Sans'", "system-ui"), text)
    wide = 'class="wide" ' if figure.get_figwidth() > 6 else ""
    return text.replace("<svg ", f'<svg {wide}role="img" aria-label="{escape(label, quote=True)}" ', 1)


def styles_as_attributes(svg: str) -> str:
    """The same chart for a page whose policy lets no style stand in it: each property is an attribute.

    >>> styles_as_attributes('<svg><style type="text/css">*{stroke-linecap: butt}</style><path style="fill: none; stroke: red"/></svg>')
    '<svg><path fill="none" stroke="red"/></svg>'
    >>> styles_as_attributes("<svg><text style=\\"font: bold 12px 'A', serif; text-anchor: end\\"/></svg>")
    '<svg><text font-weight="bold" font-size="12px" font-family="A, serif" text-anchor="end"/></svg>'
    """
    svg = re.sub(r"<style\b.*?</style>", "", svg, flags=re.S)
    svg = re.sub(r"<defs>\s*</defs>\s*", "", svg)
    return re.sub(r'style="([^"]*)"', lambda found: " ".join(_attributes(found.group(1))), svg)


def _attributes(style: str) -> Iterator[str]:
    for part in style.split(";"):
        name, _, value = (text.strip() for text in part.partition(":"))
        if name == "font":
            match = _FONT.fullmatch(value)
            if match is not None:
                if match["weight"]:
                    yield f'font-weight="{match["weight"]}"'
                yield f'font-size="{match["size"]}"'
                yield f'font-family="{match["family"].replace(chr(39), "")}"'
        elif name:
            yield f'{name}="{value.replace(chr(39), "")}"'


def check_picture(path: Path, kinds: Sequence[str] = _KINDS) -> Path:
    """The path, if its name says one of these kinds.

    Raises:
        InputError: It says another.
    """
    if path.suffix.lower() not in kinds:
        told = " or ".join(kind[1:].upper() for kind in kinds)
        raise InputError(f"pictures are written as {told}", where=path, expected=f"a name in {' or '.join(kinds)}", found=path.name)
    return path


def save_picture(figure: Any, path: Path) -> None:
    """Write a PNG or an SVG, aside and then moved; its folder is made."""
    check_picture(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = new_file(path)
    with os.fdopen(handle, "wb") as stream:
        try:
            kind = path.suffix.lower().removeprefix(".")
            figure.savefig(stream, format=kind, dpi="figure", **({"metadata": {"Date": None}} if kind == "svg" else {}))
            stream.flush()
            aside.replace(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
