"""`score-rag recommend`: will this user like this item, and on what evidence?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from score_rag.cli.options import Json, Set
from score_rag.errors import InputError

if TYPE_CHECKING:
    from score_rag.pipeline.config import Pipeline
    from score_rag.recommend.recommendation import Recommendation

__all__ = ["recommend", "recommendations"]


def recommend(
    user: Annotated[str | None, typer.Option(help="A user id.")] = None,
    item: Annotated[str | None, typer.Option(help="An item id or name.")] = None,
    pipeline: Annotated[str, typer.Option(help="A pipeline whose run is finished.")] = "sample",
    history: Annotated[
        str | None, typer.Option(help='History of a cold-start user: "Heat (1995); Ronin (1998); -Grease (1978)"; minus means disliked.')
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            min=1, help="Show the best TOP of 50 candidates of the conventional recommender (or of twice TOP), instead of one item."
        ),
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(help="Time of the question: a date such as 2021-06-30, or Unix seconds. Later events are ignored.")
    ] = None,
    show_prompt: Annotated[bool, typer.Option("--show-prompt", help="Print the exact prompt.")] = False,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Predict whether a user will like an item: P(like), and the similar users behind it."""
    if show_prompt and top is not None:
        raise InputError("--show-prompt shows one question's prompt", expected="--item 17 --show-prompt, without --top")
    found = recommendations(user, item, pipeline, history=history, top=top, as_of=as_of, overrides=set_ or [], quiet=json)
    if json:
        from score_rag.cli.screen import print_json

        print_json([one.to_dict() for one in found] if top else found[0].to_dict())
    elif top:
        show_ranking(found)
    else:
        show(found[0], prompt=show_prompt)


def recommendations(
    user: str | None,
    item: str | None,
    name: str,
    *,
    history: str | None,
    top: int | None,
    as_of: str | None,
    overrides: list[str],
    quiet: bool = False,
) -> list[Recommendation]:
    """One recommendation for an item, or the `top` of many.

    Raises:
        InputError: Neither or both of an item and `top` are given, or something named is unknown.
    """
    from score_rag.arguments import read_time
    from score_rag.pipeline.config import load_pipeline
    from score_rag.recommend.recommender import open_recommender

    if (item is None) == (top is None):
        raise InputError("say either which item, or how many to rank", expected="--item 17, or --top 10")
    if user is not None and history is not None:
        raise InputError("a user of the data brings a history; another one cannot be added", expected="--user or --history")
    when = read_time(as_of, where="--as-of")
    pipeline = load_pipeline(name, overrides=overrides)
    recommender = open_recommender(pipeline)
    if not quiet:
        warn_if_stale(pipeline)
    if top is not None:
        return recommender.top(user, top, history=history, as_of=when)
    return [recommender.recommend(user, str(item), history=history, as_of=when)]


def warn_if_stale(pipeline: Pipeline) -> None:
    """Say so where the run was made from other data, settings or prompts than it would be made from now, in the words of `status`."""
    from score_rag.cli.screen import console
    from score_rag.pipeline.stages import stages
    from score_rag.pipeline.state import status

    late = [known for known in status(pipeline, stages(pipeline)) if known.state != "finished"]
    if late:
        text = f"note: {late[0].name} is {late[0].state} ({late[0].reason}); this is answered from what was trained before"
        console(error=True).print(
            f"{text}; to bring it up to date: score-rag run {pipeline.words}", style="yellow", soft_wrap=True, markup=False
        )


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
        Panel(f"[bold]{escape(found.item.name)}[/]  [dim]{escape(facts)}[/]\n{answer}", title=f"will {who} like it?", title_align="left")
    )
    show_evidence(found)
    for stage, told in found.parts.items():
        screen.print(f"[dim]{stage:<10} {escape(told)}[/]")
    for warning in found.warnings:
        screen.print(f"[yellow]note: {escape(warning)}[/]")
    if prompt:
        screen.rule("what the model read")
        screen.print(found.prompt, markup=False, soft_wrap=True)
        screen.rule()


def show_evidence(found: Recommendation) -> None:
    """All that the model read of other users and of the answer."""
    from rich.markup import escape
    from rich.table import Table

    from score_rag.cli.screen import console

    screen = console()
    if found.evidence:
        table = Table(title="evidence in the prompt", title_justify="left")
        for column, justify in (("", "left"), ("level of 99", "right"), ("word", "left"), ("number", "right")):
            table.add_column(column, justify=justify)  # type: ignore[arg-type]  # the words are rich's own
        for name, fact in found.evidence.items():
            table.add_row(
                escape(_NAMES.get(name, name.replace("expectation.", "expected by "))), fact.level, fact.word, _number(fact.value)
            )
        screen.print(table)
    if not found.neighbours:
        screen.print("[dim]no other users are in the prompt[/]")
        return
    table = Table(title="other users in the prompt", title_justify="left", show_lines=True)
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
            "-" if other.reranker_score is None else f"{other.reranker_score:+.2f}",
            f"{other.verdict} it" if other.verdict else escape("never judged it" + (f"; {', '.join(near)}" if near else "")),
            escape("; ".join(other.in_common)) or "-",
        )
    screen.print(table)


_NAMES = {
    "everyone": "the item's like-rate",
    "mood": "the user's like-rate so far",
    "alike": "the user on items most like it",
    "crowd": "the item's judges, by likeness",
    "expectation.together": "expected by all of them",
}


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def show_ranking(found: list[Recommendation]) -> None:
    """One line an item."""
    from rich.markup import escape
    from rich.table import Table

    from score_rag.cli.screen import console

    table = Table()
    for column, justify in (("", "right"), ("P(like)", "right"), ("item", "left"), ("id", "right"), ("neighbours", "left")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]  # the words are rich's own
    for rank, one in enumerate(found, start=1):
        told = ", ".join(f"{other.user_id} ({other.verdict or 'not judged'})" for other in one.neighbours)
        table.add_row(str(rank), f"{one.probability:.3f}", escape(one.item.name), escape(one.item.item_id), escape(told))
    screen = console()
    screen.print(table if found else "[dim]no item is left to rank: this history has judged all of the catalogue[/]")
    for stage, told in found[0].parts.items() if found else ():
        screen.print(f"[dim]{stage:<10} {escape(told)}[/]")
    if found and found[0].route == "recommender":
        screen.print("[yellow]note: on validation events the recommender orders better than the predictor: this is its order[/]")
    for warning in dict.fromkeys(warning for one in found for warning in one.warnings):
        screen.print(f"[yellow]note: {escape(warning)}[/]")
