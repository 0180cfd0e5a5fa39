"""`score-rag assess run --shard`: as one process would have asked, within each shard's limits, and nothing paid for twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from assess_world import quick  # noqa: F401
from test_cli import typed

from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.runner import run
from score_rag.pipeline.stages import stages
from score_rag.reranker.spend import read_spend
from score_rag.testing import ChatServer

ROOT = Path(__file__).resolve().parent.parent

# LiteLLM's own types make pydantic warn when they are first used.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Item .* on TypedDict class:UserWarning"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
    pytest.mark.usefixtures("quick"),
]


def say(body) -> str:
    """An answer that its question alone decides."""
    asked = body["messages"][0]["content"]
    return json.dumps({"characteristics": [f"likes what has {len(asked)} letters", asked[-40:]], "reason": "because"})


def changes(server, **more) -> dict[str, object]:
    asked = {"pairs": 12, "assessor": "openai/gpt-4o-mini", "api_base": server.url, "concurrency": 1, "max_answer_tokens": 50}
    return {f"reranker.{name}": value for name, value in (asked | more).items()}


@pytest.fixture
def asking(toy_pipeline, tmp_path):
    """Words that name a toy run of one's own whose data and documents are finished, by the run's name."""

    def words(name: str, server, **more) -> list[str]:
        found = [f"runs={tmp_path / name}", *(f"{key}={value}" for key, value in changes(server, **more).items())]
        pipeline = load_pipeline(str(toy_pipeline), overrides=found)
        for stage in ("data", "documents"):
            run(pipeline, stages(pipeline), only=stage)
        return [str(toy_pipeline), *(word for change in found for word in ("--set", change))]

    return words


def scratch(tmp_path, name: str) -> Path:
    return tmp_path / name / "toy" / "scratch"


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_four_shards_are_one_process_line_by_line(monkeypatch, capsys, asking, tmp_path):
    def act(*words, code=0):
        found, out, err = typed(monkeypatch, capsys, *words)
        assert found == code, err
        return out

    with ChatServer(say) as server:
        one, four = asking("one", server), asking("four", server)
        act("assess", "run", *one)
        assert len(server.requests) == 12
        for index in range(4):
            told = json.loads(act("assess", "run", *four, "--shard", f"{index}/4", "--output", tmp_path / "out", "--json"))
            assert told["shard"] == f"{index}/4" and not told["failed"] and not told["skipped"]
        assert len(server.requests) == 24
        assert "done before" in act("assess", "run", *four, "--shard", "2/4", "--output", tmp_path / "out")
        assert json.loads(act("shards", "check", tmp_path / "out", "--json"))["ok"]
        act("shards", "merge", tmp_path / "out", "--output", tmp_path / "all.parquet")
        told = json.loads(act("assess", "take", *four, tmp_path / "out", "--json"))
        again = json.loads(act("assess", "take", *four, tmp_path / "out", "--json"))
        assert told == again and told["answered"] == 12 and told["waiting"] == 0
        act("assess", "run", *four)
        assert len(server.requests) == 24, "the run asks for nothing that shards had asked"
    kept = [lines(scratch(tmp_path, name) / "assessments.jsonl") for name in ("one", "four")]
    assert kept[0] == kept[1], "line by line, in the order of the questions"
    merged = pl.read_parquet(tmp_path / "all.parquet").drop("input_row", "as_of")
    assert merged.to_dicts() == [{name: line[name] for name in merged.columns} for line in kept[0]] and len(merged.columns) == 9
    spends = [read_spend(scratch(tmp_path, name) / "assessments.spend.jsonl") for name in ("one", "four")]
    assert (spends[0].requests, spends[0].prompt_tokens) == (spends[1].requests, spends[1].prompt_tokens)
    assert spends[0].cost == pytest.approx(spends[1].cost) and spends[0].cost > 0
    sizes = [len(pl.read_parquet(part)) for part in sorted((tmp_path / "out").glob("part-*.parquet"))]
    assert len(sizes) == 4 and sum(sizes) == 12


def test_a_limit_is_a_shard_s_and_a_later_call_pays_nothing_twice(monkeypatch, capsys, asking, tmp_path):
    with ChatServer(say) as server:
        words = ["assess", "run", *asking("runs", server), "--shard", "0/2", "--output", tmp_path / "out"]
        for limit, value in (("--max-requests", "2"), ("--max-cost", "0.000001"), ("--max-tokens", "1")):
            before = len(server.requests)
            code, out, err = typed(monkeypatch, capsys, *words, limit, value)
            assert (code, out) == (3, "") and f"the limit {limit[2:].replace('-', '_')} was reached" in err
            assert len(server.requests) - before == (2 if limit == "--max-requests" else 0)
        assert not list((tmp_path / "out").glob("*.parquet"))
        code, out, _ = typed(monkeypatch, capsys, *words, "--json")
        mine = json.loads(out)["rows"]
        assert code == 0 and len(server.requests) == mine > 2
        # The other shard has a budget of its own.
        code, _, _ = typed(monkeypatch, capsys, *words, "--shard", "1/2", "--max-requests", str(12 - mine))
        assert code == 0 and len(server.requests) == 12
        # Done again, a shard whose part was changed counts what it had cost.
        (tmp_path / "out" / "part-00001-of-00002.parquet").write_bytes(b"")
        code, _, err = typed(monkeypatch, capsys, *words, "--shard", "1/2", "--max-requests", str(12 - mine))
        assert code == 3 and len(server.requests) == 12, err


def test_answers_that_the_run_has_are_not_asked_for(monkeypatch, capsys, asking, tmp_path):
    with ChatServer(say) as server:
        words = asking("runs", server)
        assert typed(monkeypatch, capsys, "assess", "run", *words, "--max-requests", "5")[0] == 3
        for index in range(2):
            code, _, err = typed(monkeypatch, capsys, "assess", "run", *words, "--shard", f"{index}/2", "--output", tmp_path / "out")
            assert code == 0, err
        assert len(server.requests) == 12
        assert typed(monkeypatch, capsys, "assess", "take", *words, tmp_path / "out")[0] == 0
    assert read_spend(scratch(tmp_path, "runs") / "assessments.spend.jsonl").requests == 12
    assert len(lines(scratch(tmp_path, "runs") / "assessments.jsonl")) == 12


def test_questions_that_fail_are_rows_with_reasons_and_are_taken_in_as_such(monkeypatch, capsys, asking, tmp_path):
    refused = {2, 7}
    with ChatServer(say, fault=lambda count: "refusal" if count in refused else None) as server:
        words = asking("runs", server, retries=0, max_failed=0.6)
        codes = []
        for index in range(2):
            code, out, err = typed(monkeypatch, capsys, "assess", "run", *words, "--shard", f"{index}/2", "--output", tmp_path / "out")
            codes.append(code)
            assert code != 4 or ("rows of the shard failed" in err and "assess take" in err)
        assert 4 in codes and set(codes) <= {0, 4} and len(server.requests) == 12
        bad = pl.concat(pl.read_parquet(file) for file in (tmp_path / "out").glob("errors-*.parquet"))
        assert len(bad) == 2 and set(bad["outcome"]) == {"refused"} and bad["replies"].list.len().min() == 1
        told = json.loads(typed(monkeypatch, capsys, "assess", "take", *words, tmp_path / "out", "--json")[1])
        assert (told["answered"], told["waiting"], told["failed"]) == (10, 2, {"refused": 2})
        code, out, _ = typed(monkeypatch, capsys, "assess", "run", *words)
        assert code == 0 and len(server.requests) == 14 and out.startswith("12 of 12")


def test_folders_and_options_that_do_not_fit_are_refused(monkeypatch, capsys, asking, tmp_path):
    with ChatServer(say) as server:
        words = asking("runs", server)
        for more, told in (
            (["--shard", "0/2"], "needs a folder"),
            (["--output", tmp_path / "out", "--batch"], "--batch does not go with shards"),
            (["--output", tmp_path / "out", "--dry-run"], "--dry-run does not go with shards"),
            (["--output", tmp_path / "out", "--shard", "2/2"], "no such shard"),
        ):
            code, _, err = typed(monkeypatch, capsys, "assess", "run", *words, *more)
            assert code == 2 and told in err, err
        assert typed(monkeypatch, capsys, "assess", "run", *words, "--output", tmp_path / "out")[0] == 0
        code, _, err = typed(
            monkeypatch, capsys, "assess", "run", *words, "--set", "reranker.temperature=0.5", "--output", tmp_path / "out"
        )
        assert code == 2 and "another job" in err and "options temperature 0.5" in err
        code, _, err = typed(monkeypatch, capsys, "assess", "take", *words, "--set", "reranker.temperature=0.5", tmp_path / "out")
        assert code == 2 and "12 of 12 questions of these shards are none of the run's" in err
        assert len(server.requests) == 12
        (tmp_path / "out" / "part-00000-of-00001.json").unlink()
        code, _, err = typed(monkeypatch, capsys, "assess", "take", *words, tmp_path / "out")
        assert code == 1 and "the shards are not complete" in err
        code, _, err = typed(monkeypatch, capsys, "assess", "take", *words, tmp_path / "none")
        assert code == 2 and "there are no shards here" in err


def test_a_killed_shard_asks_only_what_was_not_answered(monkeypatch, capsys, asking, tmp_path):
    """SIGKILL while a call is in flight: that call alone is made again, and counts as spent."""
    with ChatServer(lambda body: time.sleep(0.1) or say(body)) as server:
        words = ["assess", "run", *asking("runs", server), "--output", str(tmp_path / "out")]
        child = subprocess.Popen(
            [sys.executable, "-m", "score_rag.cli", *words], env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE
        )
        until = time.monotonic() + 240
        while len(server.requests) < 4 and child.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        asked = len(server.requests)
        assert child.returncode == -signal.SIGKILL and 4 <= asked < 12
        assert not list((tmp_path / "out").glob("*.parquet"))
        code, out, err = typed(monkeypatch, capsys, *words, "--json")
        assert code == 0 and json.loads(out)["rows"] == 12, err
        assert 12 <= len(server.requests) <= 13
        spend = read_spend(tmp_path / "out" / "spend-00000-of-00001.jsonl")
        assert spend.requests == len(server.requests) and spend.unsettled == len(server.requests) - 12


@pytest.mark.slow
def test_the_reranker_is_trained_on_what_shards_brought(monkeypatch, capsys, fresh, tmp_path):
    with ChatServer(say) as server:
        setting = [word for name, value in changes(server, pairs=24).items() for word in ("--set", f"{name}={value}")]
        for index in range(3):
            words = ["assess", "run", fresh.path, *setting, "--shard", f"{index}/3", "--output", tmp_path / "out"]
            assert typed(monkeypatch, capsys, *words)[0] == 0
        assert typed(monkeypatch, capsys, "assess", "take", fresh.path, *setting, tmp_path / "out")[0] == 0
        asked = len(server.requests)
        code, _, err = typed(monkeypatch, capsys, "run", fresh.path, *setting, "--until", "reranker")
        assert code == 0 and len(server.requests) == asked, err
    found = lines(tmp_path / "runs" / "toy" / "reranker" / "assessments.jsonl")
    assert len(found) == asked and {one["model"] for one in found} == {"openai/gpt-4o-mini"}
