"""One file over HTTP, however badly the line behaves.

Bytes go into `NAME.part`; a small `NAME.part.json` beside it keeps the address and the version (ETag or date) that they belong to. A
killed, cut or stalled download goes on from the last byte, but only if the server confirms that the file is still that version: a part
of one version followed by the rest of another would be a file that never existed. The part takes its final name when it is complete.
"""

from __future__ import annotations

import email.utils
import re
import shutil
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from score_rag.errors import DataError
from score_rag.files import read_json, write_json
from score_rag.progress import Report, silent

if TYPE_CHECKING:
    import httpx

__all__ = ["PAUSES", "download", "open_client"]

PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds to wait before the second, third, ... try."""

_LONGEST_WAIT = 120.0
_ENOUGH = 1 << 20


def open_client(*, timeout: float = 60.0) -> httpx.Client:
    """A client that follows redirects and gives up on a server that is silent for `timeout` seconds."""
    import httpx

    # A server that answers at all accepts a connection within seconds; between two pieces of a body more patience is due.
    limits = httpx.Timeout(timeout, connect=min(timeout, 15.0))
    return httpx.Client(
        verify=_certificates(), timeout=limits, follow_redirects=True, max_redirects=10, headers={"User-Agent": "score-rag"}
    )


@cache
def _certificates() -> ssl.SSLContext:
    """Whom to trust; read once, because reading takes longer than many a download."""
    import httpx

    return httpx.create_ssl_context()


def download(
    address: str,
    target: Path,
    *,
    client: httpx.Client,
    size: int | None = None,
    pauses: Sequence[float] = PAUSES,
    report: Report = silent,
) -> None:
    """Download `address` to `target`, going on from a part that an earlier call left.

    Args:
        address: Where the file lies.
        target: What it becomes, once complete; its folder exists.
        client: From `open_client`.
        size: The bytes that it must have, where known.
        pauses: Waits before further tries, in seconds; as many tries in a row may fail. A mebibyte of progress starts the count again.
        report: Told kilobytes.

    Raises:
        DataError: The server refuses, announces another size, or keeps failing. The part stays, so that the next call goes on.
    """
    part = _Part(target.with_name(f"{target.name}.part"), address)
    failures, furthest = 0, part.length
    while True:
        try:
            _attempt(client, part, size=size, report=report, what=f"download {target.name}, kB")
            break
        except _Again as again:
            if part.length >= furthest + _ENOUGH:
                failures, furthest = 0, part.length
            # An address that nobody answers at is most often a machine without network: that is worth one more try, not half a minute.
            waits = pauses if again.reached or part.length else pauses[:1]
            if failures == len(waits):
                raise DataError(
                    f"{target.name} could not be downloaded",
                    where=address,
                    expected="the whole file",
                    found=f"{again} ({failures + 1} tries; {part.length:,} bytes kept for the next)",
                ) from again
            time.sleep(max(waits[failures], min(again.wait, _LONGEST_WAIT)))
            failures += 1
    part.path.replace(target)
    part.notes_path.unlink(missing_ok=True)


class _Again(Exception):
    """A failure that another try may mend."""

    def __init__(self, why: str, *, wait: float = 0.0, reached: bool = True) -> None:
        super().__init__(why)
        self.wait = wait
        self.reached = reached


@dataclass
class _Part:
    """The bytes so far, and the version of the file that they belong to."""

    path: Path
    address: str

    @property
    def notes_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    @property
    def notes(self) -> dict[str, Any]:
        """What is known of the version; empty where nothing is, or where the part came from another address."""
        try:
            notes = read_json(self.notes_path)
        except DataError:
            return {}
        return notes if isinstance(notes, dict) and notes.get("address") == self.address else {}

    @property
    def validator(self) -> str | None:
        """What If-Range may ask with: a strong ETag or a date. Weak ETags do not promise equal bytes."""
        notes = self.notes
        etag, date = notes.get("etag"), notes.get("last_modified")
        known = etag if etag and not str(etag).startswith("W/") else date
        return str(known) if known else None

    @property
    def length(self) -> int:
        """How many bytes can be gone on from."""
        return self.path.stat().st_size if self.path.is_file() and self.validator else 0

    def begin(self, response: httpx.Response, size: int | None) -> None:
        """Start again, at this response's version. The old bytes go first: they must never stand beside the new notes."""
        self.path.write_bytes(b"")
        headers = response.headers
        notes = {"address": self.address, "etag": headers.get("etag"), "last_modified": headers.get("last-modified"), "size": size}
        write_json(self.notes_path, notes)

    def same_version(self, response: httpx.Response) -> bool:
        """Whether a response speaks of the version that the part belongs to, as far as it says."""
        notes = self.notes
        pairs = [(notes.get("etag"), response.headers.get("etag")), (notes.get("last_modified"), response.headers.get("last-modified"))]
        return all(ours == theirs for ours, theirs in pairs if ours and theirs)

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.notes_path.unlink(missing_ok=True)


