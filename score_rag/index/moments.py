"""Which documents are visible at a moment, as bits, without a look at each of them.

Documents lie in the order in which they became known, so time is cut into segments of equally many. At the beginning of a segment the
bits are kept; between two beginnings only the documents that came or were superseded there are looked at.
"""

from __future__ import annotations

from threading import Lock

import numpy as np

__all__ = ["Moments"]

_SEGMENTS = 64
"""Bits of so many moments are kept at most: together they are as large as one column of times."""
_LEAST = 16_384
"""Documents a segment: fewer are looked at in less time than their bits take to be copied."""


class Moments:
    """Bits of what is visible.

    Args:
        until: int64 [documents], ascending.
        superseded: int64 [documents]. A document is visible iff `until < time <= superseded`.
        segment: Documents a segment; by default as many as make at most 64 segments.

    >>> moments = Moments(np.array([1, 2, 3]), np.array([3, 9, 9]))
    >>> np.unpackbits(moments.visible(4), bitorder="little")[:3].tolist()
    [0, 1, 1]
    """

    def __init__(self, until: np.ndarray, superseded: np.ndarray, *, segment: int | None = None) -> None:
        self._until, self._superseded = until, superseded
        self._segment = segment or max(_LEAST, -(-len(until) // _SEGMENTS))
        order = np.argsort(superseded, kind="stable")
        self._ended = order.astype(np.int32 if len(order) < 2**31 else np.int64)
        self._ends = superseded[order]
        self._begins = until[:: self._segment]
        self._kept: dict[int, np.ndarray] = {}
        self._last: tuple[int, np.ndarray] | None = None
        self._lock = Lock()

    def visible(self, time: int) -> np.ndarray:
        """uint8 [documents / 8, rounded up]: a bit a document, the lowest first. Not to be written to.

        Args:
            time: A second.
        """
        last = self._last
        if last is not None and last[0] == time:
            return last[1]
        born, ended = self._counts(time)
        # The last segment that begins before: what it knows at its beginning is at most one segment from the truth.
        number = int(np.searchsorted(self._begins, time, side="right")) - 1
        if number < 0:
            return np.zeros(-(-len(self._until) // 8), dtype=np.uint8)
        bits = self._beginning(number).copy()
        before, gone = self._counts(int(self._begins[number]))
        _set(bits, before, born)
        _clear(bits, self._ended[gone:ended])
        self._last = time, bits
        return bits

    def count(self, time: int) -> int:
        """How many documents are visible."""
        born, ended = self._counts(time)
        return max(born - ended, 0)

    def _counts(self, time: int) -> tuple[int, int]:
        return int(np.searchsorted(self._until, time, side="left")), int(np.searchsorted(self._ends, time, side="left"))

    def _beginning(self, number: int) -> np.ndarray:
        with self._lock:
            if number not in self._kept:
                time = self._begins[number]
                self._kept[number] = np.packbits((self._until < time) & (time <= self._superseded), bitorder="little")
            return self._kept[number]


def _set(bits: np.ndarray, first: int, last: int) -> None:
    """Set the bits from `first` to before `last`."""
    inner, outer = -(-first // 8), last // 8
    if inner <= outer:
        bits[inner:outer] = 255
        edges = np.r_[first : min(8 * inner, last), max(8 * outer, first) : last]
    else:
        edges = np.arange(first, last)
    np.bitwise_or.at(bits, edges >> 3, (1 << (edges & 7)).astype(np.uint8))


def _clear(bits: np.ndarray, places: np.ndarray) -> None:
    np.bitwise_and.at(bits, places >> 3, (~(1 << (places & 7))).astype(np.uint8))
