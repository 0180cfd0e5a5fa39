"""Summary statistics of the data: sizes, density, like rates, cold-start shares, text coverage, and the data report.

Events are judgements of every split, background among them; sampled negatives are counted beside them. Only what is
asked of the rows that will be scored (like rates, cold shares, users with one class) takes them in, and says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from score_rag.data.choices import Ties
from score_rag.data.interactions import LEARNED, Clock, Interactions
from score_rag.data.report import DataReport, information
from score_rag.data.spread import BINS, Spread

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["BINS", "DataSummary", "SplitSummary", "Spread", "describe", "event_counts", "training_counts", "warm_mask"]


@dataclass(frozen=True)
class SplitSummary:
    """One split: judgements, users and items that have any here; then shares over all its rows, sampled negatives among them.

    Attributes:
        first: Second of the first judgement (UTC, ISO 8601), as `last` of the last; `order only` where times are a mere order.
        one_class_users: Users whose rows here are all likes or none: UAUC cannot count them.
        cold_user: Share whose user has fewer than 3 training judgements (background counts), `cold_item` whose item has, `cold_either`;
            None for train and background.
    """

    name: str
    events: int
    sampled: int
    users: int
    items: int
    first: str | None
    last: str | None
    liked: float | None
    one_class_users: int
    cold_user: float | None
    cold_item: float | None
    cold_either: float | None


@dataclass(frozen=True)
class DataSummary:
    """What `describe` tells; a share is None where there is nothing to share.

    Attributes:
        reading: The account of the reading: rows read, dropped by reason, decisions, warnings.
        information: What predictions may know; see `score_rag.data.report.information`.
        events: Judgements kept; negatives `sampled` come beside them.
        labels: `given`, or `sampled negatives`: what like rates, cold shares and one-class users rest on.
        users: Users with judgements; `items` counts the catalogue, `items_with_events` those with judgements.
        density: Share of the pairs of a user and an item with events that were judged.
        same_second_own: Share of judgements that share their second with another one of their user, as `same_second_any` with any
            other; None where times are a mere order.
        texts: Share of judgements whose item has a year, genres, creators, keywords, and a title that is not made of its id.
    """

    reading: DataReport
    information: str
    events: int
    sampled: int
    labels: str
    users: int
    items: int
    items_with_events: int
    density: float | None
    liked: float | None
    events_a_user: Spread | None
    events_an_item: Spread | None
    splits: tuple[SplitSummary, ...]  # background only where there is any
    same_second_own: float | None
    same_second_any: float | None
    texts: Mapping[str, float | None]
    ties: Ties
    clock: Clock

    def to_dict(self) -> dict[str, Any]:
        """For `--json`; a split's shares stand beside the word for its labels."""
        return {**asdict(self), "splits": [{**asdict(split), "labels": self.labels} for split in self.splits]}

    def to_tables(self) -> list[Table]:
        """For the screen: the whole, the splits, events per user and per item, and the data report."""
        rests = f" ({self.labels})" if self.sampled else ""
        own, other, left_out = _said(self.same_second_own), _said(self.same_second_any), sum(self.reading.dropped.values())
        shared = f"; {own} of events share their second with another of the same user, {other} with any other"
        whole: list[tuple[object, ...]] = [
            ("rows read", f"{self.reading.rows_read:,}, {left_out:,} dropped"),
            ("information", self.information),
            ("events", f"{self.events:,}" + (f", and {self.sampled:,} {self.labels}" if self.sampled else "")),
            ("users", self.users),
            ("items", f"{self.items:,} in the catalogue, {self.items_with_events:,} with events"),
            ("density", f"{_said(self.density, '.3%')} of the pairs of users and items with events"),
            ("liked", _said(self.liked) + rests),
            ("ties", self.ties + (shared if self.clock == "seconds" else "")),
            ("clock", "seconds" if self.clock == "seconds" else "order only: position within each user's events"),
            ("events whose item has", ", ".join(f"{name} {_said(share)}" for name, share in self.texts.items())),
        ]
        names = [field.name for field in fields(SplitSummary)[1:] if self.sampled or field.name != "sampled"]
        splits = [(name.replace("_", " "), *(getattr(split, name) for split in self.splits)) for name in names]
        spreads = [spread for spread in (self.events_a_user, self.events_an_item) if spread is not None]
        numbers = [field.name for field in fields(Spread) if field.name != "histogram"]
        counts = [(name, *(f"{getattr(spread, name):,.1f}".removesuffix(".0") for spread in spreads)) for name in numbers]
        counts += [(f"with {name}", *(f"{spread.histogram[name]:,}" for spread in spreads)) for name in BINS]
        return [
            _table(f"data: {self.reading.source}", [], whole),
            _table(
                f"splits{rests}",
                ["", *(split.name for split in self.splits)],
                splits,
                f"cold start: fewer than 3 training events; shares of all rows{rests}",
            ),
            _table("events", ["", "per user", "per item"], counts),
            _table("data report", [], [(line,) for line in self.reading.lines() or ["nothing"]]),
        ]


