"""A scorecard on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from score_rag.evaluation.intervals import short, short_p
from score_rag.evaluation.screen_table import screen_table
from score_rag.metrics.bootstrap import Interval

if TYPE_CHECKING:
    from rich.table import Table

    from score_rag.evaluation.scorecard import Scorecard, ScorecardRow

__all__ = ["measures_table", "parts_table", "scorecard_table"]


def scorecard_table(card: Scorecard) -> Table:
    """Scorers with AUC and UAUC, notes below."""
    from rich.markup import escape

    more = [*(["p"] if card.reference is not None else []), *(["NDCG", "Recall"] if card.ranked else [])]
    table = _table(card.title, _caption(card), ("scorer", "AUC", "95 %", "UAUC", "95 %", *more))
    for row in card.rows:
        table.add_row(*map(escape, _cells(card, row)), *([short(row.ndcg), short(row.recall)] if card.ranked else []))
    return table


def measures_table(card: Scorecard) -> Table:
    """Whether probabilities mean what they say, and how each user's own rows are ordered."""
    from rich.markup import escape

    table = _table(
        "probabilities, and the order of each user's scored rows",
        "below each: 95 % CI; -: scores that are not probabilities; ECE: expected calibration error, beside what perfect probabilities "
        "would show on so many rows by chance\n"
        "NDCG and Recall: of each user's scored rows (no full ranking), users without a liked row excluded",
        ("scorer", "log-loss", "Brier", "ECE", "by chance", f"NDCG@{card.k}", f"Recall@{card.k}"),
    )
    for row in card.rows:
        said = ["-", "-", "-", "-"]
        if row.log_loss is not None and row.brier is not None and row.ece is not None:
            said = [_spread(row.log_loss), _spread(row.brier), _spread(row.ece), f"{row.chance_ece:.3f}".removeprefix("0")]
        table.add_row(escape(row.name), *said, *("" if found is None else short(found.value) for found in (row.own_ndcg, row.own_recall)))
    return table


def parts_table(card: Scorecard) -> Table:
    """Parts of the rows: the first scorer, and the best of the others."""
    from rich.markup import escape

    first = card.rows[0].name
    table = _table(
        f"parts of the rows: {first}, and the best of the others",
        "below each: 95 % CI; every scorer's figures are in the JSON",
        ("part", "events", "users", "AUC", "UAUC", "best other by AUC", "AUC", "UAUC"),
    )
    for part in card.parts:
        own, *others = part.rows
        best = max(others, key=lambda row: -1.0 if np.isnan(row.auc.value) else row.auc.value, default=None)
        rest = ["", "", ""] if best is None else [escape(best.name), short(best.auc.value), short(best.uauc.value)]
        table.add_row(escape(part.title), f"{part.events:,}", f"{part.users:,}", _spread(own.auc), _spread(own.uauc), *rest)
    return table


def _table(title: str, caption: str, columns: tuple[str, ...]) -> Table:
    return screen_table(title, caption, columns, words=("scorer", "part", "best other by AUC"))


def _spread(found: Interval) -> str:
    """A value, its interval below.

    >>> _spread(Interval(0.5, 0.25, 0.75)).splitlines()
    ['.500', '.250-.750']
    """
    value, low, high = (short(one) if np.isnan(one) else f"{one:.3f}".removeprefix("0") for one in (found.value, found.low, found.high))
    return f"{value}\n{low}-{high}"


def _cells(card: Scorecard, row: ScorecardRow) -> list[str]:
    cells = [row.name]
    for found in (row.auc, row.uauc):
        cells += [short(found.value), f"{short(found.low)}-{short(found.high)}"]
    if card.reference is not None:
        cells.append("reference" if row.name == card.reference else f"{short_p(row.auc_p)} / {short_p(row.uauc_p)}")
    return cells


def _caption(card: Scorecard) -> str:
    first = (
        f"{card.events:,} events, {card.liked:.1%} liked; UAUC over {card.users:,} users with both classes, {card.left_out:,} excluded "
        f"({card.only_liked:,} like all of their rows, {card.left_out - card.only_liked:,} none); "
        "95 % CI by bootstrap over users"
    )
    if card.reference is not None:
        first += f"; p (AUC / UAUC): paired bootstrap test against {card.reference}"
    return "\n".join([first, *card.notes])
