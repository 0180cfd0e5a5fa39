"""`score-rag run`: bring a pipeline's stages up to date."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from score_rag.cli.options import Json, PipelineName, Set

if TYPE_CHECKING:
    from score_rag.pipeline.config import Pipeline
    from score_rag.pipeline.state import StageStatus

__all__ = ["ask", "first_answer", "run", "run_stages"]


def run(
    pipeline: PipelineName,
    only: Annotated[str | None, typer.Option(help="Run only this stage; its inputs must be up to date.")] = None,
    until: Annotated[str | None, typer.Option(help="Stop after this stage.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Run the chosen stages even if nothing changed.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run, why, and how many assessor calls; run nothing.")] = False,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Run a pipeline's stages: data, crm, documents, retriever, reranker, predictor. Unchanged stages are skipped."""
    found = run_stages(pipeline, only=only, until=until, force=force, dry_run=dry_run, overrides=set_ or [], quiet=json)
    if json:
        from score_rag.cli.screen import print_json

        print_json([asdict(stage) for stage in found])


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
    """What is wrong with what was trained: a predictor worse than its recommender, an adapter that does nothing, a reranker at chance."""
    found = metrics.get("guard") or {}
    told = [f"{warning} ({ADVICE})" for warning in found.get("warnings", ())]
    if found and not found["adapter"]:
        told.append("no epoch of LoRA was better than the base alone: the base alone is served (more examples, or another learning rate?)")
    if "mrr_margin" in metrics and metrics["mrr_after"] - metrics["mrr_margin"] <= metrics["mrr_random"]:
        own = f"mean reciprocal rank {metrics['mrr_after']:.2f} ± {metrics['mrr_margin']:.2f}, by chance {metrics['mrr_random']:.2f}"
        told.append(
            f"on {metrics['held_out_reported']} held-out questions the reranker is no better than chance ({own}): more reranker.pairs"
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
    """Numbers worth a glance, two levels deep: `lora: epoch 1, lora: valid_auc 0.71`."""
    said = []
    for name, value in metrics.items():
        if name == "guard":
            continue
        name = f"{before}{name}"
        if isinstance(value, dict):
            said += [facts(value, f"{name}: ")]
        elif isinstance(value, float):
            said.append(f"{name} {value:.3f}")
        elif isinstance(value, int) and not isinstance(value, bool):
            said.append(f"{name} {value:,}")
        elif name == "labels":
            said.append(f"({value})")
    return ", ".join(part for part in said if part)
