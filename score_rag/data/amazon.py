"""Amazon reviews as the McAuley lab publishes them: 2014 and 2018 (gzipped JSON lines), 2023 (JSON lines), any category."""

from __future__ import annotations

import html
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from score_rag.data.catalogue import tidy_items
from score_rag.data.json_lines import cell_text, field_names, objects, read_json_events
from score_rag.data.mistakes import Mistakes, require_rows
from score_rag.data.report import DataReport
from score_rag.errors import DataError, FetchDataset

__all__ = ["amazon_files", "read_amazon"]

_BY_YEAR = {
    "2014 or 2018": {"user_id": "reviewerID", "item_id": "asin", "rating": "overall", "timestamp": "unixReviewTime"},
    "2023": {"user_id": "user_id", "item_id": "parent_asin", "rating": "rating", "timestamp": "timestamp"},
}
_ENDINGS = (".json", ".json.gz", ".jsonl", ".jsonl.gz")
_MOST_GENRES = 3


def amazon_files(folder: Path, interactions: str | None = None, items: str | None = None) -> tuple[Path, Path]:
    """(reviews, metadata): as named, or the only two of a folder, the metadata being called `meta_...`.

    Raises:
        DataError: They are not there, or there are several.
    """
    there = sorted(file for file in folder.iterdir() if file.name.endswith(_ENDINGS) and file.name != "fetched.json")
    chosen = []
    for word, given, fit in (
        ("interactions", interactions, [file for file in there if not file.name.startswith("meta_")]),
        ("items", items, [file for file in there if file.name.startswith("meta_")]),
    ):
        found = [folder / given] if given else fit
        if len(found) != 1 or not found[0].is_file():
            raise DataError(
                f"it is not clear which file holds the {word}" if found and not given else f"the {word} file is missing",
                where=found[0] if given else folder,
                expected="reviews (Video_Games_5.json.gz, Video_Games.jsonl) beside meta_... (meta_Video_Games.json.gz)",
                found=", ".join(file.name for file in there) or "no JSON files",
                hint=f"name it: data.{word}=FILE; or get one",
                remedy=FetchDataset("amazon-2018:Video_Games"),
            )
        chosen.append(found[0])
    return chosen[0], chosen[1]


def read_amazon(
    folder: Path, *, report: DataReport, interactions: str | None = None, items: str | None = None, strict: bool = False
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(events, items): a review's stars and time; a product's title, brand or store, and the first three of its categories below the root.

    Raises:
        DataError: A file is missing, torn, or no Amazon reviews.
    """
    reviews, metadata = amazon_files(folder, interactions, items)
    fields = field_names(reviews)
    columns = next((names for names in _BY_YEAR.values() if set(names.values()) <= set(fields)), None)
    if columns is None:
        raise DataError(
            "this file holds no Amazon reviews",
            where=reviews,
            expected=" or ".join(", ".join(names.values()) for names in _BY_YEAR.values()),
            found=", ".join(fields),
        )
    mistakes = Mistakes()
    events = read_json_events(reviews, columns, mistakes=mistakes, report=report)
    wanted = set(events["item_id"].unique().cast(pl.String()).drop_nulls())
    catalogue = tidy_items(_products(metadata, wanted, mistakes), file=metadata, mistakes=mistakes, report=report, strict=strict)
    mistakes.settle(folder)
    require_rows(events, where=reviews)
    return events, catalogue


def _products(file: Path, wanted: Collection[str], mistakes: Mistakes) -> pl.DataFrame:
    rows = []
    for line, found in objects(file, mistakes=mistakes, literal=True):
        item_id = (cell_text(found.get("parent_asin") or found.get("asin")) or "").strip()
        if item_id in wanted:
            title = found.get("title")
            rows.append(
                {
                    "_line": line,
                    "item_id": item_id,
                    "title": html.unescape(cell_text(title) or "") if isinstance(title, str) else None,
                    "year": None,
                    "genres": _genres(found),
                    "creators": _texts([found.get("brand") or found.get("store")]),
                }
            )
    schema = {"_line": pl.Int64(), "item_id": pl.String(), "title": pl.String(), "year": pl.String()}
    return pl.DataFrame(rows, schema={**schema, "genres": pl.List(pl.String()), "creators": pl.List(pl.String())})


def _genres(found: Mapping[str, Any]) -> list[str]:
    """The path of categories without its root, which all products share; 2014 gives several paths, of which the first is taken."""
    path = found.get("categories") or found.get("category") or []
    if isinstance(path, list) and path and isinstance(path[0], list):
        path = path[0]
    return _texts(path[1:] if isinstance(path, list) else [])[:_MOST_GENRES]


def _texts(values: list[Any]) -> list[str]:
    return [html.unescape(cell_text(value) or "") for value in values if isinstance(value, str) and value.strip()]
