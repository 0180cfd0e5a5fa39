"""Judgements as columns: one array for each of item, second, answer and row, in which every user's stand together, oldest first.

Twenty-five million judgements are .4 GB here, and 7 GB as Python objects. Nothing in a column is ever changed, so that logs (of all
judgements, of those of train) and threads share them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl

from score_rag.data.choices import Ties
from score_rag.data.ids import Ids, numbered

__all__ = ["EventColumns", "grouped"]

_FEW = 500_000
"""Rows that are sorted in less time than SciPy takes to be imported."""


@dataclass(frozen=True)
class EventColumns:
    """Judgements by user, in time order.

    Attributes:
        users: By number, in the order of their first judgement in the source.
        items: Ids by number.
        starts: int64 [users]: where each user's judgements begin.
        ends: int64 [users]: behind the last; equal to the start where a user has none.
        item: int32 [n], numbers.
        time: int64 [n], seconds.
        liked: bool [n].
        row: int32 or int64 [n], the number in the table (-1: in none).
    """

    users: Ids
    items: Sequence[str]
    starts: np.ndarray
    ends: np.ndarray
    item: np.ndarray
    time: np.ndarray
    liked: np.ndarray
    row: np.ndarray

    @classmethod
    def of(cls, frame: pl.DataFrame) -> EventColumns:
        """From a frame of events, whose sampled negatives are left out; rows of one second stay in the frame's order."""
        if frame["sampled"].any():
            frame = frame.filter(~pl.col("sampled"))
        user, users = numbered(frame["user_id"])
        item, items = numbered(frame["item_id"])
        lengths = np.bincount(user, minlength=len(users))
        ends = np.cumsum(lengths)
        time = frame["timestamp"].to_numpy()
        order = grouped(user, len(users)) if frame["timestamp"].is_sorted() else np.lexsort([time, user])
        row = frame["event"].to_numpy()
        row = (row.astype(np.int32) if not len(row) or row.max() < 2**31 else row)[order]
        liked = frame["label"].to_numpy()[order] != 0
        return cls(Ids(users), items.to_list(), ends - lengths, ends, item[order], time[order], liked, row)

    def only(self, kept: np.ndarray) -> EventColumns | None:
        """The same arrays with each user's judgements cut where `kept` ends; None where it is not a beginning of each user's.

        Args:
            kept: bool [n], in the order of the columns. Every user has a judgement, and they stand one behind the other.
        """
        if not len(kept):
            return self
        begins = np.zeros(len(kept), dtype=bool)
        begins[self.starts] = True
        if (kept[1:] & ~kept[:-1] & ~begins[1:]).any():
            return None
        return self.until(self.starts + np.add.reduceat(kept, self.starts, dtype=np.int64))

    def until(self, ends: np.ndarray) -> EventColumns:
        """The same arrays with each user's judgements cut at a row: int64 [users]."""
        return replace(self, ends=ends)

    def before(self, users: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What users had judged strictly before given seconds: (starts, ends) int64 [n], places in the columns.

        Args:
            users: int [n], numbers; -1 is somebody unknown, who has judged nothing.
            times: int [n], seconds.
        """
        known = users >= 0
        first = np.where(known, self.starts[users], 0) if len(self.starts) else np.zeros(len(users), dtype=np.int64)
        last = np.where(known, self.ends[users], 0) if len(self.starts) else first
        return first, _search(self.time, first, last, times)

    def count_earlier(self, users: np.ndarray, times: np.ndarray, rows: np.ndarray, *, ties: Ties) -> np.ndarray:
        """int64 [n]: how many judgements `UserLog.earlier` gives for events of users, seconds and rows."""
        first, end = self.before(users, times)
        if ties == "file-order":
            _, later = self.before(users, times + 1)
            # An event that stands in no table has no order within its second.
            end = _search(self._rows, end, np.where(rows < 0, end, later), rows)
        return np.asarray(end - first)

    @cached_property
    def _rows(self) -> np.ndarray:
        """`row`, ascending within each second of a user."""
        new = np.ones(len(self.row) + 1, dtype=bool)
        new[1:-1] = np.diff(self.time) != 0
        new[self.starts] = new[self.ends] = True
        if not ((np.diff(self.row) < 0) & ~new[1:-1]).any():
            return self.row
        return self.row[np.lexsort([self.row, np.cumsum(new[:-1])])]


def grouped(user: np.ndarray, users: int) -> np.ndarray:
    """int [n]: the rows by user (or whatever else is numbered), each one's in their order; of many six times as fast as a stable `argsort`.

    >>> grouped(np.array([1, 0, 1, 0]), 2).tolist()
    [1, 3, 0, 2]
    """
    if len(user) < _FEW:
        return np.argsort(user, kind="stable")
    from scipy.sparse import coo_matrix

    rows = np.arange(len(user), dtype=np.int32 if len(user) < 2**31 else np.int64)
    table = coo_matrix((np.ones(len(user), dtype=np.int8), (user, rows)), shape=(users, len(user)))
    order: np.ndarray = table.tocsr().indices
    return order


def _search(values: np.ndarray, first: np.ndarray, last: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """int64 [n]: in each stretch `values[first:last]`, ascending, the place of the first that is at least `wanted`."""
    low, high = first.astype(np.int64), last.astype(np.int64)
    open_ = np.flatnonzero(low < high)
    while len(open_):
        middle = (low[open_] + high[open_]) >> 1
        less = values[middle] < wanted[open_]
        low[open_[less]] = middle[less] + 1
        high[open_[~less]] = middle[~less]
        open_ = open_[low[open_] < high[open_]]
    return low
