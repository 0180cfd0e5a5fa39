"""Times of a file: whether cells are some, and which setting reads them."""

from __future__ import annotations

import re
from datetime import datetime

from score_rag.data.sniff import Sniffed, is_number

__all__ = ["guess_time_format", "is_time"]

_FORMS = ("%Y/%m/%d", "%Y/%m/%d %H:%M:%S", "%d.%m.%Y", "%d.%m.%Y %H:%M:%S", "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%Y %H:%M:%S",
          "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%m %d, %Y", "%a, %d %b %Y %H:%M:%S %z")  # fmt: skip


def is_time(cell: str) -> bool:
    """Whether a cell is a time."""
    if cell.removesuffix(".0").isdigit():
        # Seconds from 1989 on, or milliseconds; a smaller number may be anything.
        return bool(re.fullmatch(r"([6-9]\d{8}|[1-9]\d{9})(\d{3})?(\.0)?|(19|20)\d{6}", cell))
    return _iso(cell) or any(_fits(cell, form) for form in _FORMS)


def guess_time_format(cells: list[str], found: Sniffed, said: list[str]) -> str | None:
    """`data.time_format` of times that are not understood without it; what is assumed is said."""
    if not cells or all(_iso(cell) for cell in cells):
        return None
    if all(re.fullmatch(r"(19|20)\d{6}", cell) for cell in cells):
        said.append(f"{found.file.name}: times such as {cells[0]} are dates without hyphens")
        return "date-number"
    if all(is_number(cell) for cell in cells):
        return None
    fitting = [form for form in _FORMS if all(_fits(cell, form) for cell in cells)]
    if not fitting:
        said.append(f"{found.file.name}: times such as {cells[0]!r} are of a form that is not known: say which, data.time_format")
        return None
    if len(fitting) > 1:
        said.append(f"{found.file.name}: times such as {cells[0]!r} fit {' and '.join(fitting)}: the first is assumed")
    return fitting[0]


def _iso(cell: str) -> bool:
    try:
        datetime.fromisoformat(cell)
    except ValueError:
        return False
    return "-" in cell


def _fits(cell: str, form: str) -> bool:
    try:
        datetime.strptime(cell, form)
    except ValueError:
        return False
    return True
