"""An ablation for the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from score_rag.evaluation.ablate.table import AblationRow, Measured
from score_rag.evaluation.intervals import short, short_p, signed
from score_rag.evaluation.screen_table import screen_table

if TYPE_CHECKING:
    from rich.table import Table

    from score_rag.evaluation.ablate.table import AblationTable

__all__ = ["cost_table", "quality_table"]

_LEVEL = 0.05


def quality_table(table: AblationTable) -> Table:
    """AUC, UAUC and log-loss, with what is lost or won against the full system; bold where that is significant."""
    from rich.markup import escape

    told = [
        f"{table.events:,} events, UAUC over {table.users:,} users; below each: difference to the full system, 95 % interval paired over "
        "users; bold: p < .05 after Holm's correction for the number of variants, each metric by itself",
        *table.notes,
    ]
    # A reason is a sentence: in a column of numbers it would push the others off the screen.
    failed = [f"{row.variant.name}: failed: {row.failed}" for row in table.rows if row.failed]
    columns = ("variant", "predictor", "AUC", "UAUC", "log-loss")
    found = screen_table(table.title, "\n".join([*failed, *told]), columns, words=("variant",), whole=("predictor",))
    group = ""
    for row in table.rows:
        if row.variant.group != group:
            found.add_section()
            found.add_row(f"[bold]{row.variant.group}[/]")
            group = row.variant.group
        name = f"{escape(row.variant.name)}\n[dim]{escape(row.variant.told)}[/]"
        if row.failed:
            found.add_row(name, "[red]failed[/]")
        elif row.same_as:
            found.add_row(name, _how(row), f"as {row.same_as}")
        else:
            found.add_row(name, _how(row), *(_cell(row.metrics[metric]) for metric in ("auc", "uauc", "log_loss")))
    return found


def cost_table(table: AblationTable) -> Table:
    """Seconds, tokens and memory of each variant."""
    from rich.markup import escape

    told = (
        "train: what is the variant's own; find: choosing users and writing; memory: of the whole process at its peak, open parts included"
    )
    columns = ("variant", "train s", "find s", "ask s", "ms a\nquestion", "tokens a\nquestion", "memory\nMB", "GPU\nMB")
    found = screen_table("cost", told, columns, words=("variant",))
    for row in table.rows:
        if row.cost is None or row.same_as:
            continue
        cost = row.cost
        each = 1000 * (cost.find_seconds + cost.ask_seconds) / max(1, table.events)
        seconds = [f"{value:.1f}" for value in (cost.train_seconds, cost.find_seconds, cost.ask_seconds)]
        memory = ["-" if value is None else f"{value / 1e6:,.0f}" for value in (cost.memory, cost.gpu_memory)]
        found.add_row(escape(row.variant.name), *seconds, f"{each:.2f}", f"{cost.tokens:.1f}", *memory)
    return found


def _how(row: AblationRow) -> str:
    return "trained" if row.variant.trained else "as it is"


def _cell(found: Measured) -> str:
    if found.gain is None:
        return f"{short(found.value.value)}\n[dim]{short(found.value.low)}-{short(found.value.high)}[/]"
    gain = found.gain
    told = f"{short(found.value.value)} p {short_p(found.p)}\n{signed(gain.value)}\n({signed(gain.low)} {signed(gain.high)})"
    return f"[bold]{told}[/]" if found.p is not None and found.p < _LEVEL else told
