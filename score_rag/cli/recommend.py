"""`score-rag recommend`: will this user like this item, and on what evidence?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from score_rag.cli.options import Json, Set
from score_rag.errors import InputError

if TYPE_CHECKING:
    from score_rag.pipeline.config import Pipeline
    from score_rag.recommend.recommendation import Recommendation

__all__ = ["recommend", "recommendations", "rest", "staleness"]


def recommend(
    user: Annotated[str | None, typer.Option(help="A user id.")] = None,
    item: Annotated[str | None, typer.Option(help="An item id or name; in double quotes of its own, a name alone.")] = None,
    pipeline: Annotated[str, typer.Option(help="A pipeline whose run is finished.")] = "sample",
    history: Annotated[
        str | None,
        typer.Option(
            help='History of a cold-start user, names or ids: "Heat (1995); Ronin (1998); -Grease (1978)"; minus means disliked. '
            "A name in double quotes may hold semicolons, and is never an id."
        ),
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
    """Predict whether a user will like an item: P(like), and the similar users behind it.

    While later stages have not run, the conventional recommender alone answers, and says so.
    """
    if show_prompt and top is not None:
        raise InputError("--show-prompt shows one question's prompt", expected="--item 17 --show-prompt, without --top")
    found = recommendations(user, item, pipeline, history=history, top=top, as_of=as_of, overrides=set_ or [], quiet=json)
    from score_rag.cli.recommend_screen import show, show_ranking
    from score_rag.cli.screen import print_json

    if json:
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
    from dataclasses import replace

    from score_rag.arguments import read_time
    from score_rag.cli.screen import console
    from score_rag.pipeline.config import load_pipeline
    from score_rag.recommend.conventional import open_as_far_as_run

    if (item is None) == (top is None):
        raise InputError("say either which item, or how many to rank", expected="--item 17, or --top 10")
    if user is not None and history is not None:
        raise InputError("a user of the data brings a history; another one cannot be added", expected="--user or --history")
    when = read_time(as_of, where="--as-of")
    pipeline = load_pipeline(name, overrides=overrides)
    recommender = open_as_far_as_run(pipeline)
    if top is not None:
        found = recommender.top(user, top, history=history, as_of=when)
    else:
        found = [recommender.recommend(user, str(item), history=history, as_of=when)]
    stale = rest(pipeline) if any(one.route == "recommender-alone" for one in found) else staleness(pipeline)
    if stale and not quiet:
        console(error=True).print(f"note: {stale}", style="yellow", soft_wrap=True, markup=False)
    # What the screen says beside the answers, JSON says in them.
    return [replace(one, warnings=[stale, *one.warnings]) for one in found] if stale and quiet else found


def rest(pipeline: Pipeline) -> str:
    """What to say where the conventional recommender alone answered: which stages are to come, and the command."""
    from score_rag.cli.remedies import program
    from score_rag.pipeline.stages import stages
    from score_rag.pipeline.state import status

    late = [known.name for known in status(pipeline, stages(pipeline)) if known.state != "finished"]
    return f"a first answer; for the language model's, with its evidence ({', '.join(late)} to come): {program()} run {pipeline.words}"


def staleness(pipeline: Pipeline) -> str:
    """What to say where the run was made from other data, settings or prompts than it would be made from now, in the words of `status`;
    empty where it was not."""
    from score_rag.cli.remedies import program
    from score_rag.pipeline.serving_index import follows_source, index_folder
    from score_rag.pipeline.stages import stages
    from score_rag.pipeline.state import status

    late = [known for known in status(pipeline, stages(pipeline)) if known.state != "finished"]
    changed = bool(late) and late[0].name == "data" and all(part.startswith("input file") for part in late[0].reason.split("; "))
    if changed and follows_source(pipeline):
        # Answers know the new events by the serving index; only what stands otherwise is worth a word.
        late = [known for known in late[1:] if not known.reason.endswith("is not up to date")]
    if not late:
        return ""
    if changed and late[0].name == "data":
        newer = f"the data has changed since ({late[0].reason}); to answer from it: {program()} index "
        newer += f"{'update' if (index_folder(pipeline) / 'index.json').is_file() else 'build'} {pipeline.words}"
        return f"{newer}; to train on it: {program()} run {pipeline.words}"
    text = f"{late[0].name} is {late[0].state} ({late[0].reason}); this is answered from what was trained before"
    return f"{text}; to bring it up to date: {program()} run {pipeline.words}"
