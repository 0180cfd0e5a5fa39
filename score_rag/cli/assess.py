"""`score-rag assess`: the language model's assessments that teach the reranker, asked and looked at by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from score_rag.cli.assess_screen import report_table, show_progress
from score_rag.cli.options import Json, PipelineName, Set
from score_rag.cli.shard_options import Address, Cpus, Engine, Gpus, Shards, Timeout, on_ray
from score_rag.cli.shard_work import TAKE_IN, assess_folder, ordered, tell, worked

if TYPE_CHECKING:
    from score_rag.pipeline.assessing import AssessmentJob, Estimate, Progress
    from score_rag.reranker.assess_report import ReportRow
    from score_rag.reranker.spend import Limits

__all__ = ["app", "asked", "estimated", "kept", "opened", "reported", "taken"]

app = typer.Typer(no_args_is_help=True, help="Ask for, count and look at the assessments that teach the reranker.", rich_markup_mode=None)


@app.command()
def run(
    pipeline: PipelineName,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show calls, tokens and cost at most; ask nothing.")] = False,
    batch: Annotated[bool, typer.Option("--batch", help="By the provider's batch endpoint: half the price, within a day.")] = False,
    max_cost: Annotated[float | None, typer.Option(min=0, help="Stop before these questions cost more USD, earlier runs included.")] = None,
    max_requests: Annotated[int | None, typer.Option(min=0, help="Stop before more calls than these.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=0, help="Stop before more tokens than these, of prompts and answers.")] = None,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Ask one of N shards of the questions, counted from 0, into --output; limits are each shard's."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The folder of all shards; `assess take` takes it into the run.")
    ] = None,
    engine: Engine = "here",
    ray_address: Address = None,
    shards: Shards = None,
    cpus_per_shard: Cpus = None,
    gpus_per_shard: Gpus = None,
    timeout: Timeout = None,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Ask for the assessments that have no answer yet; the reranker stage uses them. Needs the stages data and documents. Exits with
    status 3 at a limit; everything answered is kept. Stopped while a batch is under way, the same command goes on waiting for it."""
    from score_rag.reranker.spend import Limits

    limits = Limits(max_cost, max_requests, max_tokens)
    ray = on_ray(engine, shard, address=ray_address, shards=shards, cpus=cpus_per_shard, gpus=gpus_per_shard, timeout=timeout)
    if folder := assess_folder("all" if ray is not None else shard, output, batch=batch, dry_run=dry_run):
        order = ordered("assess", pipeline, set_, limits=limits)
        tell(worked(order, folder, shard or "0/1", ray, batch_rows=1, checkpoint=0, quiet=json), json=json, again=TAKE_IN)
    elif dry_run:
        show_progress(estimated(pipeline, set_ or [], batch=batch), json=json)
    else:
        show_progress(asked(pipeline, set_ or [], limits=limits, batch=batch, quiet=json), json=json)


@app.command()
def take(
    pipeline: PipelineName,
    folder: Annotated[Path, typer.Argument(help="What `assess run --shard` wrote to.")],
    set_: Set = None,
    json: Json = False,
) -> None:
    """Take the assessments of all shards into the run, with what failed and what was spent, as if one process had asked. Safe to repeat."""
    show_progress(taken(pipeline, set_ or [], folder, quiet=json), json=json)


@app.command()
def status(pipeline: PipelineName, set_: Set = None, json: Json = False) -> None:
    """Show how many questions are answered, how many failed and why, and what they have cost."""
    show_progress(opened(pipeline, set_ or []).progress(), json=json)


