"""Which files the source `table` reads."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from score_rag.errors import ChangeSetting, DataError

__all__ = ["listed_files", "table_files"]

_KINDS = ("parquet", "csv", "csv.gz", "tsv", "tsv.gz", "jsonl", "jsonl.gz", "ndjson", "json", "json.gz")
_ENDINGS = tuple(f".{kind}" for kind in (*_KINDS, "dat", "txt"))
NO_ITEMS = "none"


def table_files(folder: Path, interactions: str | None = None, items: str | None = None) -> tuple[Path, Path | None]:
    """(interactions, items): as named, or the first of each kind that is there; no items where there is nothing that could hold them.

    Args:
        folder: Or the file of the interactions itself.
        items: `none` where there is no catalogue.

    Raises:
        DataError: A file is missing.
    """
    if folder.is_file():
        folder, interactions = folder.parent, folder.name
        items = items or (None if _there(folder, "items", None) else NO_ITEMS)
    events = _there(folder, "interactions", interactions) or _missing(folder, "interactions", interactions)
    if items == NO_ITEMS:
        return events, None
    catalogue = _there(folder, "items", items)
    others = [file for file in folder.iterdir() if file != events and file.name.endswith(_ENDINGS) and file.name != "fetched.json"]
    if catalogue is None and (items or others):
        catalogue = _missing(folder, "items", items)
    return events, catalogue


def listed_files(folder: Path, interactions: str | None = None, items: str | None = None) -> list[Path]:
    """`table_files`, in one list."""
    return [file for file in table_files(folder, interactions, items) if file is not None]


def _there(folder: Path, word: str, given: str | None) -> Path | None:
    names = [given] if given else [f"{word}.{kind}" for kind in _KINDS]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _missing(folder: Path, word: str, given: str | None) -> NoReturn:
    raise DataError(
        f"the {word} file is missing",
        where=folder / given if given else folder,
        expected=given or f"{word}.csv, .tsv, .parquet or .jsonl",
        found=", ".join(sorted(file.name for file in folder.iterdir())[:8]) or "an empty folder",
        hint="name it" + ("; or, where there is no catalogue, data.items=none" if word == "items" else ""),
        remedy=ChangeSetting({f"data.{word}": "FILE"}),
    )
