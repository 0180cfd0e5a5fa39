"""The one table behind every source: who judged what, when, and how; and the catalogue it speaks of.

`Interactions` is what readers return and rooms take. Its frames have these columns, whatever the source called them:

events   event (row number, int64) · user_id (str) · item_id (str) · label (int8, 1 = liked) · timestamp (int64, seconds) · split (str)
items    item_id (str) · title (str) · year (int32 or null) · genres · creators · keywords (lists of str)

Events are sorted by timestamp; rows of the same second keep the source's order. "Earlier" always means a strictly smaller timestamp:
about half of MovieLens shares its timestamp with another row of the same user, and what happened in the same second is not known yet.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import polars as pl

from score_rag.errors import DataError, InputError, did_you_mean

__all__ = ["EVENT_COLUMNS", "ITEM_COLUMNS", "SPLITS", "Event", "Interactions", "Item", "UserLog"]

EVENT_COLUMNS = {
    "event": pl.Int64(),
    "user_id": pl.String(),
    "item_id": pl.String(),
    "label": pl.Int8(),
    "timestamp": pl.Int64(),
    "split": pl.String(),
}
ITEM_COLUMNS = {
    "item_id": pl.String(),
    "title": pl.String(),
    "year": pl.Int32(),
    "genres": pl.List(pl.String()),
    "creators": pl.List(pl.String()),
    "keywords": pl.List(pl.String()),
}
SPLITS = ("train", "valid", "test")


class Event(NamedTuple):
    """One judgement: a user, an item, whether it was liked, and when (seconds since 1970, UTC)."""

    user_id: str
    item_id: str
    liked: bool
    timestamp: int


@dataclass(frozen=True, slots=True)
class Item:
    """One row of the catalogue, as prompts see it.

    `name` is the title with its year, as people write it: `Heat (1995)`.
    """

    item_id: str
    title: str
    year: int | None = None
    genres: tuple[str, ...] = ()
    creators: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.title if self.year is None else f"{self.title} ({self.year})"

    @property
    def decade(self) -> str:
        """`1990s`, or an empty text where the year is unknown."""
        return "" if self.year is None else f"{self.year // 10 * 10}s"


class UserLog:
    """Events by user, in time order, with strict look-ups: nothing at or after the asked time ever comes back."""

    def __init__(self, events: Iterable[Event]) -> None:
        self._events: dict[str, list[Event]] = {}
        for event in events:
            self._events.setdefault(event.user_id, []).append(event)
        for rows in self._events.values():
            rows.sort(key=lambda event: event.timestamp)
        self._verdicts: dict[str, dict[str, list[Event]]] = {}
        self._times = {user: [event.timestamp for event in rows] for user, rows in self._events.items()}

    def __contains__(self, user_id: object) -> bool:
        return user_id in self._events

    def __len__(self) -> int:
        return len(self._events)

    @property
    def users(self) -> list[str]:
        """User ids, in order of their first event in the source."""
        return list(self._events)

    def of(self, user_id: str) -> Sequence[Event]:
        """All events of a user, oldest first; empty for an unknown user."""
        return self._events.get(user_id, [])

    def before(self, user_id: str, timestamp: int | None, *, last: int | None = None, liked_only: bool = False) -> list[Event]:
        """Events of a user strictly earlier than `timestamp` (all of them where it is None), oldest first.

        Args:
            last: Keep only the most recent so many (counted after `liked_only`).
            liked_only: Keep only liked events (`history: positives`).

        >>> log = UserLog([Event("u", "a", True, 5), Event("u", "b", False, 7), Event("u", "c", True, 7)])
        >>> [event.item_id for event in log.before("u", 7)]
        ['a']
        """
        rows = self._events.get(user_id, [])
        end = len(rows) if timestamp is None else bisect_left(self._times.get(user_id, []), timestamp)
        found = [event for event in rows[:end] if event.liked] if liked_only else rows[:end]
        return found[-last:] if last else (found if last is None else [])

    def verdict(self, user_id: str, item_id: str, timestamp: int | None) -> bool | None:
        """Whether the user had liked the item, by the last judgement strictly before `timestamp`; None if not judged by then."""
        if user_id not in self._verdicts:
            own: dict[str, list[Event]] = {}
            for event in self._events.get(user_id, ()):
                own.setdefault(event.item_id, []).append(event)
            self._verdicts[user_id] = own
        for event in reversed(self._verdicts[user_id].get(item_id, ())):
            if timestamp is None or event.timestamp < timestamp:
                return event.liked
        return None

    def first(self, user_id: str, item_id: str) -> Event | None:
        """The user's first judgement of the item, or None."""
        return next((event for event in self._events.get(user_id, []) if event.item_id == item_id), None)


