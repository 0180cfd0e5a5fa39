"""A scorecard on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from score_rag.evaluation.intervals import short, short_p

if TYPE_CHECKING:
    from rich.table import Table

    from score_rag.evaluation.scorecard import Scorecard, ScorecardRow

__all__ = ["scorecard_table"]


def scorecard_table(card: Scorecard) -> Table:
    """Scorers with their intervals; parts below the whole, notes below all."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        title=escape(card.title),
        caption=escape(_caption(card)),
        caption_justify="left",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for column, justify in (("scorer", "left"), ("AUC", "right"), ("95 %", "right"), ("UAUC", "right"), ("95 %", "right")):
        table.add_column(column, justify=justify, no_wrap=column != "scorer")  # type: ignore[arg-type]  # the words are rich's own
    if card.reference is not None:
        table.add_column("p", justify="right", no_wrap=True)
    if card.ranked:
        table.add_column("NDCG", justify="right")
        table.add_column("Recall", justify="right")
    for part in (card, *card.parts):
        if part is not card:
            table.add_section()
            table.add_row(f"[bold]{escape(part.title)}: {part.events:,} events[/]")
        for row in part.rows:
            table.add_row(*map(escape, _cells(part, row)), *([short(row.ndcg), short(row.recall)] if part.ranked else []))
    return table


def _cells(card: Scorecard, row: ScorecardRow) -> list[str]:
    cells = [row.name]
    for found in (row.auc, row.uauc):
        cells += [short(found.value), f"{short(found.low)}-{short(found.high)}"]
    if card.reference is not None:
        cells.append("reference" if row.name == card.reference else f"{short_p(row.auc_p)} / {short_p(row.uauc_p)}")
    return cells


def _caption(card: Scorecard) -> str:
    first = (
        f"{card.events:,} events, {card.liked:.1%} liked; UAUC over {card.users:,} users, {card.left_out:,} with one class excluded; "
        "95 % CI by bootstrap over users"
    )
    if card.reference is not None:
        first += f"; p (AUC / UAUC): paired bootstrap test against {card.reference}"
    return "\n".join([first, *card.notes])
