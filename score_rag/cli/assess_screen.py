"""What `score-rag assess` shows: how far asking has come, and the report's table."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from score_rag.pipeline.assessing import Estimate, Progress
    from score_rag.reranker.assess_report import ReportRow

__all__ = ["report_table", "show_progress"]


def show_progress(found: Estimate | Progress, *, json: bool) -> None:
    """How far asking has come, or what it would take."""
    from score_rag.cli.screen import print_json
    from score_rag.pipeline.assessing import Estimate

    if json:
        print_json(asdict(found) if isinstance(found, Estimate) else found.to_dict())
    elif isinstance(found, Estimate):
        price = "no price is known" if found.cost is None else f"${found.cost:,.4f} at most"
        typer.echo(
            f"{found.calls:,} calls to {found.assessor}, {found.kept:,} answers are kept from before\n"
            f"{found.prompt_tokens:,} prompt tokens, at most {found.completion_tokens:,} of answers; {price}; retries not counted"
        )
    else:
        failed = "".join(f", {count:,} {outcome}" for outcome, count in found.failed.items())
        failed += f", {found.in_batch:,} in a batch under way" if found.in_batch else ""
        spend = found.spend
        typer.echo(f"{found.answered:,} of {found.questions:,} questions answered by {found.assessor}{failed}")
        unknown = f", {spend.unpriced:,} calls of unknown price" if spend.unpriced else ""
        lost = f", {spend.unsettled:,} calls without an answer counted in full" if spend.unsettled else ""
        tokens = f"{spend.prompt_tokens:,} + {spend.completion_tokens:,} tokens"
        typer.echo(f"{spend.requests:,} calls, {tokens}, ${spend.cost:,.4f}{unknown}{lost}\n{found.file}")


def report_table(rows: list[ReportRow]) -> Any:
    """A report, a row a group."""
    from rich.table import Table

    def told(value: float | None, digits: int = 1) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("by")
    table.add_column("group")
    measured = any(row.agreement is not None for row in rows)
    foresees = ["foresees"] if measured else []
    for name in ("questions", "answered", "failed", "named", "words", "same item", "other items", *foresees):
        table.add_column(name, justify="right", min_width=max(map(len, name.split())))
    for row in rows:
        failed = ", ".join(f"{count} {outcome}" for outcome, count in row.failed.items()) or "0"
        counts = (f"{row.questions:,}", f"{row.answered:,}", failed)
        likes = told(row.characteristics), told(row.words), told(row.same_item, 2), told(row.other_items, 2)
        found = row.agreement
        last = [] if not measured else ["-" if found is None else f"{found.value:+.2f} ({found.low:+.2f} to {found.high:+.2f})"]
        table.add_row({"activity": "judged before"}.get(row.by, row.by), row.group, *counts, *likes, *last)
    return table
