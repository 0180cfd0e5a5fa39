"""The data with the judgements that came in since: one row a user, item and second, the later word counting."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import polars as pl

from score_rag.data.interactions import EVENT_COLUMNS, LEARNED, Interactions, event_rows, items_frame
from score_rag.data.log import Event, Item
from score_rag.feedback.record import Feedback, Key

__all__ = ["Replaced", "merged", "new_items", "replaced"]

_KEYS = ["user_id", "item_id", "timestamp"]


def new_items(known: Iterable[str], feedback: Iterable[Feedback]) -> dict[str, Item]:
    """Items that feedback speaks of and the catalogue has not; called by their ids where nothing is said of them."""
    there = set(known)
    out: dict[str, Item] = {}
    for one in feedback:
        if one.item_id not in there and (one.item is not None or one.item_id not in out):
            out[one.item_id] = one.item or Item(one.item_id, one.item_id)
    return out


def merged(interactions: Interactions, feedback: Iterable[Feedback], *, all_known: bool = False) -> Interactions:
    """Data and feedback in one table.

    Args:
        feedback: In the order in which it was written. Counted among what is learned from and told (split `train`); no model was trained
            on it.
        all_known: All events of the data are told too, those held out for validation and test among them.
    """
    rows = list(feedback)
    if not rows and not all_known:
        return interactions
    frame = interactions.events.drop("event")
    if all_known:
        frame = frame.with_columns(split=pl.lit("train", dtype=EVENT_COLUMNS["split"]))
    if not rows:
        return interactions.with_events(frame)
    columns = {
        "user_id": [one.user_id for one in rows],
        "item_id": [one.item_id for one in rows],
        "label": [int(one.liked) for one in rows],
        "timestamp": [one.timestamp for one in rows],
    }
    added = pl.DataFrame(columns).with_columns(split=pl.lit("train"), sampled=pl.lit(False))
    added = added.select([pl.col(name).cast(kind) for name, kind in EVENT_COLUMNS.items() if name != "event"])
    added = added.unique(subset=_KEYS, keep="last", maintain_order=True)
    kept = frame.join(added.select(_KEYS), on=_KEYS, how="anti", maintain_order="left")
    items = interactions.items
    strangers = new_items(items["item_id"], rows)
    if strangers:
        more = items_frame(strangers.values()).select([pl.col(name).cast(kind) for name, kind in items.schema.items()])
        items = pl.concat([items, more])
    return Interactions(pl.concat([kept, added]), items, ties=interactions.ties, clock=interactions.clock)


@dataclass
class Replaced:
    """What feedback stands in the place of.

    Attributes:
        keys: All that feedback speaks of.
        all: By key, the source's own judgements that are not told meanwhile.
        learned: Of those, such as are learned from and told.
    """

    keys: set[Key] = field(default_factory=set)
    all: dict[Key, Event] = field(default_factory=dict)
    learned: dict[Key, Event] = field(default_factory=dict)

    def forget(self, key: Key) -> None:
        """Feedback speaks of it no more."""
        self.keys.discard(key)
        self.all.pop(key, None)
        self.learned.pop(key, None)


def replaced(interactions: Interactions, feedback: Iterable[Feedback], *, all_known: bool = False) -> Replaced:
    """What `merged`, given the same, leaves out of the source."""
    keys = {one.key for one in feedback}
    if not keys:
        return Replaced()
    events = interactions.events
    asked = pl.DataFrame(list(keys), schema={name: events.schema[name] for name in _KEYS}, orient="row")
    found = events.join(asked, on=_KEYS, how="semi").filter(~pl.col("sampled"))
    learned = found if all_known else found.filter(pl.col("split").is_in(LEARNED))
    return Replaced(keys, *({(one.user_id, one.item_id, one.timestamp): one for one in event_rows(some)} for some in (found, learned)))
