"""The one table behind every source: who judged what, when, and how; and the catalogue it speaks of.

`Interactions` is what readers return and rooms take. Its frames have these columns, whatever the source called them:

events   event (row number, int64) · user_id · item_id (categorical) · label (int8, 1 = liked) · timestamp (int64, seconds) ·
         split (background, train, valid, test) · sampled (bool: a sampled negative, which no user gave)
items    item_id (str) · title (str) · year (int32 or null) · genres · creators · keywords (lists of str)

Events are sorted by timestamp; rows of the same second keep the source's order. "Earlier" means a strictly smaller timestamp: about half
of MovieLens shares its timestamp with another row of the same user, and what happened in the same second is not known yet. (The policy
`ties: file-order`, which lets the source's order decide within a second, exists to reproduce published numbers.)

A sampled negative is a question with the answer No, never a judgement: it stands in `events`, and in no history and no document.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import polars as pl

from score_rag.data.by_item import ItemColumns
from score_rag.data.choices import Split, Ties
from score_rag.data.columns import EventColumns
from score_rag.data.log import Event, Item, UserLog
from score_rag.data.mapped import FEWEST, Mapped, keep_columns, map_columns
from score_rag.data.plain import plain_item
from score_rag.data.rows import ITEM_COLUMNS, event_rows, items_frame, require_columns, whole_items
from score_rag.errors import DataError, InputError, RunStage, did_you_mean
from score_rag.files import read_json, write_json

__all__ = ["EVENT_COLUMNS", "ITEM_COLUMNS", "LEARNED", "QUESTIONS", "SPLITS", "Clock", "Interactions", "event_rows", "items_frame"]

QUESTIONS: tuple[Split, ...] = get_args(Split)
"""Splits whose events are questions: trained on, chosen by, judged on."""
SPLITS = ("background", *QUESTIONS)
"""In the order of time. `background` events are learned from and told like training events, and are never questions."""
LEARNED = ("background", "train")
"""Splits whose events are learned from and told."""
Clock = Literal["seconds", "order"]

EVENT_COLUMNS = {
    "event": pl.Int64(),
    "user_id": pl.Categorical(),
    "item_id": pl.Categorical(),
    "label": pl.Int8(),
    "timestamp": pl.Int64(),
    "split": pl.Enum(SPLITS),
    "sampled": pl.Boolean(),
}


class Interactions:
    """Events and catalogue, checked: the columns above, sorted by time, every event's item in the catalogue.

    Args:
        events: Frame with the event columns (`event`, `split` and `sampled` may be missing: then numbered, all `train`, none sampled).
        items: Frame with `item_id` and `title`; the other item columns may be missing.
        ties: Whether "earlier" is strict, or the source's order decides within a second.
        clock: What timestamps are: `seconds` since 1970, or a mere `order` within each user's events.

    Raises:
        DataError: A column is missing, a split is unknown, an item occurs twice, or an event's item is not in the catalogue.
    """

    _mapped: Mapped | None = None
    """Columns of these events, where they are kept on disk."""

    def __init__(self, events: pl.DataFrame, items: pl.DataFrame, *, ties: Ties = "strict", clock: Clock = "seconds") -> None:
        self.ties: Ties = ties
        self.clock: Clock = clock
        if "split" not in events.columns:
            events = events.with_columns(split=pl.lit("train", dtype=EVENT_COLUMNS["split"]))
        if "sampled" not in events.columns:
            events = events.with_columns(sampled=pl.lit(False))
        events = events.drop("event", strict=False)
        require_columns(events, [name for name in EVENT_COLUMNS if name != "event"], "events")
        self.items = whole_items(items)
        lost = events["item_id"].unique().cast(pl.String()).to_frame().join(self.items, on="item_id", how="anti")["item_id"].sort()
        if len(lost):
            raise DataError(
                f"{len(lost)} items have events but are not in the catalogue",
                found=", ".join(lost.head(5)),
                hint="add them to the items file",
            )
        strange = sorted(set(events["split"].unique().cast(pl.String()).to_list()) - set(SPLITS))
        if strange:
            raise DataError("the split column has unknown values", expected=", ".join(SPLITS), found=", ".join(strange[:5]))
        if not events["timestamp"].is_sorted():
            events = events.sort("timestamp", maintain_order=True)
        self.events = _cast(events.with_row_index("event"))

    @cached_property
    def events(self) -> pl.DataFrame:
        """The frame of events, of data whose columns are mapped: many ask only for those."""
        return _cast(self._mapped.events() if self._mapped is not None else pl.DataFrame(schema=EVENT_COLUMNS))

    def with_events(self, events: pl.DataFrame) -> Interactions:
        """Other events of the same catalogue, under the same policies."""
        return Interactions(events, self.items, ties=self.ties, clock=self.clock)

    @cached_property
    def catalogue(self) -> dict[str, Item]:
        """Items by id, in the order of the source; their texts are plain (`plain_text`), whatever the source says."""
        return {
            row["item_id"]: plain_item(
                Item(row["item_id"], row["title"], row["year"], tuple(row["genres"]), tuple(row["creators"]), tuple(row["keywords"]))
            )
            for row in self.items.iter_rows(named=True)
        }

    @cached_property
    def log(self) -> UserLog:
        """Every judgement of every split, by user: what histories are read from (strictly before the event in question)."""
        return UserLog(self._columns, ties=self.ties)

    @cached_property
    def train_log(self) -> UserLog:
        """Training judgements (background among them): what indexes, statistics and other users' behaviour are read from."""
        return self.log_of(LEARNED)

    def log_of(self, splits: Collection[str]) -> UserLog:
        """The judgements of some splits, by user."""
        if self._mapped is not None and self._mapped.learned is not None and set(splits) == set(LEARNED):
            return UserLog(self._mapped.learned, ties=self.ties)
        own = self.events["split"].is_in(list(splits))
        # Where each user's come first, as in every split by time, they are the beginnings of the same arrays.
        columns = self._columns.only(own.to_numpy()[self._columns.row])
        return UserLog(EventColumns.of(self.events.filter(own)) if columns is None else columns, ties=self.ties)

    @cached_property
    def by_item(self) -> ItemColumns:
        """Training judgements (background among them) by item: what statistics and an item's judges are read from."""
        return ItemColumns.of(self.learned) if self._mapped is None else self._mapped.by_item

    @cached_property
    def _columns(self) -> EventColumns:
        return EventColumns.of(self.events) if self._mapped is None else self._mapped.log

    @cached_property
    def learned(self) -> pl.DataFrame:
        """The events that are learned from: training events, and background where there is any."""
        return self.events.filter(pl.col("split").is_in(LEARNED))

    @cached_property
    def background(self) -> int:
        """Number of background events."""
        return int((self.events["split"] == "background").sum())

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that a report tells of: those of the questions, and background only where there is any."""
        return SPLITS if self.background else QUESTIONS

    @cached_property
    def sampled(self) -> bool:
        """Whether some labels are sampled negatives: every number that rests on them must say so."""
        return bool(self.events["sampled"].any())

    @cached_property
    def train_end(self) -> int:
        """First second after the last event that is learned from: `as_of` for everything that knows all of train (and background).

        Raises:
            DataError: There are no training events.
        """
        last = self.learned["timestamp"].max()
        if last is None:
            raise DataError("there are no training events", expected="at least one row whose split is 'train'")
        return int(last) + 1  # type: ignore[arg-type]  # polars types max() by the widest scalar

    def rows(self, split: str | None = None) -> Iterator[Event]:
        """Events of one split (or all), oldest first, sampled negatives among them."""
        frame = self.events if split is None else self.events.filter(pl.col("split") == split)
        yield from event_rows(frame)

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
        """Write `events.parquet`, `items.parquet` and `policies.json` into a folder, made if it is not there."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.events.write_parquet(folder / "events.parquet", compression="lz4", statistics=False, row_group_size=2_000_000)
        self.items.write_parquet(folder / "items.parquet")
        write_json(folder / "policies.json", {"ties": self.ties, "clock": self.clock})

    def keep_columns(self, folder: Path | str) -> None:
        """Write the sorted columns beside what `write` wrote, where there are so many events that processes should share them."""
        if len(self.events) >= FEWEST:
            learned, ends = self.train_log.columns, self.learned["timestamp"].max()
            facts = {"sampled": self.sampled, "train_end": None if ends is None else self.train_end}
            shared = learned if learned.item is self.log.columns.item else None
            keep_columns(Path(folder) / "events.parquet", self.log.columns, learned=shared, by_item=self.by_item, facts=facts)

    @classmethod
    def read(cls, folder: Path | str) -> Interactions:
        """Read what `write` wrote; where columns are kept beside it, they are mapped, and the frame of events is read when asked for.

        Raises:
            DataError: A file is missing, or cannot be read.
        """
        folder = Path(folder)
        for name in ("events.parquet", "items.parquet", "policies.json"):
            if not (folder / name).is_file():
                raise DataError("a data file is missing", where=folder / name, remedy=RunStage("data"))
        policies = read_json(folder / "policies.json")
        items = _read(folder / "items.parquet")
        mapped = map_columns(folder / "events.parquet")
        if mapped is None:
            return cls(_read(folder / "events.parquet"), items, ties=policies["ties"], clock=policies["clock"])
        # Checked when it was written; the digests say that it is what it was.
        made = cls.__new__(cls)
        made.ties, made.clock, made.items = policies["ties"], policies["clock"], whole_items(items)
        made._mapped, made.sampled = mapped, mapped.facts["sampled"]
        if mapped.facts["train_end"] is not None:
            made.train_end = mapped.facts["train_end"]
        return made


def _read(file: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(file)
    except (pl.exceptions.PolarsError, OSError) as error:
        found = str(error).splitlines()[0]
        raise DataError("a data file cannot be read", where=file.parent, found=found, remedy=RunStage("data", again=True)) from error


def _cast(events: pl.DataFrame) -> pl.DataFrame:
    return events.select([pl.col(name).cast(kind) for name, kind in EVENT_COLUMNS.items()])
