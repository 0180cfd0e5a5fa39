"""`prompts check` fills a prompt in, with everything known and with next to nothing, and names the line that does not work."""

from __future__ import annotations

from pathlib import Path

import pytest

from score_rag.cli import app
from score_rag.errors import PromptError
from score_rag.files import shipped_folder
from score_rag.prompts import read_prompt
from score_rag.recommend.prompt_kinds import check_prompt, kind_of

SHIPPED = sorted(shipped_folder("prompts").glob("*.md"))


def prompt(folder: Path, variables: str, body: str):
    head = "".join(f"  {name}: it\n" for name in variables.split())
    (folder / "mine.md").write_text(f"---\ndescription: d\nvariables:\n{head}---\n{body}", encoding="utf-8")
    return read_prompt(folder / "mine.md")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_prompt_passes_and_is_of_the_kind_that_its_name_says(path):
    kinds = {"describe": "documents", "assess": "texts", "predict": "predict", "rerank": "texts"}
    kind = "behaviour" if path.stem == "rerank_behaviour" else kinds[path.stem.split("_")[0]]
    assert check_prompt(read_prompt(path)) == kind


@pytest.mark.parametrize(
    ("variables", "body", "said", "line"),
    [
        ("target", "Will they like it?\nAnswer:", "never names the item", None),
        ("target mood", "mood {{ mood.level }}:", "never names the item", None),
        ("target", "\n\nThe item:\n{{ target.nmae }}", "no attribute 'nmae'", 9),
        ("target", "{{ target.name }}\n{% if target.yaer %}x{% endif %}", "no attribute 'yaer'", 7),
        ("target", "{{ target.name }}\nbefore {{ target.year + 1 }}", "unsupported operand", 7),
        ("target history", "{{ target.name }}\n{{ history[0].item.name }}", "no element 0|has no attribute|undefined", 8),
        ("target neighbours", "{{ target.name }}\n\n{% for o in neighbours %}\n{{ o.name }}\n{% endfor %}", "no attribute 'name'", 10),
        ("target expectation", "{{ target.name }} {{ expectation.dni.level }}", "no attribute 'dni'", 7),
        ("history target", "{{ history }}", "never names the item", None),
        ("history target", "{{ target }}", "never tells what the user did", None),
        ("liked", "Liked: {{ liked | map(attribute='titel') | join }}", "no attribute 'titel'", 6),
        ("liked", "They like things.", "tells nothing of what the user did", None),
        ("liked disliked", "{{ liked[0].title }}", "no element 0|has no element", 7),
        ("target liked", "{{ target.name }}", "no stage fills in", None),
        ("mood", "{{ mood.level }}", "no stage fills in", None),
        ("behaviour verdict", "{{ verdict }}", "never tells what the other user did", None),
    ],
)
def test_a_prompt_that_does_not_work_is_refused_with_its_line(tmp_path, variables, body, said, line):
    with pytest.raises(PromptError) as caught:
        check_prompt(prompt(tmp_path, variables, body))
    told = str(caught.value)
    assert any(one in told for one in said.split("|")), told
    assert str(tmp_path / "mine.md") in told and (line is None or f"mine.md, line {line}\n" in told), told


@pytest.mark.parametrize(
    ("variables", "body", "kind"),
    [
        ("target", "Like {{ target.name }}?", "predict"),
        ("history target", "{{ target.title }}: {% for e in history %}{{ e.item.name }}{% endfor %}", "predict"),
        ("history target", "{{ history }} / {{ target }}", "texts"),
        ("latest", "{{ latest | map(attribute='name') | join }}", "documents"),
    ],
)
def test_what_a_prompt_is_for_is_seen_from_what_it_uses(tmp_path, variables, body, kind):
    assert kind_of(prompt(tmp_path, variables, body)) == check_prompt(prompt(tmp_path, variables, body)) == kind


def test_the_command_checks_all_and_ends_with_what_is_wrong(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    (tmp_path / "prompts").mkdir()
    prompt(tmp_path / "prompts", "target", "{{ target.nmae }}")
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(app, ["prompts", "check"])
    assert told.output.count("ok: ") == len(SHIPPED) and isinstance(told.exception, PromptError)
    assert "line 6" in str(told.exception)


def test_a_run_refuses_such_prompts_before_any_stage(tmp_path, monkeypatch):
    from score_rag.pipeline.config import load_pipeline
    from score_rag.pipeline.runner import run
    from score_rag.pipeline.stages import stages

    (tmp_path / "prompts").mkdir()
    monkeypatch.chdir(tmp_path)
    cases = {
        "documents.prompt": ("liked", "{{ liked[0].titel }}", "documents"),
        "reranker.assess_prompt": ("history target", "{{ history }}", "reranker"),
        "predictor.prompt": ("target", "Will they?", "predictor"),
    }
    for setting, (variables, body, last) in cases.items():
        prompt(tmp_path / "prompts", variables, body)
        pipeline = load_pipeline("sample", overrides=[f"{setting}=mine"])
        with pytest.raises(PromptError, match=r"cannot be filled in|never names"):
            run(pipeline, stages(pipeline), until=last)
        assert not (tmp_path / "runs").exists()
