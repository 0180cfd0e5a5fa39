"""The append-only log of judgements: any number of processes write to it in turn and read it, none ever reads half a line.

A judgement counts as taken, or as forgotten, when its line has been flushed to the disk (fsync). A writer that was killed leaves at most
half a line, which the next writer removes; readers stop at the last whole line. Writers take turns by a lock that the operating system
drops when they die. `compact` writes the file anew without what counts no more.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from score_rag.feedback.changes import Appended, Change, Compacted
from score_rag.feedback.disk import append_whole, mend, sync_folder
from score_rag.feedback.record import Feedback, Forgotten, Head, Key, from_line, to_line
from score_rag.feedback.turn import turn
from score_rag.files import write_text

__all__ = ["FeedbackLog"]

_HEAD = 128
"""Bytes at the start of the file by which it is known again."""


class FeedbackLog:
    """One log. Thread-safe.

    Args:
        folder: Its own; made when the first judgement is written.

    Attributes:
        events: By id, what stands now, in the order in which it was last written.
        changes: Everything that was read, in order: a reader remembers how far it has come.
        damaged: Whole lines that could not be understood, and are left out.
        epoch: Goes up when the file was replaced by another, so that all was read anew.
        position: (epoch, number of changes), both of the same moment.
    """

    def __init__(self, folder: Path | str) -> None:
        self.path = Path(folder) / "log.jsonl"
        self.events: dict[str, Feedback] = {}
        self.changes: list[Change] = []
        self.damaged = 0
        self.epoch = 0
        self.position = (0, 0)
        self._lines = 0
        self._ids: dict[Key, list[str]] = {}
        self._offset = 0
        self._file: tuple[int, bytes] | None = None
        self._written = 0
        self._lock = threading.RLock()

    def refresh(self) -> int:
        """Read what was written since, by whoever; how many changes there are now. Where nothing was, the file is not opened."""
        try:
            found = self.path.stat()
        except OSError:
            return len(self.changes)
        if self._file is not None and (found.st_size, found.st_ino, found.st_mtime_ns) == (self._offset, self._file[0], self._written):
            return len(self.changes)
        with self._lock:
            try:
                with self.path.open("rb") as stream:
                    self._read(stream.fileno())
            except FileNotFoundError:
                pass
        return len(self.changes)

    def current(self) -> list[Feedback]:
        """What stands now, in the order in which it was last written."""
        self.refresh()
        with self._lock:
            return list(self.events.values())

    def since(self, position: tuple[int, int]) -> tuple[list[Change], tuple[int, int]] | None:
        """(What changed since a position, the position now), of what was read; None where all was read anew since."""
        with self._lock:
            epoch, taken = position
            return None if epoch != self.epoch else (self.changes[taken:], self.position)

    def standing(self, key: Key) -> Feedback | None:
        """Of the judgements of a user, item and second, of those that were read, the one that was written last."""
        with self._lock:
            ids = self._ids.get(key)
            return self.events[ids[-1]] if ids else None

    def append(self, feedback: Iterable[Feedback], *, overwrite: bool = False) -> Appended:
        """Write judgements down. When this returns they are on the disk, all of them.

        Args:
            overwrite: An id that is there already is replaced; without, it stays as it is.

        Raises:
            LockedError: Another writer did not end.
            DataError: The log cannot be written to, or the disk is full; nothing of these judgements was taken.
        """
        wanted = list(feedback)
        with turn(self.path, make=True), self._opened() as handle:
            with self._lock:
                told, lines = self._sorted(wanted, overwrite)
            # Not locked: a disk may take a second, and readers need not know what is not acknowledged yet.
            if lines:
                append_whole(handle, b"".join(lines))
            return told

    def forget(self, event_ids: Iterable[str] = (), *, user_id: str | None = None) -> list[str]:
        """Let judgements count no more. When this returns that is on the disk; what they said still is, until `compact`.

        Args:
            event_ids: Of those that are not there nothing is done, so this can be called again.
            user_id: All of this user's, too.

        Returns:
            The ids of those that were there. One that is written again afterwards is a new judgement.

        Raises:
            LockedError: As of `append`.
            DataError: As of `append`.
        """
        wanted = dict.fromkeys(event_ids)
        with turn(self.path, make=False) as there:
            if not there:
                return []
            with self._opened() as handle:
                with self._lock:
                    if user_id is not None:
                        wanted |= dict.fromkeys(one.event_id for one in self.events.values() if one.user_id == user_id)
                    found = [name for name in wanted if name in self.events]
                if found:
                    now = time.time()
                    append_whole(handle, b"".join(to_line(Forgotten(name, now)) for name in found))
                return found

    def compact(self) -> Compacted:
        """Write the file anew, with what stands and nothing else, in one step: a process that is killed leaves the old or the new one.

        Raises:
            LockedError: As of `append`.
            DataError: As of `append`; the log stays as it is.
        """
        with turn(self.path, make=False) as there:
            if not there:
                return Compacted(0, 0, 0)
            with self._opened():
                pass
            with self._lock:
                lines = [to_line(Head(uuid4().hex)), *(to_line(one) for one in self.events.values())]
                told = Compacted(len(self.events), self._lines - len(self.events), self.damaged)
            write_text(self.path, b"".join(lines).decode("ascii"))
            sync_folder(self.path.parent)
            with self._opened():
                pass
            return told

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """The file, whole and read to its end; what is written in the block is read after it."""
        is_new = not self.path.exists()
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        try:
            mend(handle)
            with self._lock:
                self._read(handle)
            yield handle
            if is_new:
                sync_folder(self.path.parent)
                sync_folder(self.path.parent.parent)
            with self._lock:
                self._read(handle)
        except BaseException:
            # A reader may have seen what was taken back, and would not see what is written in its place.
            with self._lock, suppress(OSError):
                self._read(handle)
            raise
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

    def _read(self, handle: int) -> None:
        """Take in the whole lines behind what was read before."""
        found = os.fstat(handle)
        start = os.pread(handle, _HEAD, 0)
        # A file system gives the number of a file that is gone to a new one.
        gone = self._file is not None and (found.st_ino != self._file[0] or not start.startswith(self._file[1]))
        # What another writer could not finish may have been read, and taken back since.
        gone = gone or found.st_size < self._offset or bool(self._offset and os.pread(handle, 1, self._offset - 1) != b"\n")
        if self._file is not None and gone:
            self.events, self.changes, self._ids, self.damaged, self._lines = {}, [], {}, 0, 0
            self._offset, self.epoch = 0, self.epoch + 1
        parts, at = [], self._offset
        while part := os.pread(handle, 1 << 20, at):
            parts.append(part)
            at += len(part)
        raw = b"".join(parts)
        whole = raw.rfind(b"\n") + 1
        for line in raw[:whole].split(b"\n")[:-1]:
            self._take(line)
        self._offset += whole
        self._file = found.st_ino, start[: min(self._offset, _HEAD)]
        self._written = found.st_mtime_ns
        self.position = self.epoch, len(self.changes)

    def _take(self, line: bytes) -> None:
        one = from_line(line)
        if isinstance(one, Head):
            return
        self._lines += 1
        if one is None:
            self.damaged += 1
            return
        old = self.events.pop(one.event_id, None)
        if old is not None:
            ids = self._ids[old.key]
            ids.remove(one.event_id)
            if not ids:
                del self._ids[old.key]
        if isinstance(one, Feedback):
            self.events[one.event_id] = one
            self._ids.setdefault(one.key, []).append(one.event_id)
        elif old is None:
            return
        self.changes.append(Change(one if isinstance(one, Feedback) else None, old))
