"""The runner with stages of its own: skipped, stale (and why), refused, killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from score_rag.cli.remedies import advice
from score_rag.errors import DataError, InputError, LockedError, ModelError, StageError
from score_rag.files import folder_lock, read_json
from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.runner import run
from score_rag.pipeline.stage import Stage, StageContext
from score_rag.pipeline.state import finished_folder, status
from score_rag.prompts import find_prompt


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
    assert not (tmp_path / "runs").exists()


def test_what_is_missing_is_told_before_anything_runs(tmp_path):
    calls = []
    stages = make(calls, prompts=("nosuch",))
    with pytest.raises(InputError, match="no prompt 'nosuch'"):
        run(pipeline_at(tmp_path), stages)
    good = make(calls)

    def refuse(pipeline):
        raise ModelError("the model is not there")

    last = Stage("retriever", run=good[2].run, needs=("crm",), check=refuse)
    with pytest.raises(ModelError, match="not there"):
        run(pipeline_at(tmp_path), [*good[:2], last])
    assert calls == [] and not list((tmp_path / "runs").rglob("*.txt"))


def test_a_base_or_encoder_that_is_not_there_is_told_at_once(toy_pipeline, tmp_path):
    from score_rag.pipeline.stages import stages

    for setting in ("retriever.encoder", "reranker.encoder", "predictor.base"):
        pipeline = load_pipeline(str(toy_pipeline), overrides=[f"{setting}=nobody/nothing", f"runs={tmp_path}"])
        with pytest.raises(ModelError, match="nobody/nothing") as caught:
            run(pipeline, stages(pipeline))
        assert f"{setting}=bundled" in str(caught.value)
    assert not (tmp_path / "toy" / "data").exists()


@pytest.mark.parametrize("content", ["{}", "[]", "null", "{", '{"key": 1}'])
def test_a_finished_file_of_another_form_means_that_the_stage_is_made_again(tmp_path, content):
    stages = make([])
    pipeline = pipeline_at(tmp_path)
    run(pipeline, stages)
    (tmp_path / "runs" / "sample" / "crm" / "finished.json").write_text(content)
    found = status(pipeline, stages)
    assert (found[1].state, found[1].reason) == ("missing", "its finished.json is of another form") and found[2].state == "stale"
    assert [s.action for s in run(pipeline, stages)] == ["skipped", "ran", "skipped"]


def test_a_runs_folder_that_cannot_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", "/proc/nowhere"):
        with pytest.raises(DataError, match="cannot be written to"):
            run(load_pipeline("sample", overrides=[f"runs={place}"]), make([]))


def test_a_run_records_the_pipeline_file_and_hints_repeat_what_was_typed(tmp_path):
    from score_rag.files import digest_file

    pipeline = pipeline_at(tmp_path, "crm.dim=8")
    run(pipeline, make([]), until="data")
    used = read_json(finished_folder(pipeline, "data") / "finished.json")["pipeline"]
    assert used == {"path": str(pipeline.path), "sha256": digest_file(pipeline.path)}
    with pytest.raises(StageError) as caught:
        finished_folder(pipeline, "crm")
    assert advice(caught.value) == f"score-rag run sample --set runs={tmp_path / 'runs'} --set crm.dim=8"


def test_bytes_of_a_cache_are_no_part_of_what_a_stage_is(tmp_path):
    def work(context, folder):
        (folder / "store").mkdir()
        (folder / "store" / "noise").write_text(str(time.time_ns()))
        (folder / "out.txt").write_text("same")
        return {}

    stages = [Stage("data", run=work, caches=("store",)), Stage("crm", run=make([])[1].run, needs=("data",))]
    pipeline = pipeline_at(tmp_path)
    run(pipeline, stages)
    run(pipeline, stages, only="data", force=True)
    assert status(pipeline, stages)[1].state == "finished"


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
    for delay in (0.5, 1.5, 2.5):
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


def test_a_run_of_another_version_is_refused_with_the_command_to_type_and_made_again(tmp_path):
    stages = make([])
    pipeline = pipeline_at(tmp_path)
    run(pipeline, stages)
    for name, key in (("crm", {"format": 1, "settings": {"crm": {"dim": 48}}}), ("retriever", {"format": 1})):
        file = tmp_path / "runs" / "sample" / name / "finished.json"
        file.write_text(json.dumps({**read_json(file), "key": key}))
    found = status(pipeline, stages)
    assert [stage.state for stage in found] == ["finished", "missing", "missing"]
    assert found[1].reason == "it was made by another version of score-rag (format 1, this one has 3)"
    with pytest.raises(StageError, match="made by another version") as caught:
        finished_folder(pipeline, "crm")
    assert advice(caught.value) == f"score-rag run sample --set runs={tmp_path / 'runs'}"
    assert [stage.action for stage in run(pipeline, stages)] == ["skipped", "ran", "ran"]
    assert finished_folder(pipeline, "crm").is_dir()


def test_a_finished_training_leaves_its_logs_and_no_checkpoint(tmp_path):
    context = StageContext(pipeline_at(tmp_path), lambda name: tmp_path, find_prompt, tmp_path / "runs" / "sample" / "scratch")
    for name in ("base", "adapter"):
        (context.scratch / "predictor" / name / "runs" / "one").mkdir(parents=True)
        (context.scratch / "predictor" / name / "runs" / "one" / "events").write_text(name)
        (context.scratch / "predictor" / name / "checkpoint-2").mkdir()
    context.end_training(context.scratch / "predictor")
    assert not (context.scratch / "predictor").exists() and context.scratch.is_dir()
    logs = tmp_path / "runs" / "sample" / "logs" / "predictor"
    assert {name: (logs / name / "one" / "events").read_text() for name in ("base", "adapter")} == {"base": "base", "adapter": "adapter"}
    context.end_training(context.scratch / "predictor")