class Interactions:
    """Events and catalogue, checked: the columns above, sorted by time, every event's item in the catalogue.

    Args:
        events: Frame with the event columns (`event` and `split` may be missing: then numbered, and all `train`).
        items: Frame with `item_id` and `title`; the other item columns may be missing.

    Raises:
        DataError: A column is missing, an item occurs twice, or an event's item is not in the catalogue.
    """

    def __init__(self, events: pl.DataFrame, items: pl.DataFrame) -> None:
        if "split" not in events.columns:
            events = events.with_columns(split=pl.lit("train"))
        events = events.drop("event", strict=False)
        _require(events, [name for name in EVENT_COLUMNS if name != "event"], "events")
        _require(items, ["item_id", "title"], "items")
        for name, kind in ITEM_COLUMNS.items():
            if name not in items.columns:
                items = items.with_columns(pl.lit([] if kind == pl.List(pl.String()) else None, dtype=kind).alias(name))
        self.items = items.select([pl.col(name).cast(kind) for name, kind in ITEM_COLUMNS.items()]).with_columns(
            pl.col("genres", "creators", "keywords").fill_null([])
        )
        twice = self.items.filter(pl.col("item_id").is_duplicated())
        if len(twice):
            raise DataError("an item occurs more than once in the catalogue", found=", ".join(twice["item_id"].unique().sort().head(5)))
        lost = events.select(pl.col("item_id").cast(pl.String())).filter(~pl.col("item_id").is_in(self.items["item_id"].implode()))
        if len(lost):
            names = lost["item_id"].unique().sort()
            raise DataError(
                f"{len(names)} items have events but are not in the catalogue",
                found=", ".join(names.head(5)),
                hint="add them to the items file",
            )
        self.events = (
            events.sort("timestamp", maintain_order=True)
            .with_row_index("event")
            .select([pl.col(name).cast(kind) for name, kind in EVENT_COLUMNS.items()])
        )

    @cached_property
    def catalogue(self) -> dict[str, Item]:
        """Items by id, in the order of the source."""
        return {
            row["item_id"]: Item(
                row["item_id"], row["title"], row["year"], tuple(row["genres"]), tuple(row["creators"]), tuple(row["keywords"])
            )
            for row in self.items.iter_rows(named=True)
        }

    @cached_property
    def log(self) -> UserLog:
        """Every event of every split, by user: what histories are read from (strictly before the event in question)."""
        return UserLog(self.rows())

    @cached_property
    def train_log(self) -> UserLog:
        """Training events only: what indexes, statistics and other users' behaviour are read from."""
        return UserLog(self.rows("train"))

    @property
    def train_end(self) -> int:
        """First second after the last training event: `as_of` for everything that knows all of train.

        Raises:
            DataError: There are no training events.
        """
        last = self.events.filter(pl.col("split") == "train")["timestamp"].max()
        if last is None:
            raise DataError("there are no training events", expected="at least one row whose split is 'train'")
        return int(last) + 1  # type: ignore[arg-type]  # polars types max() by the widest scalar

    def rows(self, split: str | None = None) -> Iterator[Event]:
        """Events of one split (or all), oldest first."""
        frame = self.events if split is None else self.events.filter(pl.col("split") == split)
        for user_id, item_id, label, timestamp in frame.select("user_id", "item_id", "label", "timestamp").iter_rows():
            yield Event(user_id, item_id, bool(label), timestamp)

    def item(self, item_id: str) -> Item:
        """One item of the catalogue.

        Raises:
            InputError: It is not there.
        """
        try:
            return self.catalogue[item_id]
        except KeyError:
            raise InputError(f"there is no item {item_id!r} in the catalogue", hint=did_you_mean(item_id, self.catalogue)) from None

    def write(self, folder: Path | str) -> None:
        """Write `events.parquet` and `items.parquet` into a folder, made if it is not there."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        self.events.write_parquet(Path(folder) / "events.parquet")
        self.items.write_parquet(Path(folder) / "items.parquet")

    @classmethod
    def read(cls, folder: Path | str) -> Interactions:
        """Read what `write` wrote.

        Raises:
            DataError: A file is missing.
        """
        folder = Path(folder)
        for name in ("events.parquet", "items.parquet"):
            if not (folder / name).is_file():
                raise DataError(
                    "a data file is missing", where=folder / name, hint="run the data stage: score-rag run PIPELINE --only data"
                )
        return cls(pl.read_parquet(folder / "events.parquet"), pl.read_parquet(folder / "items.parquet"))


def items_frame(items: Iterable[Mapping[str, object]] | Iterable[Item]) -> pl.DataFrame:
    """A catalogue frame from `Item`s (or mappings with the same keys)."""
    rows = [
        {
            "item_id": i.item_id,
            "title": i.title,
            "year": i.year,
            "genres": list(i.genres),
            "creators": list(i.creators),
            "keywords": list(i.keywords),
        }
        if isinstance(i, Item)
        else dict(i)
        for i in items
    ]
    return pl.DataFrame(rows, schema_overrides={k: v for k, v in ITEM_COLUMNS.items() if not rows or k in rows[0]})


def _require(frame: pl.DataFrame, names: Sequence[str], what: str) -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise DataError(f"{what} lack columns: {', '.join(missing)}", expected=", ".join(names), found=", ".join(frame.columns))
