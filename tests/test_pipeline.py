"""The runner with stages of its own: skipped, stale (and why), refused, killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from score_rag.config import load_pipeline
from score_rag.errors import InputError, LockedError, StageError
from score_rag.files import folder_lock, read_json
from score_rag.pipeline import Stage, finished_folder, run, status


def make(calls, inputs=None, prompts=()):
    """data → crm → retriever, each writing down what it was made from."""

    def work(name):
        def stage(context, folder):
            calls.append(name)
            (folder / "out.txt").write_text(f"{name} {context.pipeline.crm.dim if name == 'crm' else context.seed}")
            return {"done": 1}

        return stage

    return [
        Stage("data", run=work("data"), inputs=inputs),
        Stage("crm", run=work("crm"), needs=("data",)),
        Stage("retriever", run=work("retriever"), needs=("crm",), prompts=prompts),
    ]


def pipeline_at(tmp_path, *overrides):
    return load_pipeline("sample", overrides=[f"runs={tmp_path / 'runs'}", *overrides])


def test_unchanged_stages_are_skipped_and_changed_ones_take_those_after_them_along(tmp_path):
    calls = []
    stages = make(calls)
    pipeline = pipeline_at(tmp_path)
    assert [s.action for s in run(pipeline, stages)] == ["ran"] * 3
    assert [s.action for s in run(pipeline, stages)] == ["skipped"] * 3 and len(calls) == 3
    changed = pipeline_at(tmp_path, "crm.dim=8")
    found = status(changed, stages)
    assert [s.state for s in found] == ["finished", "stale", "stale"]
    assert found[1].reason == "crm.dim: 48 → 8" and found[2].reason == "crm is not up to date"
    assert [s.action for s in run(changed, stages)] == ["skipped", "ran", "ran"]
    assert [s.action for s in run(pipeline_at(tmp_path, "crm.dim=8", "predictor.epochs=9"), stages)] == ["skipped"] * 3


def test_a_stage_made_again_with_the_same_result_makes_nothing_stale(tmp_path):
    calls = []
    stages = make(calls)
    pipeline = pipeline_at(tmp_path)
    run(pipeline, stages)
    run(pipeline, stages, only="crm", force=True)
    assert [s.state for s in status(pipeline, stages)] == ["finished"] * 3


def test_a_changed_seed_input_file_prompt_or_output_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "ratings.csv"
    file.write_text("1")
    stages = make([], inputs=lambda pipeline: [file], prompts=("predict",))
    pipeline = pipeline_at(tmp_path)
    run(pipeline, stages)
    assert "seed: 17 → 18" in status(pipeline_at(tmp_path, "seed=18"), stages)[0].reason
    file.write_text("2")
    assert status(pipeline, stages)[0].reason == "input file ratings.csv changed"
    file.write_text("1")
    from score_rag.prompts import find_prompt

    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "predict.md").write_text(find_prompt("predict").path.read_text() + "!")
    assert status(pipeline, stages)[2].reason == "prompt predict changed"
    (tmp_path / "prompts" / "predict.md").unlink()
    (tmp_path / "runs" / "sample" / "crm" / "out.txt").unlink()
    assert status(pipeline, stages)[1].reason == "output file out.txt is missing"
    run(pipeline, stages)
    where = read_json(finished_folder(pipeline, "retriever") / "finished.json")["prompts"]
    assert where["predict"].endswith("predict.md")


def test_one_stage_alone_needs_its_inputs(tmp_path):
    stages = make([])
    pipeline = pipeline_at(tmp_path)
    with pytest.raises(StageError, match="needs 'data', which is missing"):
        run(pipeline, stages, only="crm")
    with pytest.raises(InputError, match="did you mean 'retriever'"):
        run(pipeline, stages, until="retreiver")
    assert [s.name for s in run(pipeline, stages, until="crm")] == ["data", "crm"]
    with pytest.raises(StageError, match="not finished"):
        finished_folder(pipeline, "retriever")


def test_a_dry_run_tells_and_changes_nothing(tmp_path):
    stages = make([])
    pipeline = pipeline_at(tmp_path)
    assert [s.action for s in run(pipeline, stages, dry_run=True)] == ["would run"] * 3
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").rglob("out.txt"))


def test_a_failing_stage_leaves_the_earlier_result(tmp_path):
    stages = make([])
    pipeline = pipeline_at(tmp_path)
    run(pipeline, stages)

    def fail(context, folder):
        (folder / "half").write_text("half")
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError):
        run(pipeline, [stages[0], Stage("crm", run=fail, needs=("data",)), stages[2]], force=True)
    folder = tmp_path / "runs" / "sample" / "crm"
    assert [path.name for path in sorted(folder.iterdir())] == ["finished.json", "out.txt"]
    assert not list((tmp_path / "runs" / "sample").glob(".crm*"))


def test_two_writers_of_one_run_are_refused(tmp_path):
    pipeline = pipeline_at(tmp_path)
    with folder_lock(tmp_path / "runs" / "sample", doing="score-rag run sample"), pytest.raises(LockedError, match="another process"):
        run(pipeline, make([]))


def test_killed_at_any_moment_it_resumes_to_the_same_result(toy_pipeline, tmp_path):
    """SIGKILL the real program again and again at growing delays; the end is the uninterrupted run's, byte for byte."""
    command = [sys.executable, "-m", "score_rag.cli", "run", str(toy_pipeline), "--until", "documents", "--set"]
    whole, broken = f"runs={tmp_path / 'whole'}", f"runs={tmp_path / 'broken'}"
    subprocess.run([*command, whole], check=True, capture_output=True)
    kills = 0
    for delay in (0.3, 1.0, 2.0, 2.6, 3.2):
        process = subprocess.Popen([*command, broken], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills >= 1
    subprocess.run([*command, broken], check=True, capture_output=True)
    for stage in ("data", "crm", "documents"):
        contents = [read_json(tmp_path / name / "toy" / stage / "finished.json")["content"] for name in ("whole", "broken")]
        assert contents[0] == contents[1], stage
    assert not list((tmp_path / "broken" / "toy").glob(".*.tmp"))
