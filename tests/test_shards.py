"""Work in shards: the same numbers however many there are, every row once, nothing that looks whole before it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_killed import killed_everywhere

from score_rag.errors import DataError, InputError, LockedError
from score_rag.files import folder_lock
from score_rag.shards import EmbedJob, Job, ScoreJob, Shard, check_shards, merge_shards, run_shard
from score_rag.shards.job import Answers
from score_rag.shards.shard import batch_of, shard_of
from score_rag.shards.source import find_source


class Lengths(Job):
    """A job that costs nothing: how long each name is."""

    name = doing = "lengths"
    group, key = "user_id", ("user_id", "name")

    def __init__(self, source) -> None:
        super().__init__(SimpleNamespace(pipeline=SimpleNamespace(words="none")), source)
        self.asked: list[list[int]] = []

    @property
    def makes(self):
        return {"length": pl.Int64()}

    def facts(self):
        return {"job": self.name, "input": {"sha256": self.source.digest, "rows": self.source.rows}}

    def answer(self, rows):
        self.asked.append(rows["input_row"].to_list())
        failed = {place: "no name" for place, name in enumerate(rows["name"]) if name == ""}
        return Answers({"length": rows["name"].filter(rows["name"] != "").str.len_chars().cast(pl.Int64)}, failed)


@pytest.fixture
def names(tmp_path) -> Path:
    """100 rows of 25 users in two files, five of them without a name."""
    rows = pl.DataFrame({"user_id": [n * 7 % 25 for n in range(100)], "name": ["" if n % 20 == 3 else "x" * (n + 1) for n in range(100)]})
    folder = tmp_path / "names"
    folder.mkdir()
    rows[:60].write_parquet(folder / "a.parquet")
    rows[60:].write_parquet(folder / "b.parquet")
    return folder


def done(folder: Path, output: Path, shards: int, *, batch_rows: int = 5, **options) -> list[Lengths]:
    jobs = [Lengths(find_source(folder)) for _ in range(shards)]
    for index, job in enumerate(jobs):
        run_shard(job, Shard(index, shards), output, batch_rows=batch_rows, **options)
    return jobs


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def results(folder: Path) -> dict[str, bytes]:
    """But for the records, which tell how long it took, and what was never moved into place."""
    return {name: content for name, content in files(folder).items() if name.endswith(".parquet") and not name.startswith(".")}


@pytest.mark.parametrize("text", ["3", "4/4", "-1/4", "a/b", "1/0", "0/1000000", "1/2/3"])
def test_a_shard_that_is_none_is_refused(text):
    with pytest.raises(InputError, match="no such shard"):
        Shard.parse(text)


@given(st.lists(st.text(max_size=8), unique=True, max_size=40), st.integers(1, 60), st.integers(1, 12))
def test_every_group_has_one_batch_and_every_batch_one_shard(groups, batches, shards):
    numbers = batch_of(groups, batches)
    assert ((numbers >= 0) & (numbers < batches)).all() and numbers.tolist() == [int(batch_of([one], batches)[0]) for one in groups]
    every = shard_of(np.arange(batches), batches, shards)
    sizes = np.bincount(every, minlength=shards)
    assert (np.diff(every) >= 0).all() and len(sizes) == shards and sizes.max() - sizes.min() <= 1


def test_rows_are_the_input_s_in_its_order_however_many_shards_there_are(names, tmp_path):
    given = pl.concat([pl.read_parquet(names / name) for name in ("a.parquet", "b.parquet")]).with_row_index("input_row")
    merged = []
    for shards in (1, 4, 60):
        jobs = done(names, tmp_path / str(shards), shards, checkpoint=0)
        # A batch is the same rows in the same order, whoever has it.
        assert sorted(rows for job in jobs for rows in job.asked) == sorted(done(names, tmp_path / f"again-{shards}", 1)[0].asked)
        found = merge_shards(tmp_path / str(shards), tmp_path / f"{shards}.parquet", errors=tmp_path / f"bad-{shards}.parquet")
        assert found.ok and (found.rows, found.failed, found.shards) == (100, 5, shards)
        merged.append([pl.read_parquet(tmp_path / f"{kind}{shards}.parquet") for kind in ("", "bad-")])
        users = [set(pl.read_parquet(part)["user_id"]) for part in (tmp_path / str(shards)).glob("part-*.parquet")]
        assert sum(map(len, users)) == 25, "a user's rows stay together"
    for good, bad in merged:
        assert good.equals(merged[0][0]) and bad.equals(merged[0][1])
        assert good["length"].to_list() == [n + 1 for n in range(100) if n % 20 != 3]
        assert good.drop("length").equals(given.filter(pl.col("name") != "").cast({"input_row": pl.Int64}))
        assert bad["input_row"].to_list() == [3, 23, 43, 63, 83] and set(bad["reason"]) == {"no name"}


def test_a_finished_shard_is_skipped_and_a_changed_one_done_again(names, tmp_path):
    output = tmp_path / "out"
    done(names, output, 2)
    before = files(output)
    assert all(job.asked == [] for job in done(names, output, 2)) and files(output) == before
    part = output / "part-00001-of-00002.parquet"
    part.write_bytes(part.read_bytes()[:-1])
    assert check_shards(output).faults == {"1/2": "part-00001-of-00002.parquet was changed"}
    with pytest.raises(DataError, match="not complete"):
        merge_shards(output, tmp_path / "all.parquet")
    assert not (tmp_path / "all.parquet").exists()
    jobs = done(names, output, 2)
    assert not jobs[0].asked and jobs[1].asked and results(output) == {name: one for name, one in before.items() if "json" not in name}


def test_a_check_counts_rows_and_shards_that_are_missing_or_twice(names, tmp_path):
    output = tmp_path / "out"
    done(names, output, 3)
    assert check_shards(output).ok
    mine = (
        len(pl.read_parquet(output / "part-00002-of-00003.parquet"))
        + json.loads((output / "part-00002-of-00003.json").read_text())["failed"]
    )
    (output / "part-00002-of-00003.json").unlink()
    found = check_shards(output)
    assert not found.ok and found.faults == {"2/3": "not done"} and found.missing == mine
    # Shard 1 in the place of shard 0, record and all.
    record = json.loads((output / "part-00001-of-00003.json").read_text())
    for name in list(record["files"]):
        shutil.copy(output / name, output / name.replace("00001-of", "00000-of"))
    record["shard"] = "0/3"
    record["files"] = {name.replace("00001-of", "00000-of"): facts for name, facts in record["files"].items()}
    (output / "part-00000-of-00003.json").write_text(json.dumps(record))
    found = check_shards(output)
    assert found.twice == record["rows"] and found.done == 2 and not found.ok
    with pytest.raises(InputError, match="no shards here"):
        check_shards(tmp_path)


def test_another_job_s_folder_is_refused(names, tmp_path):
    output = tmp_path / "out"
    done(names, output, 2)
    before = files(output)
    with pytest.raises(InputError, match="another job") as refused:
        done(names, output, 3)
    assert refused.value.expected == "shards 2" and refused.value.found == "shards 3"
    pl.DataFrame({"user_id": [1], "name": ["new"]}).write_parquet(names / "c.parquet")
    with pytest.raises(InputError, match="another job") as refused:
        done(names, output, 2)
    assert "input rows 101" in refused.value.found and files(output) == before
    text = (output / "manifest.json").read_text()
    (output / "manifest.json").write_text(text.replace('"rows": 100', '"rows": 99'))
    with pytest.raises(DataError, match="was changed"):
        check_shards(output)
    with pytest.raises(InputError, match="no manifest"):
        done(names, names, 1)


def test_two_processes_do_not_work_on_one_shard(names, tmp_path):
    class Stops(Lengths):
        def answer(self, rows):
            raise DataError("stopped")

    with pytest.raises(DataError, match="stopped"):
        run_shard(Stops(find_source(names)), Shard(0, 1), tmp_path / "out", batch_rows=5)
    (scratch,) = (folder for folder in (tmp_path / "out").iterdir() if folder.is_dir())
    with folder_lock(scratch, doing="another call"), pytest.raises(LockedError):
        done(names, tmp_path / "out", 1)
    assert done(names, tmp_path / "out", 1)[0].asked


def test_ids_are_unique_or_nothing_is_asked(names, tmp_path, monkeypatch):
    pl.DataFrame({"user_id": [0, 0], "name": ["x" * 26, "new"]}).write_parquet(names / "c.parquet")
    job = Lengths(find_source(names))
    # Whichever shard begins says it, and the folder is nobody's yet.
    for shard in range(3):
        with pytest.raises(DataError, match="1 ids of the input") as refused:
            run_shard(job, Shard(shard, 3), tmp_path / "out", batch_rows=5)
        assert "rows 25, 100" in refused.value.found and job.asked == [] and not (tmp_path / "out").exists()
    monkeypatch.setattr("score_rag.shards.work._CHECKED_WHOLE", 100)
    with pytest.raises(DataError, match="1 ids of this shard") as refused:
        run_shard(job, Shard(0, 1), tmp_path / "out", batch_rows=5)
    assert "rows 25, 100" in refused.value.found and job.asked == [] and "another folder" in refused.value.hint
    assert not list((tmp_path / "out").glob("*.parquet"))


def test_inputs_that_are_none_say_why(tmp_path):
    with pytest.raises(InputError, match="there is no input"):
        find_source(tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match="no Parquet file"):
        find_source(tmp_path)
    pl.DataFrame({"user_id": [1.5], "text": ["a"]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="neither texts nor whole numbers"):
        EmbedJob(None, find_source(tmp_path))
    with pytest.raises(DataError, match="columns are missing") as refused:
        ScoreJob(None, find_source(tmp_path))
    assert refused.value.expected == "item_id"
    pl.DataFrame({"user_id": [1], "text": ["a"]}).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(DataError, match="unlike columns"):
        find_source(tmp_path)
    pl.DataFrame({"user_id": [1], "item_id": [2], "mass": [0.5]}).write_parquet(tmp_path / "c.parquet")
    with pytest.raises(DataError, match="would write"):
        ScoreJob(None, find_source(tmp_path / "c.parquet"))


@pytest.mark.parametrize(
    ("batch_rows", "least", "least_resumed"), [(34, 30, 5), pytest.param(5, 100, 50, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_a_kill_at_any_moment_leaves_nothing_that_looks_whole(names, tmp_path, monkeypatch, batch_rows, least, least_resumed):
    """Killed before each call of the file system in turn; the same call then ends as if nothing had been."""
    output, whole = tmp_path / "out", tmp_path / "whole"
    done(names, whole, 1, checkpoint=0, batch_rows=batch_rows)
    expected = results(whole)

    def act() -> None:
        done(names, output, 1, checkpoint=0, batch_rows=batch_rows)

    moments = resumed = 0
    total = len(done(names, tmp_path / "count", 1, batch_rows=batch_rows)[0].asked)
    for _ in killed_everywhere(monkeypatch, lambda: shutil.rmtree(output, ignore_errors=True), act):
        moments += 1
        if (output / "part-00000-of-00001.json").exists():
            assert check_shards(output).ok
        elif (output / "manifest.json").exists():
            assert check_shards(output).faults == {"0/1": "not done"}
        (job,) = done(names, output, 1, checkpoint=0, batch_rows=batch_rows)
        resumed += 0 < len(job.asked) < total
        assert results(output) == expected and check_shards(output).ok
    assert moments > least and resumed > least_resumed
