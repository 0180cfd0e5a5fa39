"""The average picture on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from score_rag.metrics.bootstrap import Interval

if TYPE_CHECKING:
    from rich.table import Table

    from score_rag.explain.average import AveragePicture

__all__ = ["average_table"]


def average_table(picture: AveragePicture) -> Table:
    """One line a part; notes below."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    caption = [f"{picture.events:,} questions of {picture.users:,} users; 95 % intervals by bootstrap over users"]
    caption.append("|change| of P(like) and gain in log-likelihood of the true answer (nats): with the part, against without it")
    if picture.special is not None:
        caption.append(f"tokens that are none of the text (beginning of text, chat form) have {picture.special:.3f} of the attention")
    table = Table(
        title=escape(picture.title),
        caption=escape("\n".join([*caption, *picture.notes])),
        caption_justify="left",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("part of the prompt", no_wrap=True)
    for column in ("prompts", "tokens", "attention", "|change|", "95 %", "gain", "95 %"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in picture.rows:
        table.add_row(
            escape(row.name),
            f"{row.prompts:,}",
            f"{row.tokens:.1f}" if row.tokens else "-",
            "-" if row.attention is None else f"{row.attention.value:.3f}",
            *_cells(row.change, ".3f"),
            *_cells(row.gain, "+.3f"),
        )
    return table


def _cells(found: Interval | None, form: str) -> tuple[str, str]:
    return ("-", "") if found is None else (f"{found.value:{form}}", f"{found.low:{form}} to {found.high:{form}}".replace("0.", "."))