def describe(interactions: Interactions, report: DataReport, *, history: str = "all") -> DataSummary:
    """Count what `load` or `prepare` made, by whole columns: some seconds for 25 million rows.

    Args:
        interactions: The table.
        report: The account of the reading that made it.
        history: The pipeline's policy of histories, `all` or `positives`.
    """
    events, items = interactions.events, interactions.items
    judged = events.filter(~pl.col("sampled")) if interactions.sampled else events
    of_users, of_items = event_counts(judged, "user_id"), event_counts(judged, "item_id")
    a_user, an_item = of_users[of_users > 0], of_items[of_items > 0]
    pairs = judged.select(pl.col("user_id").to_physical().cast(pl.UInt64) * 2**32 + pl.col("item_id").to_physical()).to_series().n_unique()
    own, other = _same_second(judged) if interactions.clock == "seconds" else (None, None)
    return DataSummary(
        reading=report,
        information=information(interactions, history),
        events=len(judged),
        sampled=len(events) - len(judged),
        labels="sampled negatives" if interactions.sampled else "given",
        users=len(a_user),
        items=len(items),
        items_with_events=len(an_item),
        density=pairs / (len(a_user) * len(an_item)) if pairs else None,
        liked=_mean(events["label"]),
        events_a_user=Spread.of(a_user) if pairs else None,
        events_an_item=Spread.of(an_item) if pairs else None,
        splits=tuple(_split(interactions, name) for name in interactions.splits),
        same_second_own=own,
        same_second_any=other,
        texts=_texts(items, of_items),
        ties=interactions.ties,
        clock=interactions.clock,
    )


def warm_mask(interactions: Interactions, rows: pl.DataFrame, least: int = 3) -> np.ndarray:
    """bool [rows of an events frame]: user and item both have at least `least` training judgements (METHOD).

    Background judgements count; sampled negatives are none.
    """
    counts = [training_counts(interactions, rows, column) for column in ("user_id", "item_id")]
    return np.asarray((counts[0] >= least) & (counts[1] >= least))


def event_counts(events: pl.DataFrame, column: str) -> np.ndarray:
    """Number of events [codes] by the physical code of `user_id` or `item_id`: 0 for an id of other frames, nothing after the last."""
    return np.bincount(events[column].to_physical().to_numpy())


def training_counts(interactions: Interactions, rows: pl.DataFrame, column: str) -> np.ndarray:
    """int64 [rows of an events frame]: training judgements of each row's `user_id` or `item_id`.

    Background judgements count; sampled negatives are none.
    """
    judged = interactions.learned.filter(~pl.col("sampled"))
    return _of_ids(event_counts(judged, column), rows[column])


def _of_ids(counts: np.ndarray, ids: pl.Series) -> np.ndarray:
    codes = ids.cast(pl.Categorical()).to_physical().to_numpy()
    return np.asarray(np.append(counts, 0)[np.minimum(codes, len(counts))])


def _split(interactions: Interactions, name: str) -> SplitSummary:
    rows = interactions.events.filter(pl.col("split") == name)
    judged = rows.filter(~pl.col("sampled"))
    when = pl.lit("order only") if interactions.clock == "order" else pl.from_epoch("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    first, last = pl.concat([judged.head(1), judged.tail(1)]).with_columns(when=when)["when"].to_list() or (None, None)
    asked = event_counts(rows, "user_id")
    likes = np.bincount(rows["user_id"].to_physical().to_numpy(), weights=rows["label"].to_numpy())
    alone = int(((asked > 0) & ((likes == 0) | (likes == asked))).sum())
    users, items = (int((event_counts(judged, column) > 0).sum()) for column in ("user_id", "item_id"))
    user, item = (training_counts(interactions, rows, column) < 3 for column in ("user_id", "item_id"))
    cold = [None if name in LEARNED else _mean(share) for share in (user, item, user | item)]
    return SplitSummary(name, len(judged), len(rows) - len(judged), users, items, first, last, _mean(rows["label"]), alone, *cold)


def _same_second(judged: pl.DataFrame) -> tuple[float | None, float | None]:
    """Shares of judgements (sorted by time) that share their second with another of the same user, and with any other."""
    times = judged["timestamp"].to_numpy()
    seconds = np.cumsum(np.diff(times, prepend=times[:1]) != 0)
    # The second's rank in the upper half, the user in the lower: one sort brings together what is equal in both.
    both = pl.Series(seconds * 2**32 + judged["user_id"].to_physical().to_numpy()).sort().to_numpy()
    own, other = (_mean(np.append(again, False) | np.append(False, again)) for again in (np.diff(both) == 0, np.diff(seconds) == 0))
    return (own, other) if len(times) else (None, None)


def _texts(items: pl.DataFrame, of_items: np.ndarray) -> dict[str, float | None]:
    lists = {name: pl.col(name).list.len() > 0 for name in ("genres", "creators", "keywords")}
    told = items.select(year=pl.col("year").is_not_null(), **lists, title=pl.col("title") != pl.lit("item ") + pl.col("item_id"))
    events = _of_ids(of_items, items["item_id"])
    return {name: int(events @ told[name].to_numpy()) / int(events.sum()) if events.any() else None for name in told.columns}


def _mean(values: pl.Series | np.ndarray) -> float | None:
    return float(np.mean(np.asarray(values))) if len(values) else None


def _said(value: object, share: str = ".1%") -> str:
    return "-" if value is None else format(value, share if isinstance(value, float) else "," if isinstance(value, int) else "")


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]], caption: str | None = None) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left", show_header=bool(head))
    for place, name in enumerate(head):
        table.add_column(name, justify="right" if place else "left")
    for row in rows:
        table.add_row(*(Text(_said(cell)) for cell in row))  # texts quote what files say, which may look like markup
    return table
