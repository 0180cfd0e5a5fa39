"""`score-rag run`: bring a pipeline's stages up to date."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from score_rag.cli.options import Json, PipelineName, Set
from score_rag.errors import InputError

if TYPE_CHECKING:
    from score_rag.pipeline.config import Pipeline
    from score_rag.pipeline.estimate import StageCost
    from score_rag.pipeline.state import StageStatus

__all__ = ["ask", "estimated", "first_answer", "run", "run_stages"]


def run(
    pipeline: PipelineName,
    only: Annotated[str | None, typer.Option(help="Run only this stage; its inputs must be up to date.")] = None,
    until: Annotated[str | None, typer.Option(help="Stop after this stage.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Run the chosen stages even if nothing changed.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run, why, and how many assessor calls; run nothing.")] = False,
    gpu: Annotated[str | None, typer.Option(help="With --dry-run: estimate hours and memory on this card, such as a100-80.")] = None,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Run a pipeline's stages: data, crm, documents, retriever, reranker, predictor. Unchanged stages are skipped."""
    if gpu is not None and not dry_run:
        raise InputError("an estimate belongs to a dry run", where="--gpu", expected="--dry-run beside it")
    costs = estimated(pipeline, gpu, overrides=set_ or []) if gpu is not None else None
    found = run_stages(pipeline, only=only, until=until, force=force, dry_run=dry_run, overrides=set_ or [], quiet=json)
    told = [asdict(stage) for stage in found]
    _tell(told if costs is None else {"stages": told, "estimate": [asdict(cost) for cost in costs]}, costs, gpu, json=json)


def estimated(name: str, gpu: str, *, overrides: list[str]) -> list[StageCost]:
    """Hours and memory of a pipeline's stages on a card."""
    from score_rag.pipeline.config import load_pipeline
    from score_rag.pipeline.estimate import estimate, rows_of
    from score_rag.pipeline.gpus import find_gpu
    from score_rag.pipeline.state import finished_record, run_folder

    card, pipeline = find_gpu(gpu), load_pipeline(name, overrides=overrides)
    folder = run_folder(pipeline) / "data" if finished_record(pipeline, "data") is not None else None
    return estimate(pipeline, rows_of(pipeline, folder), card)


def _tell(told: Any, costs: list[StageCost] | None, gpu: str | None, *, json: bool) -> None:
    from score_rag.cli.screen import console, print_json

    if json:
        print_json(told)
    elif costs is not None:
        from score_rag.pipeline.estimate import UTILISATION

        screen = console()
        screen.print(f"on one {gpu}, at most (arithmetic at {UTILISATION:.0%} of the card's dense bfloat16):")
        for cost in costs:
            screen.print(cost_line(cost), soft_wrap=True)


def cost_line(cost: StageCost) -> str:
    """A stage's estimate in a line."""
    from rich.markup import escape

    if cost.hours is None or cost.memory is None:
        return f"  {cost.stage:<10} [dim]{escape(cost.told)}[/]"
    fits = "" if cost.fits else " [bold red]more than the card has[/]"
    return f"  {cost.stage:<10} {cost.hours:6.2f} h {cost.memory / 1e9:6.1f} GB{fits} [dim]({escape(cost.told)})[/]"


def run_stages(
    name: str, *, only: str | None, until: str | None, force: bool, dry_run: bool, overrides: list[str], quiet: bool
) -> list[StageStatus]:
    """Run, telling each stage's outcome as it comes."""
    from rich.markup import escape

    from score_rag.cli.remedies import program
    from score_rag.cli.screen import bars, console
    from score_rag.pipeline.config import load_pipeline
    from score_rag.pipeline.runner import run as run_pipeline
    from score_rag.pipeline.stages import stages

    pipeline = load_pipeline(name, overrides=overrides)
    screen = console(error=True)

    def tell(stage: StageStatus) -> None:
        if not quiet:
            screen.print(line(stage), soft_wrap=True)
            for warning in guard_lines(stage.metrics):
                screen.print(f"    [bold red]✗ {escape(warning)}[/]", soft_wrap=True)
            for note in stage.metrics.get("notes", ()) if stage.action == "ran" else ():
                screen.print(f"    [dim]{escape(note)}[/]", soft_wrap=True)
            if not dry_run and (told := first_answer(pipeline, stage)):
                screen.print(f"    [bold]{escape(told)}[/]", soft_wrap=True)

    def begun(stage: StageStatus) -> None:
        # On a terminal, bars show what goes on.
        if not quiet and not sys.stderr.isatty():
            before = f"; {stage.seconds:.0f} s last time" if stage.seconds is not None else ""
            screen.print(f"[yellow]→[/] {stage.name:<10} begun [dim]({escape(stage.reason + before)})[/]", soft_wrap=True)

    how: dict[str, Any] = {"only": only, "until": until, "force": force, "dry_run": dry_run}
    with bars(quiet=quiet) as report:
        found = run_pipeline(pipeline, stages(pipeline), **how, report=report, tell=tell, begun=begun)
    if not quiet and not dry_run and found[-1].name == "predictor":
        from score_rag.pipeline.run import Run

        for stage, told in Run.open(pipeline).provenance.items():
            screen.print(f"[dim]{stage:<10} {escape(told)}[/]", soft_wrap=True)
        screen.print(f"now: {escape(ask(pipeline))}\n     {program()} evaluate {escape(pipeline.words)}", soft_wrap=True)
    return found


