"""MIND, Microsoft's news: `behaviors.tsv`, a row an impression with what was shown and clicked in one cell, and `news.tsv`."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from score_rag.data.catalogue import tidy_items
from score_rag.data.delimited import read_delimited_text
from score_rag.data.dialect import Dialect
from score_rag.data.folders import not_here
from score_rag.data.mistakes import Mistakes, require_rows, shown
from score_rag.data.report import DataReport
from score_rag.data.table import EVENT_TYPES

__all__ = ["mind_files", "read_mind"]

_BEHAVIOURS = ("impression", "user_id", "time", "history", "impressions")
_NEWS = ("item_id", "category", "subcategory", "title", "abstract", "url", "title_entities", "abstract_entities")
_TIME = "%m/%d/%Y %I:%M:%S %p"


def mind_files(folder: Path) -> list[Path]:
    """`behaviors.tsv` and `news.tsv` of the folder, or of each folder in it (`MINDsmall_train`, `MINDsmall_dev`).

    Raises:
        DataError: There are none, or one lacks the other.
    """
    places = [folder] if (folder / "behaviors.tsv").is_file() else sorted(file.parent for file in folder.glob("*/behaviors.tsv"))
    files = [place / name for name in ("behaviors.tsv", "news.tsv") for place in places]
    lost = next((file for file in files if not file.is_file()), None)
    if not files or lost is not None:
        what = "this folder holds no MIND data" if lost is None else "a file of MIND is missing"
        expected = "behaviors.tsv and news.tsv, or folders with both (MINDsmall_train, MINDsmall_dev)"
        raise not_here(what, lost or folder, expected, folder=folder)
    return files


def read_mind(folder: Path, *, report: DataReport) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(events, items): a click is a like, what was shown and not clicked a dislike, at the impression's time (UTC).

    What a user clicked before the log begins has no times: it stands one second apart before the log's first impression, in order. Of
    news, the category and subcategory are genres.

    Raises:
        DataError: A file is missing or has malformed rows.
    """
    files = mind_files(folder)
    behaviours, news = files[: len(files) // 2], files[len(files) // 2 :]
    mistakes = Mistakes()
    parts = [_impressions(file, mistakes, report) for file in behaviours]
    mistakes.settle(folder)
    rows = pl.concat(parts)
    events = pl.concat([_histories(rows, report), _judged(rows)])
    report.rows_read += len(events)
    texts = [_news(file, mistakes) for file in news]
    known = pl.concat(texts).unique("item_id", keep="first", maintain_order=True)
    catalogue = tidy_items(known, file=news[0], mistakes=mistakes, report=report)
    mistakes.settle(folder)
    require_rows(events, where=behaviours[0])
    return events.select(pl.col(name).cast(EVENT_TYPES[name]) for name in ("user_id", "item_id", "label", "timestamp")), catalogue


def _impressions(file: Path, mistakes: Mistakes, report: DataReport) -> pl.DataFrame:
    text = _table(file, _BEHAVIOURS, mistakes)
    times = text["time"].str.strip_chars().str.to_datetime(_TIME, strict=False)
    mistakes.add(text, times.is_null(), "time", file=file, expected="a time such as 11/15/2019 8:55:22 AM")
    mistakes.add(text, text["user_id"].fill_null("").str.strip_chars() == "", "user_id", file=file, expected="an id")
    shown_news = pl.col("impressions").fill_null("").str.split(" ").list.eval(pl.element().filter(pl.element() != ""))
    found = text.select("_line", "user_id", "history", timestamp=times.dt.epoch("s"), shown=shown_news)
    flat = found.select("_line", "shown").explode("shown").drop_nulls()
    odd = flat.filter(~flat["shown"].str.contains(r"^\S+-[01]$") & flat["shown"].str.contains("-"))
    for line, cell in odd.select("_line", "shown").head(20).iter_rows():
        mistakes.note(file.name, line, f"impressions: expected news with 0 or 1 (N55689-1), found {shown(cell)}")
    blind = flat["shown"].str.contains("-", literal=True)
    report.decide("impressions of a test set, which does not say what was clicked, left out", int((~blind).sum()))
    return found


def _judged(rows: pl.DataFrame) -> pl.DataFrame:
    flat = (
        rows.select("user_id", "timestamp", "shown").explode("shown").drop_nulls().filter(pl.col("shown").str.contains("-", literal=True))
    )
    parts = pl.col("shown").str.extract_groups(r"^(?<item_id>\S+)-(?<label>[01])$")
    return (
        flat.select("user_id", "timestamp", parts)
        .unnest("shown")
        .select("user_id", "item_id", pl.col("label").cast(pl.Float64), "timestamp")
    )


def _histories(rows: pl.DataFrame, report: DataReport) -> pl.DataFrame:
    """Each user's clicks from before the log, once."""
    if not len(rows):
        return pl.DataFrame(schema={"user_id": pl.String(), "item_id": pl.String(), "label": pl.Float64(), "timestamp": pl.Int64()})
    first = rows.sort("timestamp", maintain_order=True).unique("user_id", keep="first", maintain_order=True)
    start = int(rows["timestamp"].min() or 0)  # type: ignore[arg-type]  # whole numbers
    clicks = (
        first.select("user_id", item_id=pl.col("history").fill_null("").str.split(" ")).explode("item_id").filter(pl.col("item_id") != "")
    )
    # A click that is listed twice is one: the later.
    clicks = clicks.unique(["user_id", "item_id"], keep="last", maintain_order=True)
    report.decide("clicks from before the log, put one second apart before its first impression", len(clicks))
    place = pl.int_range(pl.len(), dtype=pl.Int64).over("user_id") - pl.len().over("user_id").cast(pl.Int64)
    return clicks.select("user_id", "item_id", label=pl.lit(1.0), timestamp=start + place)


def _news(file: Path, mistakes: Mistakes) -> pl.DataFrame:
    text = _table(file, _NEWS, mistakes)
    genres = pl.concat_list("category", "subcategory").list.drop_nulls().list.unique(maintain_order=True)
    return text.select("_line", "item_id", "title", genres=genres)


def _table(file: Path, names: tuple[str, ...], mistakes: Mistakes) -> pl.DataFrame:
    return read_delimited_text(file, names, mistakes=mistakes, dialect=Dialect("\t", quote=None, header=names))
