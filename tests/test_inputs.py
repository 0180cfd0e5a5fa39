"""Files from outside: a change is noticed by size and time first, by content where these differ, and named in the same words everywhere."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from score_rag.cli.recommend import staleness
from score_rag.cli.status import stage_states
from score_rag.files import digest_file, read_json
from score_rag.pipeline import inputs
from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.inputs import input_digests, record_inputs
from score_rag.pipeline.runner import run
from score_rag.pipeline.stage import Stage
from score_rag.pipeline.state import run_folder, status


@pytest.fixture
def ratings(tmp_path):
    """A file of some age."""
    file = tmp_path / "ratings.csv"
    file.write_text("1")
    os.utime(file, (1_000_000_000, 1_000_000_000))
    return file


@pytest.fixture
def read(monkeypatch):
    """Which files were read for their digest."""
    files = []
    monkeypatch.setattr(inputs, "digest_file", lambda file: files.append(Path(file).name) or digest_file(file))
    return files


def test_a_file_of_the_same_size_and_time_is_not_read_and_any_other_is(ratings, read):
    records = record_inputs([ratings])
    assert records == {
        "ratings.csv": {"path": str(ratings), "size": 1, "mtime_ns": 10**18, "sha256": digest_file(ratings)},
    }
    read.clear()
    assert input_digests([ratings], records) == {"ratings.csv": digest_file(ratings)} and read == []
    os.utime(ratings)
    assert input_digests([ratings], records) == {"ratings.csv": digest_file(ratings)} and read == ["ratings.csv"], "touched, not changed"
    ratings.write_text("22")
    os.utime(ratings, (1_000_000_000, 1_000_000_000))
    assert input_digests([ratings], records) == {"ratings.csv": digest_file(ratings)} and len(read) == 2, "of another size"
    assert input_digests([ratings]) == {"ratings.csv": digest_file(ratings)} and len(read) == 3, "nothing is known of it"


def test_the_time_of_a_file_that_has_only_just_changed_proves_nothing(ratings, read):
    now = time.time_ns()
    os.utime(ratings, ns=(now, now))
    records = record_inputs([ratings])
    ratings.write_text("2")
    os.utime(ratings, ns=(now, now))
    assert records["ratings.csv"]["mtime_ns"] is None
    assert input_digests([ratings], records) != {"ratings.csv": records["ratings.csv"]["sha256"]}


def test_two_files_of_one_name_are_told_apart(tmp_path, ratings):
    (tmp_path / "more").mkdir()
    other = tmp_path / "more" / "ratings.csv"
    other.write_text("2")
    assert list(record_inputs([ratings, other])) == list(input_digests([ratings, other])) == ["0:ratings.csv", "1:ratings.csv"]


def test_status_reads_an_input_only_where_its_size_or_time_differ_and_a_run_always(tmp_path, ratings, read):
    pipeline = load_pipeline("sample", overrides=[f"runs={tmp_path / 'runs'}"])
    stages = [Stage("data", run=lambda context, folder: {}, inputs=lambda pipeline: [ratings])]
    run(pipeline, stages)
    kept = read_json(run_folder(pipeline) / "data" / "finished.json")["inputs"]["ratings.csv"]
    assert kept["path"] == str(ratings) and kept["size"] == 1 and kept["sha256"] == digest_file(ratings)
    assert read == ["ratings.csv"], "once for the record and the key together"
    assert status(pipeline, stages)[0].state == "finished" and len(read) == 1
    ratings.write_text("2")
    assert status(pipeline, stages)[0].reason == "input file ratings.csv changed" and len(read) == 2
    os.utime(ratings, (1_000_000_000, 1_000_000_000))
    assert status(pipeline, stages)[0].state == "finished", "size and time are trusted here"
    assert [stage.action for stage in run(pipeline, stages, dry_run=True)] == ["would run"], "and not here"
    assert [stage.action for stage in run(pipeline, stages)] == ["ran"]


def test_recommend_and_status_name_changed_data_in_the_same_words(toy_run, toy_pipeline, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(toy_run.data.path, data)
    override = f"data.path={data}"
    pipeline = load_pipeline(str(toy_pipeline), overrides=[override])
    assert staleness(pipeline) == "", "the same files elsewhere are the same data"
    with (data / "interactions.csv").open("a") as file:
        file.write("0,1,1,1000000000,train\n")
    said = staleness(pipeline)
    found = stage_states(str(toy_pipeline), [override])[0]
    assert (found.state, found.reason) == ("stale", "input file interactions.csv changed")
    assert f"({found.reason})" in said and "score-rag index build" in said and "score-rag run" in said
