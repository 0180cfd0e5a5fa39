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
    from rich.markup import escape

    from score_rag.evaluation.screen_table import screen_table

    caption = [f"{picture.events:,} questions of {picture.users:,} users; below each: 95 % interval by bootstrap over users"]
    caption.append("|change| of P(like) and gain in log-likelihood of the true answer (nats): with the part, against without it")
    if picture.special is not None:
        caption.append(f"tokens that are none of the text (beginning of text, chat form) have {picture.special:.3f} of the attention")
    columns = ("part of the prompt", "prompts", "tokens", "attention", "|change|", "gain")
    table = screen_table(picture.title, "\n".join([*caption, *picture.notes]), columns, words=columns[:1])
    for row in picture.rows:
        table.add_row(
            escape(row.name),
            f"{row.prompts:,}",
            f"{row.tokens:.1f}" if row.tokens else "-",
            "-" if row.attention is None else f"{row.attention.value:.3f}",
            _cell(row.change, ".3f"),
            _cell(row.gain, "+.3f"),
        )
    return table


def _cell(found: Interval | None, form: str) -> str:
    return "-" if found is None else f"{found.value:{form}}\n{found.low:{form}} to {found.high:{form}}"
