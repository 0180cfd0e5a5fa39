"""An explanation as a page of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from score_rag.explain.explanation import Explanation, PromptLook
from score_rag.pages.page import render
from score_rag.pages.table import PageTable

__all__ = ["Piece", "parts_table", "pieces", "to_html"]

HOT = 2.0
"""Times the attention of an average token from which on a token is marked."""


class Piece(NamedTuple):
    """A stretch of the prompt that is shown alike."""

    text: str
    name: str
    kind: str
    hot: bool


def pieces(look: PromptLook) -> Iterator[Piece]:
    """The prompt, cut where its parts or the marked tokens begin and end."""
    hot = [False] * len(look.text)
    least = HOT / len(look.tokens) if look.tokens else 0.0
    for token in look.tokens:
        if token.attention >= least:
            hot[token.start : token.end] = [True] * (token.end - token.start)
    for span in look.spans:
        start = span.start
        for place in range(span.start + 1, span.end + 1):
            if place == span.end or hot[place] != hot[start]:
                yield Piece(look.text[start:place], span.name, span.kind, hot[start])
                start = place


def parts_table(look: PromptLook) -> PageTable:
    """A line a part of the prompt."""
    looked = look.heads is not None
    rows = []
    for one in look.segments:
        row = [one.name, one.label]
        if looked:
            row += [f"{one.tokens:.4g}", "-" if one.attention is None else f"{one.attention:.3f}"]
        row += ["-" if one.without is None else f"{one.without:.3f}", "-" if one.effect is None else f"{one.effect:+.3f}"]
        rows.append(row)
    notes = ["change: P(like) less P(like) without the part; above zero it speaks for Yes. -: cannot be left out."]
    if look.special is not None:
        notes.append(f"tokens that are none of the text (beginning of text, chat form) have {look.special:.3f} of the attention.")
    columns = ["part", "what it says", *(["tokens", "attention"] if looked else []), "P without it", "change"]
    return PageTable("Parts of the prompt", columns, rows, [place > 1 for place in range(len(columns))], notes)


def to_html(found: Explanation) -> str:
    """One file; the chart is left out where matplotlib is not installed."""
    look = found.look
    chart, heads = _chart(found), None
    if look.heads is not None:
        names = [*(one.name for one in look.segments), "none of the text"]
        rows = [
            [f"layer {layer + 1}, head {head + 1}", *(f"{share:.3f}" for share in shares)]
            for layer, own in enumerate(look.heads.tolist())
            for head, shares in enumerate(own)
        ]
        heads = PageTable("Share of the verdict's attention", ["", *names], rows)
    recommendation = found.recommendation
    return render(
        "explanation.html",
        who="this user" if recommendation.user_id is None else f"user {recommendation.user_id}",
        item=recommendation.item.name,
        verdict=recommendation.verdict,
        probability=f"{look.answer.probability:.3f}",
        notes=[*found.notes, *recommendation.warnings],
        kinds=list(dict.fromkeys(one.kind for one in look.segments)),
        looked=bool(look.tokens),
        pieces=list(pieces(look)),
        parts=parts_table(look),
        heads=heads,
        chart=chart,
        chart_caption="Attention and what each part changes; the numbers stand in the table above.",
    )


def _chart(found: Explanation) -> object:
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        return None
    from markupsafe import Markup

    from score_rag.explain.plot import PartsChart, draw_parts, height
    from score_rag.pages.chart import new_figure, to_svg

    chart = PartsChart.of(found)
    with new_figure(10, height(chart)) as figure:
        draw_parts(figure, chart)
        return Markup(to_svg(figure, label="attention by part of the prompt, and what each part changes"))
