"""`score-rag explain`: what an answer rests on, or many of them on average."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from score_rag.cli.options import Json, PipelineName, Set
from score_rag.errors import InputError

if TYPE_CHECKING:
    from score_rag.explain.average import AveragePicture
    from score_rag.explain.explanation import Explanation

__all__ = ["average", "explain", "one"]


def explain(
    pipeline: PipelineName,
    user: Annotated[str | None, typer.Option(help="A user id.")] = None,
    item: Annotated[str | None, typer.Option(help="An item id or name.")] = None,
    history: Annotated[str | None, typer.Option(help="History of a cold-start user, as in recommend.")] = None,
    as_of: Annotated[str | None, typer.Option(help="Time of the question, as in recommend.")] = None,
    rows: Annotated[
        int | None, typer.Option(min=1, help="Average over at most this many held-out questions (whole users) instead.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="With --rows: train, valid or test. Default: the pipeline's setting.")] = None,
    png: Annotated[Path | None, typer.Option(help="Also draw it into this PNG file.")] = None,
    svg: Annotated[Path | None, typer.Option(help="Also draw it into this SVG file.")] = None,
    html: Annotated[Path | None, typer.Option(help="Also write it as one HTML page that opens from disk. Of one question.")] = None,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Show what an answer rests on: attention to each part of the prompt, and how P(like) changes without it."""
    found: Explanation | AveragePicture
    _check(user, item, history, as_of, rows, split, html)
    pictures = _pictures(png, svg)
    if rows is not None:
        found = average(pipeline, rows, split=split, overrides=set_ or [], quiet=json)
    else:
        found = one(pipeline, user, str(item), history=history, as_of=as_of, overrides=set_ or [])
    from score_rag.cli.explain_screen import show

    show(found, json=json, pictures=pictures, html=html)


def one(name: str, user: str | None, item: str, *, history: str | None, as_of: str | None, overrides: list[str]) -> Explanation:
    """What one answer rests on; that its run is stale is one of its warnings."""
    from dataclasses import replace

    from score_rag.arguments import read_time
    from score_rag.cli.recommend import staleness
    from score_rag.cli.screen import bars
    from score_rag.explain.explainer import explain_question
    from score_rag.pipeline.config import load_pipeline
    from score_rag.recommend.recommender import open_recommender

    when = read_time(as_of, where="--as-of")
    pipeline = load_pipeline(name, overrides=overrides)
    with bars(quiet=True):
        # The run that `recommend` asks: feedback and the serving index count.
        found = explain_question(open_recommender(pipeline).run, user, item, history=history, as_of=when)
    stale = staleness(pipeline)
    if not stale:
        return found
    return replace(found, recommendation=replace(found.recommendation, warnings=[stale, *found.recommendation.warnings]))


def average(name: str, rows: int, *, split: str | None, overrides: list[str], quiet: bool) -> AveragePicture:
    """What many answers rest on, with bars."""
    from score_rag.cli.screen import bars
    from score_rag.explain.rows import explain_rows
    from score_rag.pipeline.config import load_pipeline

    with bars(quiet=quiet) as report:
        return explain_rows(load_pipeline(name, overrides=overrides), rows, split=split, report=report)


def _check(
    user: str | None, item: str | None, history: str | None, as_of: str | None, rows: int | None, split: str | None, html: Path | None
) -> None:
    single = [name for name, given in (("--user", user), ("--item", item), ("--history", history), ("--as-of", as_of)) if given is not None]
    if rows is not None and (single or html is not None):
        raise InputError(
            "--rows averages over many questions", expected="no " + ", ".join([*single, *(["--html"] if html else [])]) + " beside it"
        )
    if rows is None and split is not None:
        raise InputError("a split is for many questions", where="--split", expected="--rows beside it")
    if rows is None and item is None:
        raise InputError("say which question, or how many", expected="--user 42 --item 17, or --rows 500")
    if user is not None and history is not None:
        raise InputError("a user of the data brings a history; another one cannot be added", expected="--user or --history")


def _pictures(png: Path | None, svg: Path | None) -> list[Path]:
    """The files to draw, looked at before an hour is spent."""
    from score_rag.pages.chart import check_picture, new_figure

    out = [check_picture(path, (f".{kind}",)) for kind, path in (("png", png), ("svg", svg)) if path is not None]
    if out:
        with new_figure(1, 1):
            pass
    return out
