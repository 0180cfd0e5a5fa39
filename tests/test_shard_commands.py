"""`score-rag score` and `embed` in shards: the values of the library, statuses, kills, schedulers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from test_cli import typed

from score_rag.errors import DataError
from score_rag.pipeline.run import Run
from score_rag.shards import EmbedJob, ScoreJob, Shard, check_shards, merge_shards, run_shard
from score_rag.shards.source import find_source

ROOT = Path(__file__).resolve().parent.parent


EXAMPLES = ROOT / "examples" / "shards"


def candidates(toy, path: Path, *, as_of: bool = True) -> pl.DataFrame:
    """Four candidates of each user, in no order; half of the users are asked about in the past."""
    items = sorted(toy.catalogue)
    rows = [(user, items[(int(user) * 5 + n * 7) % len(items)], n) for n in range(4) for user in toy.log.users]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "label"], orient="row")
    times = [toy.log.of(user)[9].timestamp if int(user) % 2 else None for user in frame["user_id"]]
    frame = frame.with_columns(as_of=pl.Series(times, dtype=pl.Int64)) if as_of else frame
    frame.write_parquet(path)
    return frame


def test_scores_are_those_of_the_recommender_whatever_the_shards(toy, toy_run, tmp_path):
    from score_rag.recommend.recommender import Recommender

    frame = candidates(toy, tmp_path / "in.parquet")
    run = Run.open(toy_run)
    for shards in (1, 4):
        for index in range(shards):
            job = ScoreJob(run, find_source(tmp_path / "in.parquet"))
            run_shard(job, Shard(index, shards), tmp_path / str(shards), batch_rows=8)
        merge_shards(tmp_path / str(shards), tmp_path / f"{shards}.parquet")
    one, four = (pl.read_parquet(tmp_path / f"{shards}.parquet") for shards in (1, 4))
    assert one.equals(four), "to the last bit: a batch is the same rows, whoever has it"
    assert one.select("user_id", "item_id", "label", "as_of").equals(frame.select("user_id", "item_id", "label", "as_of"))
    recommender = Recommender(run)
    for row in one.sample(6, seed=1).iter_rows(named=True):
        told = recommender.recommend(row["user_id"], row["item_id"], as_of=row["as_of"])
        assert (row["probability"], row["mass"]) == pytest.approx((told.probability, told.mass), abs=1e-6)
        assert row["ordered_by"] == run.guard.route
    parts = [pl.read_parquet(part)["user_id"].unique().to_list() for part in sorted((tmp_path / "4").glob("part-*.parquet"))]
    assert all(parts) and sum(map(len, parts)) == len(toy.log)


def test_rows_that_fail_have_an_exit_status_of_their_own(monkeypatch, capsys, toy, toy_run, toy_pipeline, tmp_path):
    rows = [("0", "1"), ("nobody", "1"), ("0", "nothing"), ("1", "2"), (None, "2")]
    pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row").write_parquet(tmp_path / "in.parquet")
    words = ["score", toy_pipeline, "--input", tmp_path / "in.parquet", "--output", tmp_path / "out", "--quick"]
    code, out, err = typed(monkeypatch, capsys, *words, "--json")
    assert code == 4 and json.loads(out) == {
        "shard": "0/1", "rows": 5, "failed": 3, "skipped": False,
        "part": str(tmp_path / "out" / "part-00000-of-00001.parquet"),
        "errors": str(tmp_path / "out" / "errors-00000-of-00001.parquet"),
    }  # fmt: skip
    assert "3 of 5 rows of the shard failed" in err and "row 1: there is no user 'nobody'" in err
    code, out, _ = typed(monkeypatch, capsys, *words)
    assert code == 4 and "done before" in out
    code, out, err = typed(
        monkeypatch, capsys, "shards", "merge", tmp_path / "out", "--output", tmp_path / "all.parquet", "--errors", tmp_path / "bad.parquet"
    )
    assert code == 4 and "3 failed" in out and "3 of 5 rows failed" in err
    assert pl.read_parquet(tmp_path / "all.parquet")["input_row"].to_list() == [0, 3]
    bad = pl.read_parquet(tmp_path / "bad.parquet")
    assert bad["input_row"].to_list() == [1, 2, 4] and bad["reason"][2] == "user_id is missing" and "nothing" in bad["reason"][1]
    code, _, err = typed(monkeypatch, capsys, *words, "--set", "reranker.top_n=1")
    assert code == 2 and "another job" in err and "settings reranker.top_n 1" in err
    code, out, _ = typed(monkeypatch, capsys, "shards", "check", tmp_path / "out", "--json")
    assert code == 0 and json.loads(out)["ok"]
    (tmp_path / "out" / "part-00000-of-00001.parquet").unlink()
    code, out, _ = typed(monkeypatch, capsys, "shards", "check", tmp_path / "out")
    assert code == 1 and "is missing" in out and "5 rows not done yet" in out


def test_vectors_are_the_encoder_s(toy_run, tmp_path):
    run = Run.open(toy_run)
    documents = run.folder("documents") / "documents.parquet"
    for shards, dtype in ((1, "float32"), (3, "float32"), (2, "bfloat16")):
        for index in range(shards):
            run_shard(EmbedJob(run, find_source(documents), dtype=dtype), Shard(index, shards), tmp_path / f"{shards}", batch_rows=16)
        merge_shards(tmp_path / f"{shards}", tmp_path / f"{shards}.parquet")
    one, three, half = (pl.read_parquet(tmp_path / f"{shards}.parquet") for shards in (1, 3, 2))
    given = pl.read_parquet(documents)
    expected = run.encoder.encode(given["text"].to_list())
    assert one.equals(three) and one["document_id"].equals(given["document_id"]) and "text" not in one.columns
    assert one.schema["vector"] == pl.Array(pl.Float32, 384) and half.schema["vector"] == pl.Array(pl.UInt16, 384)
    assert np.abs(one["vector"].to_numpy() - expected).max() < 1e-6
    back = (half["vector"].to_numpy().astype(np.uint32) << 16).view(np.float32)
    assert (np.abs(back - one["vector"].to_numpy()) <= np.abs(back) * 2**-8).all()


def test_texts_of_another_source_are_embedded_and_empty_ones_fail(toy_run, tmp_path):
    pl.DataFrame({"id": [5, 7, None], "text": ["Likes Heat.", " ", "x"], "more": [1, 2, 3]}).write_parquet(tmp_path / "in.parquet")
    run = Run.open(toy_run)
    found = run_shard(EmbedJob(run, find_source(tmp_path / "in.parquet")), Shard(0, 1), tmp_path / "out")
    part, bad = pl.read_parquet(found.part), pl.read_parquet(found.errors)
    assert part["id"].to_list() == [5] and part.columns == ["input_row", "id", "more", "vector"] and found.failed == 2
    assert bad["reason"].to_list() == ["the text is empty", "id is missing"]
    with pytest.raises(DataError, match="columns are missing"):
        EmbedJob(run, find_source(tmp_path / "in.parquet"), id="name")


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "score_rag.cli", *map(str, words)]


def test_a_killed_command_goes_on(toy, toy_run, toy_pipeline, tmp_path):
    """SIGKILL in the middle of the work."""
    candidates(toy, tmp_path / "in.parquet")
    run = Run.open(toy_run)
    run_shard(ScoreJob(run, find_source(tmp_path / "in.parquet")), Shard(0, 1), tmp_path / "whole", batch_rows=4)
    words = command("score", toy_pipeline, "--input", tmp_path / "in.parquet", "--output", tmp_path / "out", "--batch-rows", 4)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "")}
    environment = {name: value for name, value in environment.items() if value}
    child = subprocess.Popen([*words, "--checkpoint", "0"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until = time.monotonic() + 120
    while not list((tmp_path / "out").glob(".part-*/good-*.parquet")) and child.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    _, err = child.communicate()
    assert child.returncode == -signal.SIGKILL, err
    found = check_shards(tmp_path / "out")
    assert found.faults == {"0/1": "not done"} and not list((tmp_path / "out").glob("*.parquet"))
    kept = len(list((tmp_path / "out").glob(".part-*/good-*.parquet")))
    assert kept
    told = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    part = "part-00000-of-00001.parquet"
    assert pl.read_parquet(tmp_path / "out" / part).equals(pl.read_parquet(tmp_path / "whole" / part))
    assert check_shards(tmp_path / "out").ok and not list((tmp_path / "out").glob(".part-*"))


def test_make_drives_the_shards(toy, toy_run, toy_pipeline, tmp_path):
    candidates(toy, tmp_path / "in.parquet", as_of=False)
    words = ["make", "-j", "2", "-f", EXAMPLES / "Makefile", f"PIPELINE={toy_pipeline}", f"INPUT={tmp_path / 'in.parquet'}", "N=2"]
    words += [f"OUTPUT={tmp_path / 'scores'}", f"SCORE_RAG={sys.executable} -m score_rag.cli", "OPTIONS=--quick --batch-rows 8"]
    told = subprocess.run(list(map(str, words)), capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd=tmp_path)
    assert told.returncode == 0, told.stdout + told.stderr
    assert len(pl.read_parquet(tmp_path / "scores.parquet")) == 4 * len(toy.log) and "2 of 2 shards" in told.stdout


def test_the_schedulers_files_say_the_command_as_it_is(monkeypatch, capsys):
    text = (EXAMPLES / "slurm.sh").read_text(encoding="utf-8")
    told = {}
    for task, more in (("3", ()), ("7", ("64",))):
        env = os.environ | {"SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_TASK_MAX": task}
        words = [
            "bash",
            "-c",
            f'score-rag() {{ echo "$@"; }}; export -f score-rag; bash {EXAMPLES / "slurm.sh"} sample in out {" ".join(more)}',
        ]
        told[task] = subprocess.run(words, env=env, capture_output=True, text=True, check=True).stdout
    assert "--shard 3/16" in told["3"] and "--shard 7/64" in told["7"], "one task that is tried again is of the same job"
    job = yaml.safe_load((EXAMPLES / "kubernetes.yaml").read_text(encoding="utf-8"))["spec"]
    (line,) = job["template"]["spec"]["containers"][0]["args"]
    assert f'/{job["completions"]}" || [ $? -eq 4 ]' in line and job["completionMode"] == "Indexed"
    code, out, _ = typed(monkeypatch, capsys, "score", "--help")
    assert code == 0 and all(option in out for option in ("--input", "--output", "--shard"))
    for said in (text, line):
        assert "score-rag score " in said and "--input" in said and "--output" in said and "--shard" in said
