"""The append-only log of judgements: any number of processes write to it in turn and read it, none ever reads half a line.

A judgement counts as taken when its line has been flushed to the disk (fsync). A writer that was killed leaves at most half a line, which
the next writer removes; readers stop at the last whole line. Writers take turns by a lock that the operating system drops when they die.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from score_rag.errors import DataError, LockedError
from score_rag.feedback.record import Feedback, from_line, to_line
from score_rag.files import full_disk

__all__ = ["Appended", "Change", "FeedbackLog"]

_PATIENCE = 10.0
"""Seconds to wait for one's turn to write; a turn takes milliseconds."""


@dataclass(frozen=True)
class Change:
    """A judgement that was added, and the one of the same id that it took the place of."""

    new: Feedback
    old: Feedback | None = None


@dataclass
class Appended:
    """What became of judgements that were to be written.

    Attributes:
        added: Ids that are new.
        replaced: Ids that were there, with something else, and were to be overwritten.
        known: Ids that were there; nothing was written for them.
    """

    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)


class FeedbackLog:
    """One log. Thread-safe.

    Args:
        folder: Its own; made when the first judgement is written.

    Attributes:
        events: By id, what stands now.
        changes: Everything that was read, in order: a reader remembers how far it has come.
        damaged: Whole lines that could not be understood, and are left out.
        epoch: Goes up when the file was replaced by another, so that all was read anew.
    """

    def __init__(self, folder: Path | str) -> None:
        self.path = Path(folder) / "log.jsonl"
        self.events: dict[str, Feedback] = {}
        self.changes: list[Change] = []
        self.damaged = 0
        self.epoch = 0
        self._offset = 0
        self._inode: int | None = None
        self._lock = threading.RLock()

    def refresh(self) -> int:
        """Read what was written since, by whoever; how many changes there are now. Where nothing was, the file is not opened."""
        try:
            found = self.path.stat()
        except OSError:
            return len(self.changes)
        if found.st_size == self._offset and found.st_ino == self._inode:
            return len(self.changes)
        with self._lock:
            try:
                with self.path.open("rb") as stream:
                    self._read(stream.fileno())
            except FileNotFoundError:
                pass
        return len(self.changes)

    def current(self) -> list[Feedback]:
        """What stands now, in the order in which it was first written."""
        self.refresh()
        with self._lock:
            return list(self.events.values())

    def append(self, feedback: Iterable[Feedback], *, overwrite: bool = False) -> Appended:
        """Write judgements down. When this returns they are on the disk, all of them.

        Args:
            overwrite: An id that is there already is replaced; without, it stays as it is.

        Raises:
            LockedError: Another writer did not end.
            DataError: The log cannot be written to, or the disk is full; nothing of these judgements was taken.
        """
        from filelock import FileLock, Timeout

        wanted = list(feedback)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._lock, FileLock(self.path.with_name(".lock"), timeout=_PATIENCE):
                return self._append(wanted, overwrite)
        except Timeout as error:
            raise LockedError(
                "another process is writing feedback and does not end",
                where=self.path,
                found=f"no turn within {_PATIENCE:g} seconds",
                hint="send it again: what was taken is known by its id",
            ) from error
        except OSError as error:
            raise full_disk(error, self.path) or DataError(
                "feedback cannot be written down", where=self.path, found=error.strerror or str(error), hint="nothing of it was taken"
            ) from error

    def _append(self, wanted: list[Feedback], overwrite: bool) -> Appended:
        is_new = not self.path.exists()
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        try:
            self._mend(handle)
            self._read(handle)
            told, lines = self._sorted(wanted, overwrite)
            if lines:
                self._write(handle, b"".join(lines))
            if is_new:
                _sync_folder(self.path.parent)
                _sync_folder(self.path.parent.parent)
            self._read(handle)
            return told
        finally:
            os.close(handle)

    def _sorted(self, wanted: list[Feedback], overwrite: bool) -> tuple[Appended, list[bytes]]:
        told, lines, seen = Appended(), list[bytes](), dict[str, Feedback]()
        now = time.time()
        for one in wanted:
            known = seen.get(one.event_id) or self.events.get(one.event_id)
            same = known is not None and replace(known, received=0.0) == replace(one, received=0.0)
            if known is not None and (same or not overwrite):
                told.known.append(one.event_id)
                continue
            (told.added if known is None else told.replaced).append(one.event_id)
            seen[one.event_id] = one
            lines.append(to_line(replace(one, received=now)))
        return told, lines

    def _mend(self, handle: int) -> None:
        """Remove half a line that a killed writer left at the end."""
        size = os.fstat(handle).st_size
        end = size
        while end:
            start = max(0, end - 65536)
            part = os.pread(handle, end - start, start)
            if end == size and part.endswith(b"\n"):
                return
            if (place := part.rfind(b"\n")) >= 0:
                end = start + place + 1
                break
            end = start
        if end != size:
            os.ftruncate(handle, end)
            os.fsync(handle)

    def _write(self, handle: int, content: bytes) -> None:
        start = os.fstat(handle).st_size
        try:
            done = 0
            while done < len(content):
                done += os.pwrite(handle, content[done:], start + done)
            os.fsync(handle)
        except BaseException:
            # Not acknowledged, so not there: neither now nor after the next start.
            os.ftruncate(handle, start)
            raise

    def _read(self, handle: int) -> None:
        """Take in the whole lines behind what was read before."""
        found = os.fstat(handle)
        gone = found.st_ino != self._inode or found.st_size < self._offset
        # What another writer could not finish may have been read, and taken back since.
        if self._inode is not None and (gone or (self._offset and os.pread(handle, 1, self._offset - 1) != b"\n")):
            self.events, self.changes, self.damaged = {}, [], 0
            self._offset, self.epoch = 0, self.epoch + 1
        self._inode = found.st_ino
        parts, at = [], self._offset
        while part := os.pread(handle, 1 << 20, at):
            parts.append(part)
            at += len(part)
        raw = b"".join(parts)
        whole = raw.rfind(b"\n") + 1
        for line in raw[:whole].split(b"\n")[:-1]:
            one = from_line(line)
            if one is None:
                self.damaged += 1
                continue
            self.changes.append(Change(one, self.events.get(one.event_id)))
            self.events[one.event_id] = one
        self._offset += whole


def _sync_folder(folder: Path) -> None:
    """A new file's name is on the disk only when its folder is."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
