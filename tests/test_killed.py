"""Killed at every call of the file system: what was there before, or what was to be there, is whole afterwards."""

from __future__ import annotations

import gc
import io
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from score_rag.errors import LockedError
from score_rag.files import exchange as exchange_module
from score_rag.files import folder_lock, make_once, read_json, recover_folder, staged, staged_folder, write_json, write_text, writer_of

CALLS = ["chmod", "fsync", "link", "listdir", "lstat", "mkdir", "open", "remove", "rename", "replace", "rmdir", "scandir", "stat", "unlink"]
OLD = {"a": "old a", "b/c": "old c"}
NEW = {"a": "new a", "d": "new d"}


class Killed(BaseException):
    """The process is no more."""


class Killer:
    """Counts the calls of the file system, and lets the process die before the one with a given number; a dead process does nothing."""

    def __init__(self) -> None:
        self.calls = 0
        self.last: int | None = None

    @contextmanager
    def watching(self, monkeypatch: pytest.MonkeyPatch, last: int | None) -> Iterator[None]:
        """Die before call `last`, counted from 0; None never."""
        self.calls, self.last = 0, last
        with monkeypatch.context() as patch:
            for name in CALLS:
                patch.setattr(os, name, self._counted(getattr(os, name)))
            patch.setattr(io, "open", self._counted(io.open))
            patch.setattr(staged, "exchange", self._counted(staged.exchange))
            yield

    def _counted(self, call: Callable) -> Callable:
        def counted(*args, **more):
            if self.last is not None and self.calls >= self.last:
                raise Killed
            self.calls += 1
            return call(*args, **more)

        return counted


def killed_everywhere(monkeypatch: pytest.MonkeyPatch, prepare: Callable[[], None], act: Callable[[], None]) -> Iterator[int]:
    """Prepare, act and die, once for each call that acting makes; the last time it lives."""
    killer = Killer()
    prepare()
    with killer.watching(monkeypatch, None):
        act()
    total = killer.calls
    assert total > 5, "nothing was watched"
    # A collection after each death need not look at what was there before: in a process that holds much, it took nearly all of the time.
    gc.collect()
    gc.freeze()
    try:
        for last in range(total):
            prepare()
            with killer.watching(monkeypatch, last), pytest.raises(Killed):
                act()
            # A dead process holds no locks.
            gc.collect()
            yield last
    finally:
        gc.unfreeze()


def put(folder: Path, content: dict[str, str]) -> None:
    for name, text in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def content(folder: Path) -> dict[str, str]:
    return {file.relative_to(folder).as_posix(): file.read_text() for file in folder.rglob("*") if file.is_file()}


def stage(final: Path) -> None:
    with staged_folder(final) as aside:
        put(aside, NEW)


@pytest.fixture(params=["exchange", "no exchange"])
def exchanging(request, monkeypatch) -> bool:
    """With and without a file system that can exchange two names."""
    if request.param == "no exchange":
        monkeypatch.setattr(staged, "exchange", lambda one, other: False)
    return request.param == "exchange"


def test_a_kill_at_any_moment_leaves_the_old_folder_or_the_new_one(tmp_path, monkeypatch, exchanging):
    final = tmp_path / "run[1]" / "stage"

    def prepare() -> None:
        shutil.rmtree(final.parent, ignore_errors=True)
        put(final, OLD)

    seen = []
    for _ in killed_everywhere(monkeypatch, prepare, lambda: stage(final)):
        if exchanging:
            assert content(final) in (OLD, NEW), "at no moment is it away"
        with folder_lock(final.parent, doing="the next entry"):
            assert content(final) in (OLD, NEW)
        seen.append(content(final))
        with pytest.raises(RuntimeError), staged_folder(final):
            assert content(final) == seen[-1], "the next entry removes nothing that it is not about to replace"
            raise RuntimeError
        assert content(final) == seen[-1]
        assert {path.name for path in final.parent.iterdir()} == {"stage", ".lock"}
    assert OLD in seen and NEW in seen


def test_a_reader_brings_back_what_was_away(tmp_path, monkeypatch):
    monkeypatch.setattr(staged, "exchange", lambda one, other: False)
    final = tmp_path / "stage"

    def prepare() -> None:
        shutil.rmtree(tmp_path)
        put(final, OLD)

    away = 0
    for _ in killed_everywhere(monkeypatch, prepare, lambda: stage(final)):
        away += not final.exists()
        recover_folder(final)
        assert content(final) in (OLD, NEW)
    assert away, "without an exchange there is such a moment, or this test shows nothing"


def test_a_kill_while_recovering_loses_nothing(tmp_path, monkeypatch):
    final, old = tmp_path / "stage", tmp_path / ".stage.old.tmp"

    def prepare(*, replaced: bool) -> None:
        shutil.rmtree(tmp_path)
        put(old, OLD)
        if replaced:
            put(final, NEW)

    for replaced, whole in ((False, OLD), (True, NEW)):

        def act() -> None:
            stage_nothing(final)

        for _ in killed_everywhere(monkeypatch, lambda replaced=replaced: prepare(replaced=replaced), act):
            recover_folder(final)
            assert content(final) == whole


def stage_nothing(final: Path) -> None:
    with pytest.raises(RuntimeError), staged_folder(final):
        raise RuntimeError


