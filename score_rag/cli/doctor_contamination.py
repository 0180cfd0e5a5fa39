"""`score-rag doctor --contamination`: does the base model know the catalogue from elsewhere?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from score_rag.audit.contamination import Contamination

__all__ = ["probe", "show"]


def probe(name: str, overrides: list[str], *, json: bool) -> Contamination:
    """Probe a finished run; the result is kept in its folder too, for reports."""
    from score_rag.audit.contamination import probe_run
    from score_rag.cli.screen import bars, print_json
    from score_rag.files import folder_lock, write_json
    from score_rag.pipeline.config import load_pipeline
    from score_rag.pipeline.run import Run
    from score_rag.pipeline.state import run_folder

    pipeline = load_pipeline(name, overrides=overrides)
    with bars(quiet=json) as report:
        found = probe_run(Run.open(pipeline, stages=("predictor",)), report=report)
    with folder_lock(run_folder(pipeline), doing=f"probing the pipeline {pipeline.name}"):
        (run_folder(pipeline) / "evaluation").mkdir(exist_ok=True)
        write_json(run_folder(pipeline) / "evaluation" / "contamination.json", found.to_dict())
    if json:
        print_json(found.to_dict())
    else:
        show(found)
    return found


def show(found: Contamination) -> None:
    """For a person."""
    from rich.markup import escape

    from score_rag.cli.screen import console

    screen = console()
    for line in found.lines():
        screen.print(line, soft_wrap=True)
    for warning in found.warnings():
        screen.print(f"[bold red]✗ {escape(warning)}[/]" if not found.own else f"[dim]{escape(warning)}[/]", soft_wrap=True)
    if not found.knows:
        screen.print("[green]✓[/] it completes no more titles than made-up ones")
