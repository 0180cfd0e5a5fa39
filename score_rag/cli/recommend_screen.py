"""What `score-rag recommend` shows a person: the answer, the evidence, the other users, and what ran."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from score_rag.recommend.recommendation import Recommendation

__all__ = ["show", "show_evidence", "show_ranking"]


def show(found: Recommendation, *, prompt: bool) -> None:
    """The answer, then the evidence, then what ran."""
    from rich.markup import escape
    from rich.panel import Panel

    from score_rag.cli.screen import console

    screen = console()
    who = f"user {found.user_id}" if found.user_id is not None else "this user"
    colour = "green" if found.verdict == "Yes" else "red"
    filled = round(found.probability * 30)
    bar = f"[{colour}]{'█' * filled}[/][dim]{'░' * (30 - filled)}[/]"
    answer = f"P(like) [bold {colour}]{found.probability:.3f}[/]  {bar}  [bold {colour}]{found.verdict}[/]"
    facts = ", ".join([*found.item.genres, *found.item.creators])
    screen.print(
        Panel(
            f"[bold]{escape(found.item.name)}[/]  [dim]{escape(facts)}[/]\n{answer}",
            title=f"will {escape(who)} like it?",
            title_align="left",
        )
    )
    if found.route != "recommender-alone":
        show_evidence(found)
    _show_parts(found)
    for warning in found.warnings:
        screen.print(f"[yellow]note: {escape(warning)}[/]")
    if prompt and found.route == "recommender-alone":
        screen.print("[yellow]note: there is no prompt to show[/]")
    elif prompt:
        screen.rule("what the model read")
        screen.print(found.prompt, markup=False, soft_wrap=True)
        screen.rule()


def show_evidence(found: Recommendation) -> None:
    """All that the model read of other users and of the answer."""
    from rich.markup import escape
    from rich.table import Table

    from score_rag.cli.screen import console
    from score_rag.recommend.labels import TOGETHER_NAME, evidence_label

    screen = console()
    if found.evidence:
        table = Table(title="evidence in the prompt", title_justify="left")
        for column, justify in (("", "left"), ("level of 99", "right"), ("word", "left"), ("number", "right")):
            table.add_column(column, justify=justify)  # type: ignore[arg-type]  # the words are rich's own
        for name, fact in found.evidence.items():
            # What all of one recommender expect is what it expects.
            if name == TOGETHER_NAME and sum(other.startswith("expectation.") for other in found.evidence) == 2:
                continue
            table.add_row(escape(evidence_label(name)), fact.level, fact.word, _number(fact.value))
        screen.print(table)
    if not found.neighbours:
        screen.print("[dim]no other users are in the prompt[/]")
        return
    caption = escape(found.parts.get("data", ""))
    table = Table(title="other users in the prompt", title_justify="left", show_lines=True, caption=caption or None, caption_justify="left")
    table.add_column("user")
    table.add_column("CAR\n(cosine)", justify="right")
    table.add_column("SARE\n(logit)", justify="right")
    table.add_column("of this item")
    table.add_column("in common")
    for other in found.neighbours:
        near = [f"liked {item.name}" for item in other.similar_liked] + [f"disliked {item.name}" for item in other.similar_disliked]
        table.add_row(
            escape(other.user_id),
            f"{other.similarity:.3f}",
            "-" if other.reranker_score is None else f"{other.reranker_score:+.3f}",
            f"{other.verdict} it" if other.verdict else escape("never judged it" + (f"; {', '.join(near)}" if near else "")),
            escape("; ".join(other.in_common)) or "-",
        )
    screen.print(table)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _show_parts(found: Recommendation) -> None:
    """Who answered, and what ran; what the data calls liked stands below the table of those who liked."""
    from rich.markup import escape

    from score_rag.cli.screen import console
    from score_rag.pipeline.routes import ROUTES

    console().print(f"[dim]{'route':<10}[/] {ROUTES[found.route]}")
    for stage, told in found.parts.items():
        if stage != "data" or not found.neighbours:
            console().print(f"[dim]{stage:<10} {escape(told)}[/]")


def show_ranking(found: list[Recommendation]) -> None:
    """One line an item."""
    from rich.markup import escape
    from rich.table import Table

    from score_rag.cli.screen import console

    users = {tuple(other.user_id for other in one.neighbours) for one in found}
    # The most alike users are often the same for every item: then their names stand once.
    alike = next(iter(users)) if len(found) > 1 and len(users) == 1 else ()
    told_by = f"said by {', '.join(alike)}" if alike else "neighbours"
    table = Table()
    alone = bool(found) and found[0].route == "recommender-alone"
    columns = [("", "right"), ("P(like)", "right"), ("item", "left"), ("id", "right"), *([] if alone else [(escape(told_by), "left")])]
    for column, justify in columns:
        table.add_column(column, justify=justify)  # type: ignore[arg-type]  # the words are rich's own
    for rank, one in enumerate(found, start=1):
        if alike:
            told = ", ".join(other.verdict or "-" for other in one.neighbours)
        else:
            told = ", ".join(f"{other.user_id} ({other.verdict or 'not judged'})" for other in one.neighbours)
        row = [str(rank), f"{one.probability:.3f}", escape(one.item.name), escape(one.item.item_id), escape(told)]
        table.add_row(*row[: len(columns)])
    screen = console()
    screen.print(table if found else "[dim]no item is left to rank: this history has judged all of the catalogue[/]")
    if alike:
        screen.print(f"[dim]every prompt tells of the same users, the most alike: {escape(', '.join(alike))}; - is not judged[/]")
    if found:
        _show_parts(found[0])
    if found and found[0].route == "recommender":
        screen.print("[yellow]note: on validation events the recommender orders better than the predictor: this is its order[/]")
    for warning in dict.fromkeys(warning for one in found for warning in one.warnings):
        screen.print(f"[yellow]note: {escape(warning)}[/]")