def _attempt(client: httpx.Client, part: _Part, *, size: int | None, report: Report, what: str) -> None:
    """One request; returns when the part is complete."""
    import httpx

    have = part.length
    # Some servers mark a .gz as "Content-Encoding: gzip": ask for the bytes as they lie, and read them raw, or it arrives unpacked.
    headers = {"Accept-Encoding": "identity"}
    if have and (validator := part.validator):
        headers |= {"Range": f"bytes={have}-", "If-Range": validator}
    try:
        with client.stream("GET", part.address, headers=headers) as response:
            if response.status_code == 416 and have:
                _settle_416(response, part, have)
                return
            total = _accept(response, part, have, size)
            done = part.path.stat().st_size
            with part.path.open("ab") as stream:
                for piece in response.iter_raw():
                    stream.write(piece)
                    done += len(piece)
                    if total is not None and done > total:
                        break
                    report(what, done // 1000, (total or done) // 1000 + 1)
            if total is not None and done > total:
                part.discard()
                raise _Again(f"more than the announced {total:,} bytes came")
            if total is not None and done < total:
                raise _Again(f"the connection closed after {done:,} of {total:,} bytes")
            report(what, done // 1000 + 1, done // 1000 + 1)
    except httpx.TimeoutException as error:
        silent_at = isinstance(error, httpx.ConnectTimeout)
        raise _Again("no answer" if silent_at else "the server stopped sending", reached=not silent_at) from error
    except httpx.RequestError as error:
        raise _Again(str(error) or type(error).__name__, reached=not isinstance(error, httpx.ConnectError)) from error


def _settle_416(response: httpx.Response, part: _Part, have: int) -> None:
    """Answer "range not satisfiable": the part is complete already, or it is longer than what the file has become."""
    told = re.fullmatch(r"bytes \*/(\d+)", response.headers.get("content-range", ""))
    total = int(told[1]) if told else part.notes.get("size")
    if total != have or not part.same_version(response):
        part.discard()
        raise _Again("the file has changed since its first part was downloaded")


def _accept(response: httpx.Response, part: _Part, have: int, size: int | None) -> int | None:
    """Make the part ready for the body of a response, and say how long the whole file is, if anyone knows."""
    status = response.status_code
    if status == 206:
        told = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("content-range", ""))
        known = part.notes.get("size")
        total = int(told[2]) if told and told[2] != "*" else known
        asked_for = have and told and int(told[1]) == have and known in (None, total) and part.same_version(response)
        if not asked_for:
            part.discard()
            raise _Again(f"another piece than asked for (bytes from {have}; {response.headers.get('content-range', 'no Content-Range')})")
    elif status == 200:
        announced = response.headers.get("content-length", "")
        total = int(announced) if announced.isdecimal() else None
        if size is not None and total not in (None, size):
            # A sign-in page of a hotel's network answers 200 too.
            raise DataError(
                "the address gives another file than expected", where=part.address, expected=f"{size:,} bytes", found=f"{total:,} bytes"
            )
        part.begin(response, total)
    elif status in (408, 429) or status >= 500:
        raise _Again(f"the server answers {status} {response.reason_phrase}", wait=_retry_after(response))
    else:
        raise DataError("the server refuses", where=part.address, expected="200 OK", found=f"{status} {response.reason_phrase}")
    total = size if total is None else total
    missing = (total or 0) - part.path.stat().st_size
    if missing > shutil.disk_usage(part.path.parent).free:
        raise DataError("the disk is too full", where=part.path.parent, expected=f"{missing:,} bytes free", found="fewer")
    return total


def _retry_after(response: httpx.Response) -> float:
    """The wait that a server asks for, in seconds: it may say seconds or a date."""
    asked = response.headers.get("retry-after", "").strip()
    if asked.isdecimal():
        return float(asked)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(asked).timestamp() - time.time())
    except ValueError:
        return 0.0
