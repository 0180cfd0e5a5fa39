"""Errors, files, locks: what everything else stands on."""

from __future__ import annotations

import subprocess
import sys

import pytest

from score_rag.errors import DataError, LockedError, ScoreError, did_you_mean
from score_rag.files import digest_json, digests_of, folder_lock, read_json, staged_folder, write_json, write_text


def test_an_error_says_what_where_expected_found_and_the_next_command():
    error = ScoreError("it broke", where="a.csv, line 3", expected="1", found="x", hint="do this")
    assert str(error).split("\n  ") == ["it broke", "where: a.csv, line 3", "expected: 1", "found: x", "hint: do this"]


def test_a_near_miss_is_named_and_a_far_one_lists_choices():
    assert did_you_mean("predicter", ["data", "predictor"]) == "did you mean 'predictor'?"
    assert did_you_mean("zzz", [str(n) for n in range(20)]).endswith("(20 in all)")


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    file = tmp_path / "a.txt"
    write_text(file, "old")
    monkeypatch.setattr("os.fsync", lambda handle: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_text(file, "new")
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_staged_folder_replaces_the_old_one_whole_or_not_at_all(tmp_path):
    final = tmp_path / "stage"
    with staged_folder(final) as aside:
        (aside / "x").write_text("1")
    with pytest.raises(RuntimeError), staged_folder(final) as aside:
        (aside / "x").write_text("2")
        raise RuntimeError
    assert (final / "x").read_text() == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["stage"]


def test_leftovers_of_a_killed_process_are_removed(tmp_path):
    (tmp_path / ".stage.abc.tmp").mkdir()
    with staged_folder(tmp_path / "stage"):
        pass
    assert not (tmp_path / ".stage.abc.tmp").exists()


def test_json_that_is_not_json_is_named(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(DataError, match=r"a\.json"):
        read_json(tmp_path / "a.json")
    with pytest.raises(DataError, match="missing"):
        read_json(tmp_path / "b.json")


def test_digests_depend_on_content_not_on_order(tmp_path):
    assert digest_json({"a": 1, "b": 2}) == digest_json({"b": 2, "a": 1})
    write_json(tmp_path / "x.json", {"a": 1})
    before = digests_of(tmp_path)
    write_json(tmp_path / "x.json", {"a": 2})
    assert digests_of(tmp_path) != before


def test_a_second_writer_is_told_who_holds_the_folder(tmp_path):
    code = (
        "import sys; from score_rag.files import folder_lock\n"
        f"with folder_lock({str(tmp_path)!r}, doing='a long job'):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LockedError, match=f"process {holder.pid} .a long job") as caught, folder_lock(tmp_path, doing="another"):
            pass
        assert caught.value.exit_code == 1
    finally:
        holder.kill()
        holder.wait()
        holder.stdin.close()
        holder.stdout.close()
    with folder_lock(tmp_path, doing="after it was killed"):
        assert read_json(tmp_path / ".lock.json")["doing"] == "after it was killed"