def test_the_first_folder_is_whole_or_not_there(tmp_path, monkeypatch, exchanging):
    final = tmp_path / "runs" / "stage"
    for _ in killed_everywhere(monkeypatch, lambda: shutil.rmtree(final.parent, ignore_errors=True), lambda: stage(final)):
        assert not final.exists() or content(final) == NEW


def test_a_refused_move_brings_the_old_folder_back(tmp_path, monkeypatch):
    monkeypatch.setattr(staged, "exchange", lambda one, other: False)
    final = tmp_path / "stage"
    put(final, OLD)
    replace = os.replace

    def refuse(source, target):
        if Path(target) == final and not str(source).endswith(".old.tmp"):
            raise OSError("refused")
        return replace(source, target)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="refused"):
        patch.setattr(os, "replace", refuse)
        stage(final)
    assert content(final) == OLD
    assert [path.name for path in tmp_path.iterdir()] == ["stage"]


def test_leftovers_of_another_name_are_left_alone(tmp_path):
    put(tmp_path / ".a.b.old.tmp", OLD)
    put(tmp_path / ".a.b.12345678.tmp", OLD)
    stage(tmp_path / "a")
    assert content(tmp_path / ".a.b.12345678.tmp") == OLD
    recover_folder(tmp_path / "a.b")
    assert content(tmp_path / "a.b") == OLD


def test_a_kill_at_any_moment_leaves_the_old_text_or_the_new_one(tmp_path, monkeypatch):
    file = tmp_path / "a.json"

    def prepare() -> None:
        file.write_text("old")

    seen = []
    for _ in killed_everywhere(monkeypatch, prepare, lambda: write_text(file, "new")):
        seen.append(file.read_text())
        assert seen[-1] in ("old", "new")
    assert "old" in seen
    litter = [path for path in tmp_path.iterdir() if path != file]
    assert litter, "a dead process cannot tidy up"
    write_text(file, "newer")
    assert all(path.exists() for path in litter), "these may be another writer's"
    for path in litter:
        os.utime(path, (0, 0))
    write_text(file, "newest")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_what_is_made_once_is_made_whole_or_made_again(tmp_path, monkeypatch, exchanging):
    owner, folder = tmp_path / "cache", tmp_path / "cache" / "deeper" / "encoder"

    def make(text: str, belongs: str) -> None:
        make_once(folder, belongs=belongs, owner=owner, doing="making", make=lambda aside: put(aside, {"model": text}))

    def prepare() -> None:
        shutil.rmtree(owner, ignore_errors=True)
        make("old", "old")

    for _ in killed_everywhere(monkeypatch, prepare, lambda: make("new", "new")):
        make("never", "old") if kept(owner, folder) == "old" else make("never", "new")
        assert (folder / "model").read_text() in ("old", "new")
        make("new", "new")
        assert (folder / "model").read_text() == "new" and read_json(folder / "belongs.json")["to"] == "new"


def kept(owner: Path, folder: Path) -> str:
    with folder_lock(owner, doing="looking"):
        recover_folder(folder)
        return str(read_json(folder / "belongs.json")["to"])


def test_who_waited_for_the_lock_does_not_make_it_again(tmp_path, monkeypatch):
    made = []
    reads = iter([False, True])
    monkeypatch.setattr("score_rag.files.once._belongs", lambda folder, to: next(reads))
    make_once(tmp_path / "a", belongs="x", owner=tmp_path, doing="making", make=made.append)
    assert not made


@pytest.mark.parametrize("said", [None, "", "{", "[]"])
def test_a_holder_that_has_just_gone_is_unknown(tmp_path, said):
    with folder_lock(tmp_path, doing="a long job"):
        if said is None:
            (tmp_path / ".lock.json").unlink()
        else:
            (tmp_path / ".lock.json").write_text(said)
        with pytest.raises(LockedError, match="process unknown"), folder_lock(tmp_path, doing="another"):
            pass


def test_who_writes_is_known_while_they_live(tmp_path):
    assert writer_of(tmp_path) == "" == writer_of(tmp_path / "nowhere")
    with folder_lock(tmp_path, doing="a long job"):
        assert writer_of(tmp_path).startswith(f"process {os.getpid()} (a long job), since 20")
        killed = read_json(tmp_path / ".lock.json")
    assert writer_of(tmp_path) == ""
    dead = subprocess.Popen(["true"])
    dead.wait()
    for pid in (dead.pid, "7x", None, 2**80):
        write_json(tmp_path / ".lock.json", {**killed, "pid": pid})
        assert writer_of(tmp_path) == ""


def test_an_exchange_is_one_or_changes_nothing(tmp_path):
    put(tmp_path / "one", OLD)
    put(tmp_path / "other", NEW)
    if exchange_module.exchange(tmp_path / "one", tmp_path / "other"):
        assert (content(tmp_path / "one"), content(tmp_path / "other")) == (NEW, OLD)
        with pytest.raises(FileNotFoundError):
            exchange_module.exchange(tmp_path / "one", tmp_path / "missing")
    assert (tmp_path / "one").is_dir() and (tmp_path / "other").is_dir()


def test_a_killed_holder_of_a_lock_leaves_nothing_to_the_next_one(tmp_path, monkeypatch):
    folder = tmp_path / "run"

    def hold() -> None:
        with folder_lock(folder, doing="a short job"):
            pass

    for _last in killed_everywhere(monkeypatch, lambda: shutil.rmtree(folder, ignore_errors=True), hold):
        with folder_lock(folder, doing="the next one"):
            assert {path.name for path in folder.iterdir()} == {".lock", ".lock.json"}
