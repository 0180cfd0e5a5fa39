"""Ranking by SCORE beside the recommender's own order: NDCG@10 and Recall@10 on the same users, with the paired difference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from score_rag.evaluation.intervals import rounded, unrounded
from score_rag.metrics.bootstrap import Interval
from score_rag.metrics.neighbours import mean
from score_rag.pipeline.ranking import Orders

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["OrderRow", "OrderTable"]


@dataclass(frozen=True)
class OrderRow:
    """One order."""

    name: str
    ndcg: Interval
    recall: Interval


@dataclass(frozen=True)
class OrderTable:
    """Two orders of the recommender's candidates.

    Attributes:
        users: How many were asked about, all of whom went on to like something new.
        rows: SCORE's order, then the recommender's.
        gain: What SCORE gains in NDCG@k over the recommender, paired over users.
    """

    users: int
    rows: tuple[OrderRow, ...]
    gain: Interval
    k: int = 10

    @classmethod
    def of(cls, orders: Orders, recommender: str, *, resamples: int = 1000, seed: int = 0) -> Self:
        """From values of each user.

        Args:
            recommender: What the recommender's row is called.
        """
        named = ((f"SCORE (top {orders.candidates} of the recommender)", orders.predictor), (recommender, orders.recommender))
        rows = tuple(
            OrderRow(name, mean(found.ndcg, resamples=resamples, seed=seed), mean(found.recall, resamples=resamples, seed=seed))
            for name, found in named
        )
        gain = mean(orders.predictor.ndcg - orders.recommender.ndcg, resamples=resamples, seed=seed)
        return cls(len(orders.predictor.ndcg), rows, gain, orders.k)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        rows = [{"name": row.name, f"ndcg@{self.k}": rounded(row.ndcg), f"recall@{self.k}": rounded(row.recall)} for row in self.rows]
        return {"users": self.users, "k": self.k, "rows": rows, "ndcg_gain": rounded(self.gain)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """What `to_dict` gave."""
        k = value["k"]
        rows = (OrderRow(row["name"], unrounded(row[f"ndcg@{k}"]), unrounded(row[f"recall@{k}"])) for row in value["rows"])
        return cls(value["users"], tuple(rows), unrounded(value["ndcg_gain"]), k)

    def to_table(self) -> Table:
        """For the screen."""
        from rich.markup import escape

        from score_rag.evaluation.screen_table import screen_table

        found = "no difference beyond chance" if self.gain.low <= 0 <= self.gain.high else "better" if self.gain.low > 0 else "worse"
        table = screen_table(
            f"ranking for {self.users:,} users with a newly liked item",
            f"SCORE gains {self.gain.value:+.4f} NDCG (95 % {self.gain.low:+.4f} to {self.gain.high:+.4f}): {found}",
            ("order", f"NDCG@{self.k}", "95 %", f"Recall@{self.k}", "95 %"),
            words=("order",),
        )
        for row in self.rows:
            cells = [cell for one in (row.ndcg, row.recall) for cell in (f"{one.value:.4f}", f"{one.low:.4f}-{one.high:.4f}")]
            table.add_row(escape(row.name), *cells)
        return table
