"""The library advises in its own words; the command line says which command that is."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest
import yaml

from score_rag.cli.remedies import advice, command
from score_rag.cli.screen import show_error
from score_rag.errors import ChangeSetting, Consult, DataError, Evaluate, FetchDataset, RenewIndex, RunStage, ScoreError

SOURCES = Path(__file__).parent.parent / "score_rag"
LIBRARY = [file for file in sorted(SOURCES.rglob("*.py")) if file.parent.name != "cli"]
TYPED = re.compile(
    r"--(set|force|into|folder|only|until)(?![-\w])|score-rag (run|assess|data|index|prompts|pipelines|recommend|evaluate|doctor)\b"
)
SPEAKS = {
    "pipeline/show.py": "writes the page of settings",
    "pipeline/config.py": "says how a pipeline was named on the command line",
    "pipeline/propose.py": "writes pipeline files, whose comments name commands",
    "pipeline/sizes.py": "likewise",
    "report/examples.py": "a page says which command fills it",
    "report/report.py": "likewise",
}


def literals(file: Path) -> list[str]:
    """What a program may say: its texts, without docstrings."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent
    ]


def test_the_library_does_not_speak_the_command_line():
    assert len(LIBRARY) > 150
    spoken = {file.relative_to(SOURCES).as_posix(): text for file in LIBRARY for text in literals(file) if TYPED.search(text)}
    assert spoken.keys() == SPEAKS.keys(), {file: text for file, text in spoken.items() if file not in SPEAKS}
    assert spoken["pipeline/config.py"] == "--set"


@pytest.mark.parametrize(
    ("remedy", "said", "typed"),
    [
        (ChangeSetting({"data.path": "FOLDER"}), "set data.path=FOLDER", "--set data.path=FOLDER"),
        (ChangeSetting({"data.path": "/my data"}), "set data.path=/my data", "--set 'data.path=/my data'"),
        (
            ChangeSetting({"data.interactions": "FILE", "data.items": "FILE"}),
            "set data.interactions=FILE and data.items=FILE",
            "--set data.interactions=FILE --set data.items=FILE",
        ),
        (RunStage("crm"), "run the stage crm", "score-rag run PIPELINE --until crm"),
        (RunStage("crm", again=True), "run the stage crm again", "score-rag run PIPELINE --only crm --force"),
        (RunStage(None), "run the pipeline", "score-rag run PIPELINE"),
        (RunStage(None, again=True), "run the pipeline again", "score-rag run PIPELINE --force"),
        (RenewIndex("rebuild", "a b"), "rebuild the index in a b", "score-rag index rebuild PIPELINE --folder 'a b'"),
        (RenewIndex("update"), "update the index", "score-rag index update PIPELINE"),
        (Evaluate("valid"), "evaluate the pipeline on valid", "score-rag evaluate PIPELINE --split valid"),
        (
            Evaluate("test", "evidence"),
            "evaluate the pipeline on test (evidence)",
            "score-rag evaluate PIPELINE --split test --evidence",
        ),
        (Consult("prompts"), "list the prompts", "score-rag prompts list"),
        (Consult("pipelines"), "list the pipelines", "score-rag pipelines list"),
        (Consult("settings"), "list the settings", "score-rag pipelines show sample --full"),
        (Consult("prompt", "my prompt"), "check the prompt my prompt", "score-rag prompts check 'my prompt'"),
        (Consult("engine", "http://h:1"), "check the engine http://h:1", "score-rag doctor --engine http://h:1"),
        (FetchDataset("ml-1m"), "fetch the data set ml-1m", "score-rag data fetch ml-1m"),
        (
            FetchDataset("ml-1m", into="d", force=True),
            "fetch the data set ml-1m into d with force",
            "score-rag data fetch ml-1m --into d --force",
        ),
    ],
)
def test_a_remedy_is_words_in_the_library_and_a_command_on_the_screen(remedy, said, typed, capsys):
    error = DataError("it broke", hint="do this", remedy=remedy)
    assert str(error).splitlines()[-1] == f"  hint: do this: {said}"
    assert advice(error) == f"do this: {typed}"
    show_error(error)
    assert capsys.readouterr().err.splitlines() == ["error: it broke", f"  hint: do this: {typed}"]


def test_a_pipeline_that_is_known_is_named():
    error = DataError("it broke", remedy=RunStage("crm"))
    error.pipeline = "sample --set crm.dim=8"
    assert advice(error) == "score-rag run sample --set crm.dim=8 --until crm"
    assert advice(ScoreError("it broke")) is None and advice(ScoreError("it broke", hint="wait")) == "wait"


@pytest.mark.parametrize(
    "value",
    ["FOLDER", "/a b/ü", "..", ";", ",", "|", "\t", "::", "utf-16", "a: b", "a #b", "http://x:80", "my.mod:Name", "a:", "it's", 'a"b'],
)
def test_what_is_typed_is_read_as_the_value(value):
    _, typed = shlex.split(command(ChangeSetting({"data.x": value})))
    assert yaml.safe_load(typed.removeprefix("data.x=")) == value


@pytest.mark.parametrize("value", [None, 3, 0.5, True, {}, [1, 2]])
def test_what_is_no_text_is_typed_as_yaml(value):
    _, typed = shlex.split(command(ChangeSetting({"data.x": value})))
    assert yaml.safe_load(typed.removeprefix("data.x=")) == value