@app.command()
def show(
    pipeline: PipelineName,
    user: Annotated[str | None, typer.Option(help="Only this user's.")] = None,
    item: Annotated[str | None, typer.Option(help="Only those about this item (its id or name).")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 10,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Show assessments, and the questions that failed with the replies to them."""
    rows = kept(opened(pipeline, set_ or []), user=user, item=item, limit=limit)
    from score_rag.cli.screen import console, print_json

    if json:
        print_json(rows)
        return
    from rich.markup import escape

    screen = console()
    for row in rows:
        screen.print(f"[bold]user {escape(row['user_id'])}, {escape(row['name'])}[/]  [dim]{row['outcome']}[/]", soft_wrap=True)
        for line in row["characteristics"] or [row["reason"], *row["replies"]]:
            screen.print(f"  · {escape(line)}", soft_wrap=True)


@app.command()
def report(
    pipeline: PipelineName,
    measure: Annotated[bool, typer.Option("--measure", help="Also train a small Llama, and tell what assessments foresee.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Also draw it, into this PNG or SVG file.")] = None,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Report on assessments by user activity and strength of preference: length, failures, likeness to those for other users about the same
    item, and with --measure how well likeness to an assessment foresees which users help."""
    rows = reported(pipeline, set_ or [], measure=measure, plot=plot, quiet=json)
    from score_rag.cli.screen import console, print_json

    if json:
        print_json([row.to_dict() for row in rows])
        return
    console().print(report_table(rows))
    typer.echo("same item, other items: likeness to assessments for other users, by the words that both use")
    if measure:
        typer.echo("foresees: rank correlation, within a question, of likeness to the assessment with measured usefulness; 95 % over users")
    if plot is not None:
        typer.echo(f"plot written to {plot}")


def opened(name: str, overrides: list[str]) -> AssessmentJob:
    """The job of a pipeline's run."""
    from score_rag.pipeline.assessing import open_job
    from score_rag.pipeline.config import load_pipeline

    return open_job(load_pipeline(name, overrides=overrides))


def estimated(name: str, overrides: list[str], *, batch: bool) -> Estimate:
    """What asking would take."""
    return opened(name, overrides).estimate(batch=batch)


def asked(name: str, overrides: list[str], *, limits: Limits, batch: bool, quiet: bool) -> Progress:
    """Ask, with bars."""
    from score_rag.cli.screen import bars
    from score_rag.pipeline.assessing import assess_run
    from score_rag.pipeline.config import load_pipeline

    with bars(quiet=quiet) as progress:
        return assess_run(load_pipeline(name, overrides=overrides), limits=limits, batch=batch, report=progress)


def taken(name: str, overrides: list[str], folder: Path, *, quiet: bool) -> Progress:
    """Take shards in, with bars."""
    from score_rag.cli.screen import bars
    from score_rag.pipeline.config import load_pipeline
    from score_rag.shards.take import take_assessments

    with bars(quiet=quiet) as progress:
        return take_assessments(load_pipeline(name, overrides=overrides), folder, report=progress)


def kept(job: AssessmentJob, *, user: str | None, item: str | None, limit: int) -> list[dict[str, Any]]:
    """Questions with their answers or failures, in the order of the job; those that were not asked yet are left out."""
    from score_rag.recommend.items import find_item
    from score_rag.recommend.names import find_user
    from score_rag.reranker.answers import errors_path, read_answers, read_failures

    user = None if user is None else find_user(job.interactions.log, user)
    item = None if item is None else find_item(job.interactions.catalogue, item).item_id
    answers, failures = read_answers(job.out), read_failures(errors_path(job.out))
    rows = []
    for key, request in zip(job.keys, job.requests, strict=True):
        if (user is not None and request.user_id != user) or (item is not None and request.item_id != item):
            continue
        facts = {"user_id": request.user_id, "item_id": request.item_id, "name": job.interactions.item(request.item_id).name}
        if answer := answers.get(key):
            rows.append({**facts, "outcome": "answered", **answer.model_dump(), "replies": []})
        elif failed := failures.get(key):
            rows.append({**facts, "outcome": failed["outcome"], "characteristics": [], **{n: failed[n] for n in ("reason", "replies")}})
    return rows[:limit]


def reported(name: str, overrides: list[str], *, measure: bool, plot: Path | None, quiet: bool) -> list[ReportRow]:
    """What the job's assessments are like, with bars; drawn where a picture is asked for."""
    from score_rag.cli.screen import bars
    from score_rag.pipeline.assess_usefulness import measured_agreement
    from score_rag.pipeline.config import load_pipeline
    from score_rag.reranker.answers import errors_path, read_answers, read_failures
    from score_rag.reranker.assess_plot import check_plot_path, plot_report
    from score_rag.reranker.assess_report import report_assessments
    from score_rag.reranker.strength import preference_strength

    if plot is not None:
        check_plot_path(plot)
    job = opened(name, overrides)
    kept, failures, log = read_answers(job.out), read_failures(errors_path(job.out)), job.interactions.train_log
    answers = [kept.get(key) for key in job.keys]
    earlier = [log.earlier(request.event) for request in job.requests]
    pipeline = load_pipeline(name, overrides=overrides)
    with bars(quiet=quiet) as progress:
        agreement = measured_agreement(pipeline, job, answers, report=progress) if measure else None
    rows = report_assessments(
        job.requests,
        answers,
        outcomes=[failures[key]["outcome"] if key in failures else None for key in job.keys],
        activity=[len(events) for events in earlier],
        strength=[preference_strength(e, r.item_id, job.interactions.catalogue) for e, r in zip(earlier, job.requests, strict=True)],
        agreement=agreement,
    )
    if plot is not None:
        plot_report(rows, plot, title=pipeline.name)
    return rows
