"""What the library advises, as a command to type: the only place that knows both."""

from __future__ import annotations

import shlex

from score_rag.errors import ChangeSetting, Consult, Evaluate, FetchDataset, Remedy, RenewIndex, RunStage, ScoreError

__all__ = ["advice", "command", "name_home", "options", "program"]

_TABLES = {"scorecard": "", "evidence": " --evidence", "shuffled": " --shuffle-evidence"}
"""The flags of the tables' kinds."""


def advice(error: ScoreError) -> str | None:
    """An error's hint with the command that follows it; None where there is neither."""
    typed = command(error.remedy, pipeline=error.pipeline or "PIPELINE") if error.remedy is not None else None
    return ": ".join(part for part in (error.hint, typed) if part is not None) or None


_program = "score-rag"


def name_home(folder: str) -> None:
    """From now on, commands are told with this home."""
    global _program
    _program = f"score-rag --home {shlex.quote(folder)}"


def program() -> str:
    """How score-rag was called: with its home, where one was given."""
    return _program


def command(remedy: Remedy, *, pipeline: str = "PIPELINE") -> str:
    """The command, or the options of one.

    Args:
        pipeline: How the pipeline was named, with the settings that were changed; quoted for a shell already.

    >>> command(RunStage("crm", again=True), pipeline="sample")
    'score-rag run sample --only crm --force'
    >>> command(ChangeSetting({"data.separator": ";"}))
    '--set \\'data.separator=";"\\''
    """
    typed = _command(remedy, pipeline)
    return program() + typed.removeprefix("score-rag") if typed.startswith("score-rag ") else typed


def _command(remedy: Remedy, pipeline: str) -> str:
    match remedy:
        case ChangeSetting():
            return options(remedy)
        case RunStage(stage=None, again=again):
            return f"score-rag run {pipeline}{' --force' if again else ''}"
        case RunStage(stage=stage, again=again):
            return f"score-rag run {pipeline} " + (f"--only {stage} --force" if again else f"--until {stage}")
        case RenewIndex(how=how, folder=folder):
            return f"score-rag index {how} {pipeline}" + (f" --folder {shlex.quote(folder)}" if folder is not None else "")
        case FetchDataset(name=name, into=into, force=force):
            where = f" --into {shlex.quote(into)}" if into is not None else ""
            return f"score-rag data fetch {shlex.quote(name)}{where}{' --force' if force else ''}"
        case Evaluate(split=split, kind=kind):
            return f"score-rag evaluate {pipeline} --split {split}{_TABLES[kind]}"
        case Consult(what="prompt", name=name):
            return f"score-rag prompts check {shlex.quote(name or 'PROMPT')}"
        case Consult(what="engine", name=name):
            return f"score-rag doctor --engine {shlex.quote(name or 'URL')}"
        case Consult(what="settings"):
            return f"score-rag pipelines show {pipeline if pipeline != 'PIPELINE' else 'sample'} --full"
        case Consult(what=what):
            return f"score-rag {what} list"


def options(settings: ChangeSetting) -> str:
    """Settings as the end of a command."""
    return " ".join(f"--set {shlex.quote(one)}" for one in settings.assignments)
