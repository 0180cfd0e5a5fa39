"""Which rows of tokens to score together, so that a beginning that many share is computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

__all__ = ["PrefixGroup", "plan_prefixes", "shared_beginning"]


@dataclass(frozen=True)
class PrefixGroup:
    """Rows that are scored together.

    Attributes:
        rows: Row numbers.
        shared: Tokens of their common beginning that are computed once; 0 for rows that stand alone.
    """

    rows: list[int]
    shared: int


@dataclass
class _Interval:
    """Neighbours in the sorted order, from `first` on, that share `shared` tokens, with the best that was found inside of it."""

    shared: int
    first: int
    saved: int = 0
    groups: list[tuple[int, int, int]] = field(default_factory=list)

    def close(self, last: int, overhead: int) -> tuple[int, list[tuple[int, int, int]]]:
        """(tokens saved, groups as (first, last, shared)): this interval as one group, or the groups inside of it."""
        here = (last - self.first) * self.shared - overhead
        if here > self.saved:
            return here, [(self.first, last, self.shared)]
        return self.saved, self.groups


def plan_prefixes(rows: Sequence[tuple[int, ...]] | Sequence[list[int]], *, overhead: int = 128) -> list[PrefixGroup]:
    """Partition rows into groups with a common beginning so that the fewest tokens are computed.

    Sorted rows with the lengths of their neighbours' common beginnings form a tree of intervals (Abouelhoda et al. 2004, the lcp-interval
    tree); each interval is one group or is left to its children, whichever saves more. Groups come in sorted order, so that
    the beginning of the next often extends that of the last; rows that stand alone come first, as one group with `shared=0`.

    Args:
        rows: Token ids; none is empty. At least one token of each row stays outside the shared beginning.
        overhead: What a group costs besides its tokens, in tokens.

    >>> plan_prefixes([[1, 2, 3, 4], [9, 9], [1, 2, 3, 5], [1, 2, 3, 6]], overhead=1)
    [PrefixGroup(rows=[1], shared=0), PrefixGroup(rows=[0, 2, 3], shared=3)]
    """
    order = sorted(range(len(rows)), key=lambda row: tuple(rows[row]))
    arrays = [np.asarray(rows[row], dtype=np.int64) for row in order]
    shared = [min(_common(one, other), len(one) - 1, len(other) - 1) for one, other in pairwise(arrays)]

    open_: list[_Interval] = [_Interval(0, 0)]
    for place in range(1, len(rows) + 1):
        length = shared[place - 1] if place < len(rows) else 0
        first, closed = place - 1, None
        while open_[-1].shared > length:
            interval = open_.pop()
            first, closed = interval.first, interval.close(place - 1, overhead)
            if open_[-1].shared >= length:
                _take(open_[-1], closed)
                closed = None
        if open_[-1].shared < length:
            open_.append(_Interval(length, first))
            if closed is not None:
                _take(open_[-1], closed)
    groups = [PrefixGroup(order[first : last + 1], size) for first, last, size in open_[0].groups]
    grouped = {row for group in groups for row in group.rows}
    alone = [row for row in range(len(rows)) if row not in grouped]
    return [*([PrefixGroup(alone, 0)] if alone else []), *groups]


def _take(interval: _Interval, closed: tuple[int, list[tuple[int, int, int]]]) -> None:
    interval.saved += closed[0]
    interval.groups += closed[1]


def _common(one: np.ndarray, other: np.ndarray) -> int:
    """Length of the common beginning of two arrays."""
    size = min(len(one), len(other))
    different = np.flatnonzero(one[:size] != other[:size])
    return int(different[0]) if len(different) else size


def shared_beginning(rows: Sequence[Sequence[int]]) -> int:
    """How many first tokens all rows have in common, leaving at least one token to each.

    >>> shared_beginning([[1, 2, 3, 4], [1, 2, 9]])
    2
    """
    first, last = min(map(list, rows)), max(map(list, rows))
    return min(_common(np.asarray(first), np.asarray(last)), min(map(len, rows)) - 1)
