"""What the tests of fetch share."""

from __future__ import annotations

import hashlib
import io
import re
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from score_rag.data.fetch import fetch

SMALL = "/datasets/movielens/ml-latest-small.zip"


RATINGS = "userId,movieId,rating,timestamp\n" + "".join(f"{n},{n * 7919 % 9973},4.0,{n * 104729 % 1000003}\n" for n in range(9_000))


MOVIES = "movieId,title,genres\n17,Heat (1995),Crime\n"


def packed(files: dict[str, str | bytes]) -> bytes:
    """A zip of these files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


ARCHIVE = packed({"ml-latest-small/ratings.csv": RATINGS, "ml-latest-small/movies.csv": MOVIES, "ml-latest-small/README.txt": "Read me."})


class BadLine(ThreadingHTTPServer):
    """Serves `files`; each request of a file first takes one of `mishaps`, where there is one left.

    Mishaps: `500`, `503 0` (Retry-After: 0), `404`, `cut N`, `stall N` (after N bytes), `no range` (the header is ignored),
    `other range` (206 with a piece that nobody asked for), `silent` (no answer).
    """

    daemon_threads = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.mishaps: list[str] = []
        self.asked: list[tuple[str, str | None]] = []
        self.released = threading.Event()
        self.validators = True

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def serve(self, path: str, content: bytes, *, md5: bool = True) -> None:
        self.files[path] = content
        if md5:
            self.files[f"{path}.md5"] = f"MD5 ({path}) = {hashlib.md5(content).hexdigest()}\n".encode()

    def ranges(self, path: str = SMALL) -> list[str | None]:
        """The Range header of every request for a file."""
        return [range_ for asked, range_ in self.asked if asked == path]

    def handle_error(self, request, client_address):
        """A client that hangs up is part of the tests."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: BadLine

    def log_message(self, *args):
        pass

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Range")))
        if self.path.startswith("/moved/"):
            return self.answer(302, Location=self.path.removeprefix("/moved"))
        if self.path not in self.server.files:
            return self.answer(404)
        body = self.server.files[self.path]
        mishap, number = "", 0
        if self.server.mishaps and not self.path.endswith(".md5"):
            mishap, _, rest = self.server.mishaps.pop(0).partition(" ")
            number = int(rest) if rest.isdigit() else 0
        if mishap in ("500", "404"):
            return self.answer(int(mishap))
        if mishap == "503":
            return self.answer(503, Retry_After=str(number))
        if mishap == "silent":
            self.close_connection = True
            return self.server.released.wait(5)
        etag = f'"{hashlib.sha1(body).hexdigest()}"'
        headers = {"ETag": etag, "Accept-Ranges": "bytes"} if self.server.validators else {}
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        current = self.headers.get("If-Range") in (None, etag) or mishap == "blind"
        if asked and current and mishap != "no":
            start = int(asked[1]) - (10 if mishap == "other" else 0)
            if start >= len(body):
                return self.answer(416, Content_Range=f"bytes */{len(body)}", **headers)
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            self.answer(206, body[start:], **headers)
            body = body[start:]
        else:
            self.answer(200, body, **headers)
        if mishap in ("cut", "stall"):
            self.wfile.write(body[:number])
            self.wfile.flush()
            self.close_connection = True
            if mishap == "stall":
                self.server.released.wait(5)
            return None
        return self.wfile.write(body)


@pytest.fixture
def line(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    server = BadLine()
    server.serve(SMALL, ARCHIVE)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def get(line, tmp_path):
    """`fetch` from the bad line, with little patience."""

    def get(name: str = "ml-latest-small", **options):
        given = {"mirror": line.address, "timeout": 0.3, "pauses": (0.0, 0.0, 0.0)} | options
        return fetch(name, tmp_path / "data", **given)

    return get


def left(folder: Path) -> list[str]:
    """Everything below a folder, but for locks."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and ".lock" not in path.name)


WHOLE = [f"ml-latest-small/{name}" for name in ("README.txt", "fetched.json", "movies.csv", "ratings.csv")]
