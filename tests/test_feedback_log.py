"""The feedback log: what was acknowledged is there, what was forgotten is not, whatever was killed and however often it is sent."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from score_rag.data.log import Item
from score_rag.errors import DataError
from score_rag.feedback.log import FeedbackLog
from score_rag.feedback.record import Feedback, Forgotten, Head, from_line, to_line


def said(event_id="a", user="u", item="i", liked=True, at=5, **more):
    return Feedback(event_id, user, item, liked, at, **more)


def test_a_line_holds_all_that_was_said():
    one = said(user="Zoë\n\u2028", item="x\ty", request_id="r1")
    two = Feedback("b", "u", "new", False, 7, item=Item("new", "Heat", 1995, ("Crime",), (), ("heist",)))
    for feedback in (one, two, Forgotten("ü\n", 5.5), Head("x")):
        line = to_line(feedback)
        assert line.count(b"\n") == 1 and line.endswith(b"\n") and from_line(line) == feedback


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\0\0\0",
        b"{}",
        b"[]",
        b'{"v":9}',
        b'{"v":1,"id":"","user":"u","item":"i","liked":true,"time":1}',
        b'{"v":1,"forget":""}',
        b'{"v":1,"log":7}',
    ],
)
def test_a_damaged_line_is_none(line):
    assert from_line(line) is None


def test_the_same_id_is_taken_once_and_put_overwrites(tmp_path):
    log = FeedbackLog(tmp_path / "log")
    assert log.append([said(), said(), said("b")]).added == ["a", "b"]
    assert log.append([said(liked=False)]).known == ["a"] and log.events["a"].liked
    done = log.append([said(liked=False), said("b")], overwrite=True)
    assert done.replaced == ["a"] and done.known == ["b"] and not log.events["a"].liked
    again = FeedbackLog(tmp_path / "log")
    assert [(one.event_id, one.liked) for one in again.current()] == [("b", True), ("a", False)], "what was written last comes last"
    assert [change.old is None for change in again.changes] == [True, True, False]


def test_others_see_what_one_wrote_at_once(tmp_path):
    one, other = FeedbackLog(tmp_path), FeedbackLog(tmp_path)
    one.append([said()])
    assert other.refresh() == 1
    other.append([said("b")])
    assert one.refresh() == 2 and set(one.events) == {"a", "b"}
    assert other.append([said()]).known == ["a"]


def test_a_log_that_was_replaced_is_read_anew(tmp_path):
    log = FeedbackLog(tmp_path)
    log.append([said(), said("b")])
    log.path.unlink()
    FeedbackLog(tmp_path).append([said("c")])
    assert log.refresh() == 1 and set(log.events) == {"c"} and log.epoch == 1


def test_what_could_not_be_flushed_was_not_taken(tmp_path, monkeypatch):
    log = FeedbackLog(tmp_path)
    log.append([said()])
    real, failing = os.fsync, True

    def fsync(handle):
        if failing:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(DataError, match="disk is full"):
        log.append([said("b")])
    failing = False
    assert set(FeedbackLog(tmp_path).events) == set() and FeedbackLog(tmp_path).refresh() == 1
    assert log.append([said("b")]).added == ["b"]


def test_a_slow_disk_keeps_no_reader_waiting(tmp_path, monkeypatch):
    log = FeedbackLog(tmp_path)
    log.append([said("a")])
    flushing, flushed, real = threading.Event(), threading.Event(), os.fsync

    def fsync(handle):
        flushing.set()
        assert flushed.wait(30)
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with ThreadPoolExecutor(2) as threads:
        writing = threads.submit(log.append, [said("b", user="v")])
        assert flushing.wait(30)
        try:
            # What is not acknowledged may be known or not; what was, is.
            seen = threads.submit(log.current).result(timeout=10)
        finally:
            flushed.set()
        assert said("a").event in [one.event for one in seen] and writing.result(timeout=30).added == ["b"]
    assert [one.event_id for one in log.current()] == ["a", "b"]


def test_what_a_reader_saw_and_was_taken_back_hides_nothing_that_comes_in_its_place(tmp_path, monkeypatch):
    log = FeedbackLog(tmp_path)
    log.append([said("a"), said("z")])
    real = os.fsync

    def fsync(handle):
        monkeypatch.setattr(os, "fsync", real)
        # Written, and not yet flushed: a reader looks.
        log.refresh()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("score_rag.feedback.log.time.time", lambda: 5.0)
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(DataError, match="disk is full"):
        log.append([said("b")])
    assert FeedbackLog(tmp_path).append([said("c")]).added == ["c"], "another writer's, and as long as what was taken back"
    assert [one.event_id for one in log.current()] == ["a", "z", "c"]


def test_what_is_forgotten_is_there_no_more_for_anybody(tmp_path):
    log, other = FeedbackLog(tmp_path), FeedbackLog(tmp_path)
    log.append([said(), said("b", user="v"), said("c", item="j")])
    other.refresh()
    assert log.forget(["b", "nobody"]) == ["b"] and log.forget(["b"]) == []
    assert other.refresh() == 4 and set(other.events) == {"a", "c"} and other.changes[-1].new is None
    assert other.changes[-1].old.event_id == "b"
    assert other.forget(user_id="u") == ["a", "c"] and other.forget(user_id="u") == [] and log.current() == []
    assert log.append([said()]).added == ["a"], "said again, it is new"
    assert log.damaged == 0
    assert FeedbackLog(tmp_path / "none").forget(user_id="u") == [] and not (tmp_path / "none").exists()


def test_what_could_not_be_flushed_was_not_forgotten(tmp_path, monkeypatch):
    log = FeedbackLog(tmp_path)
    log.append([said()])
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        with pytest.raises(DataError, match="cannot be written down"):
            log.forget(["a"])
    assert set(FeedbackLog(tmp_path).current()) == set(log.current()) != set()


def test_a_log_written_anew_has_nothing_of_what_was_forgotten(tmp_path):
    log, other = FeedbackLog(tmp_path), FeedbackLog(tmp_path)
    log.append([said("secret", user="somebody"), said("b"), said("c", item="first")])
    log.append([said("c", item="second")], overwrite=True)
    with log.path.open("ab") as stream:
        stream.write(b"damaged somebody\n")
    other.refresh()
    log.forget(user_id="somebody")
    assert b"somebody" in log.path.read_bytes()
    told = log.compact()
    assert (told.kept, told.removed, told.damaged) == (2, 4, 1)
    raw = log.path.read_bytes()
    assert not any(word in raw for word in (b"somebody", b"secret", b"first"))
    assert [file.name for file in sorted(tmp_path.iterdir())] == [".lock", "log.jsonl"], "and nothing is left aside"
    for reader in (log, other, FeedbackLog(tmp_path)):
        assert [one.event_id for one in reader.current()] == ["b", "c"] and reader.damaged == 0
    assert other.epoch == 1 and other.append([said("d")]).added == ["d"] and set(FeedbackLog(tmp_path).events) == set()
    again = log.compact()
    assert (again.kept, again.removed) == (3, 0)
    assert FeedbackLog(tmp_path / "none").compact().kept == 0 and not (tmp_path / "none").exists()


def test_a_new_file_of_an_old_number_is_another_file(tmp_path, monkeypatch):
    """A file system gives the number of a file that is gone to a new one; of the same size, too."""
    log, reader = FeedbackLog(tmp_path), FeedbackLog(tmp_path)
    log.append([said("a", user="x"), said("b", user="y")])
    log.compact()
    reader.refresh()
    raw = log.path.read_bytes()
    head, one, two = raw.splitlines(keepends=True)
    # In place, so that the number stays: another name in the head, the judgements the other way round.
    with log.path.open("r+b") as stream:
        stream.write(to_line(Head("0" * 32)) + two + one)
    assert len(head) == len(to_line(Head("0" * 32)))
    reader.refresh()
    assert list(reader.events) == ["b", "a"] and reader.epoch == 1


def test_of_one_second_what_was_written_last_stands(tmp_path):
    log = FeedbackLog(tmp_path)
    log.append([said("a"), said("b", liked=False)])
    key = said().key
    assert log.standing(key).event_id == "b"
    log.append([said("a", request_id="r")], overwrite=True)
    assert log.standing(key).event_id == "a"
    log.forget(["a"])
    assert log.standing(key).event_id == "b"
    log.forget(["b"])
    assert log.standing(key) is None
