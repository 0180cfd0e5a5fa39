"""What `score-rag explain` shows a person: the prompt in colours, its parts, and what must be known of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

    from score_rag.explain.average import AveragePicture
    from score_rag.explain.explanation import Explanation, PromptLook

__all__ = ["coloured", "show"]

_STYLES = {"instructions": "dim", "neighbour": "blue", "history": "green", "evidence": "yellow", "target": "magenta"}
_MOST_LAYERS = 6


def show(found: Explanation | AveragePicture, *, json: bool, pictures: Sequence[Path], html: Path | None) -> None:
    """On the screen or as JSON, and into the files that are asked for."""
    from score_rag.cli.screen import console, print_json
    from score_rag.explain.average import AveragePicture

    written = _write(found, pictures, html)
    if json:
        print_json(found.to_dict())
        return
    if isinstance(found, AveragePicture):
        for table in found.tables():
            console().print(table)
    else:
        _show_one(found)
    for path in written:
        console().print(f"written to {path}", markup=False, soft_wrap=True)


def coloured(look: PromptLook) -> Text:
    """The prompt: a colour a kind of part, tokens that the verdict looks at most underlined."""
    from rich.text import Text

    from score_rag.explain.html import pieces

    out = Text()
    for piece in pieces(look):
        out.append(piece.text, style=_STYLES[piece.kind] + (" bold underline" if piece.hot else ""))
    return out


def _show_one(found: Explanation) -> None:
    from rich import box
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    from score_rag.cli.screen import console
    from score_rag.explain.html import parts_table

    screen, look = console(), found.look
    who = "this user" if found.recommendation.user_id is None else f"user {found.recommendation.user_id}"
    kinds = list(dict.fromkeys(one.kind for one in look.segments))
    legend = Text("  ").join(Text(kind, style=_STYLES[kind]) for kind in kinds)
    if look.tokens:
        legend.append("  underlined: at least twice the attention of an average token", style="dim")
    title = Text(f"{who}, {found.recommendation.item.name}: P(like) {look.answer.probability:.3f}, {found.recommendation.verdict}")
    screen.print(Panel(Text("\n\n").join([coloured(look), legend]), title=title, title_align="left"))
    parts = parts_table(look)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), caption=Text("\n".join(parts.notes)), caption_justify="left")
    for place, column in enumerate(parts.columns):
        table.add_column(column, justify="left" if place < 2 else "right", no_wrap=place != 1)
    for one, row in zip(look.segments, parts.rows, strict=True):
        table.add_row(Text(row[0], style=_STYLES[one.kind]), *map(Text, row[1:]))
    screen.print(table)
    if look.heads is not None:
        _show_layers(look)
    for note in [*found.notes, *found.recommendation.warnings]:
        screen.print(Text(f"note: {note}", style="yellow"))


def _show_layers(look: PromptLook) -> None:
    """Attention by layer; of many layers some, evenly."""
    import numpy as np
    from rich import box
    from rich.table import Table

    from score_rag.cli.screen import console

    assert look.heads is not None
    layers = look.heads.mean(axis=1)
    chosen = np.unique(np.linspace(0, len(layers) - 1, min(_MOST_LAYERS, len(layers))).round().astype(int)).tolist()
    told = "" if len(chosen) == len(layers) else f"; {len(chosen)} of {len(layers)} layers, --json has all"
    table = Table(
        title=f"attention by layer, mean of {look.heads.shape[1]} heads{told}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("part")
    for layer in chosen:
        table.add_column(f"layer {layer + 1}", justify="right")
    for place, name in enumerate([*(one.name for one in look.segments), "none of the text"]):
        table.add_row(name, *(f"{layers[layer, place]:.3f}" for layer in chosen))
    console().print(table)


def _write(found: Explanation | AveragePicture, pictures: Sequence[Path], html: Path | None) -> list[Path]:
    from score_rag.explain.explanation import Explanation

    if pictures:
        from score_rag.explain.plot import PartsChart, draw_parts, height
        from score_rag.pages.chart import new_figure, save_picture

        chart = PartsChart.of(found)
        for path in pictures:
            with new_figure(10, height(chart)) as figure:
                draw_parts(figure, chart)
                save_picture(figure, path)
    if html is not None and isinstance(found, Explanation):
        from score_rag.explain.html import to_html
        from score_rag.files import write_text

        write_text(html, to_html(found))
        return [*pictures, html]
    return list(pictures)