def first_answer(pipeline: Pipeline, stage: StageStatus) -> str:
    """What can be asked already, while later stages are to come; empty where a stage changes nothing of that."""
    from score_rag.pipeline.state import finished_record

    if stage.name not in ("data", "crm") or stage.state != "finished" or finished_record(pipeline, "predictor") is not None:
        return ""
    if stage.name == "data" and finished_record(pipeline, "crm") is not None:
        return ""
    who = "a recommender that needs no training" if stage.name == "data" else "the conventional recommender that is trained now"
    return f"first answers, from {who}, while this goes on: {ask(pipeline)}"


def ask(pipeline: Pipeline) -> str:
    """A command that asks about somebody."""
    from shlex import quote

    from score_rag.cli.remedies import program
    from score_rag.pipeline.propose import most_active
    from score_rag.pipeline.run import Run

    user = most_active(Run.open(pipeline).interactions)
    return f"{program()} recommend --pipeline {pipeline.words} --user {quote(user)} --top 10"


def guard_lines(metrics: dict[str, Any]) -> list[str]:
    """What is wrong with what was trained: a predictor worse than its recommender, an adapter that does nothing, a reranker at chance, an
    encoder that finds less than before."""
    found = metrics.get("guard") or {}
    told = [f"{warning} ({ADVICE})" for warning in found.get("warnings", ())]
    if found and not found["adapter"]:
        told.append("no epoch of LoRA was better than the base alone: the base alone is served (more examples, or another learning rate?)")
    if "mrr_margin" in metrics and metrics["mrr_after"] - metrics["mrr_margin"] <= metrics["mrr_random"]:
        own = f"mean reciprocal rank {metrics['mrr_after']:.2f} ± {metrics['mrr_margin']:.2f}, by chance {metrics['mrr_random']:.2f}"
        told.append(
            f"on {metrics['held_out_reported']} held-out questions the reranker is no better than chance ({own}): more reranker.pairs"
        )
    if metrics.get("recall_at_10_after", 1) < metrics.get("recall_at_10_before", 0):
        own = f"recall@10 {metrics['recall_at_10_after']:.2f}, before {metrics['recall_at_10_before']:.2f}"
        told.append(
            f"on {metrics['held_out_reported']} held-out users the trained encoder finds fewer of the recommender's neighbours than the "
            f"untrained one ({own}): more users, or more retriever.epochs"
        )
    return told


ADVICE = "more training events, a prompt that declares `expectation`, or a larger base may help"


def line(stage: StageStatus) -> str:
    """A stage's outcome in a line."""
    from rich.markup import escape

    mark = {"ran": "[green]✓[/]", "skipped": "[dim]·[/]", "would run": "[yellow]→[/]"}.get(stage.action, " ")
    # That a stage ran because it had not run yet needs no saying.
    reason = "" if stage.action == "ran" and stage.state == "finished" and stage.reason == "not run yet" else stage.reason
    told = escape("; ".join(part for part in (reason, stage.plan) if part))
    seconds = f" [dim]{stage.seconds:.0f} s[/]" if stage.action == "ran" and stage.seconds is not None else ""
    return (
        f"{mark} {stage.name:<10} {stage.action}{seconds}{f' [dim]({told})[/]' if told else ''} "
        f"{escape(facts(stage.metrics)) if stage.action == 'ran' else ''}".rstrip()
    )


def facts(metrics: dict[str, Any], before: str = "") -> str:
    """Numbers worth a glance, two levels deep: `lora: epoch 1, lora: valid auc 0.71`."""
    said = []
    for name, value in metrics.items():
        if name == "guard":
            continue
        name = f"{before}{name}".replace("_", " ")
        if isinstance(value, dict):
            said += [facts(value, f"{name}: ")]
        elif isinstance(value, float):
            said.append(f"{name} {value:.3f}")
        elif isinstance(value, int) and not isinstance(value, bool):
            said.append(f"{name} {value:,}")
        elif name == "labels":
            said.append(f"({value})")
    return ", ".join(part for part in said if part)
