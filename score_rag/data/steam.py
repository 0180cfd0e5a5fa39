"""Steam's purchases and hours of play as they are passed on (`steam-200k.csv`): user, game, behaviour, value; with a header or without."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from score_rag.data.catalogue import tidy_items
from score_rag.data.delimited import read_delimited_text
from score_rag.data.dialect import Dialect, open_text
from score_rag.data.mistakes import Mistakes, require_rows
from score_rag.data.report import DataReport
from score_rag.data.table import parse_events
from score_rag.errors import ChangeSetting, DataError

__all__ = ["read_steam", "steam_files"]

_NAMES = ("user", "game", "behaviour", "value", "rest")
_BEHAVIOURS = ("purchase", "play")


def steam_files(folder: Path, interactions: str | None = None) -> list[Path]:
    """The file: as named, or the only CSV of the folder.

    Raises:
        DataError: It is not there, or there are several.
    """
    found = [folder / interactions] if interactions else sorted([*folder.glob("*.csv"), *folder.glob("*.csv.gz")])
    if len(found) != 1 or not found[0].is_file():
        raise DataError(
            "it is not clear which file holds the purchases" if len(found) > 1 else "the file of purchases and plays is missing",
            where=folder,
            expected="one CSV of user, game, behaviour, value (steam-200k.csv)",
            found=", ".join(file.name for file in found[:8]) or "no CSV",
            hint="name it",
            remedy=ChangeSetting({"data.interactions": "FILE"}),
        )
    return found


def read_steam(folder: Path, *, report: DataReport, interactions: str | None = None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(events, items): a user's games in the order of the file, without times; the rating is the hours of play, 0 where it was only bought.

    So `threshold` says from how many hours a game counts as liked. A game's title is its id.

    Raises:
        DataError: The file is missing or has malformed rows.
    """
    (file,) = steam_files(folder, interactions)
    mistakes = Mistakes()
    text = read_delimited_text(file, _NAMES[:4], mistakes=mistakes, dialect=Dialect(header=_NAMES[: _width(file)]))
    told = text.with_columns(pl.col("behaviour").str.strip_chars().str.to_lowercase(), pl.col("value").str.strip_chars())
    # Without a header the first row is data; with one it says behaviour (or behavior-name) in the third cell.
    told = told.filter(~pl.all_horizontal(pl.col(*_NAMES[:4]).is_null()))
    told = told.filter((pl.col("_line") > 1) | pl.col("behaviour").is_in(_BEHAVIOURS))
    mistakes.add(told, ~told["behaviour"].is_in(_BEHAVIOURS).fill_null(False), "behaviour", file=file, expected="purchase or play")
    hours = told["value"].cast(pl.Float64, strict=False)
    mistakes.add(told, ~(hours >= 0).fill_null(False), "value", file=file, expected="a number of hours")
    report.rows_read += len(told)
    games = told.with_columns(hours=pl.when(pl.col("behaviour") == "play").then(hours).otherwise(0.0), row=pl.int_range(pl.len()))
    one = games.group_by("user", "game", maintain_order=True).agg(pl.col("_line").first(), pl.col("row").first(), pl.col("hours").sum())
    report.drop("told with another row of the same user and game (bought and played)", len(games) - len(one))
    cells = one.sort("row").select("_line", user_id="user", item_id="game", rating=pl.col("hours").cast(pl.String()))
    called = {"user_id": "user", "item_id": "game", "rating": "value"}
    events = parse_events(cells, file=file, mistakes=mistakes, report=report, called=called)
    titles = cells.drop_nulls("item_id").unique("item_id", keep="first", maintain_order=True)
    catalogue = tidy_items(titles.select("_line", "item_id", title="item_id"), file=file, mistakes=mistakes, report=report)
    mistakes.settle(folder)
    require_rows(events, where=file)
    return events, catalogue


def _width(file: Path) -> int:
    """Cells of a row: four, or five where a last one says nothing (as published: always 0)."""
    import csv

    if not file.is_file():
        return 4
    with open_text(file, Dialect()) as stream:
        first = next(csv.reader(stream), [])
    if len(first) not in (4, 5):
        raise DataError(
            "a row of Steam's purchases has four cells, or five", where=file, expected="user, game, behaviour, value", found=first
        )
    return len(first)
