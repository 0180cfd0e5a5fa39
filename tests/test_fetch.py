"""Fetching data sets over a bad line: a real server on this machine that cuts, stalls, lies and changes its mind."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import socket
import stat
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from score_rag.cli.remedies import advice
from score_rag.data.datasets import AMAZON_YEARS, DATASETS, Remote, find_dataset
from score_rag.data.download import _retry_after, download, open_client
from score_rag.data.fetch import fetch
from score_rag.data.obtain import Desk
from score_rag.data.unpack import check_gzip, unpack_zip
from score_rag.errors import DataError, InputError, LockedError
from score_rag.files import folder_lock
from score_rag.progress import silent

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
HALF = len(ARCHIVE) // 2


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


def test_a_data_set_is_downloaded_checked_unpacked_and_recorded(line, get, tmp_path):
    told: list[tuple[str, int, int]] = []
    got = get(report=lambda *step: told.append(step))
    assert (got.folder / "ratings.csv").read_text() == RATINGS and (got.folder / "movies.csv").read_text() == MOVIES
    assert left(tmp_path / "data") == WHOLE and got.folder == tmp_path / "data" / "ml-latest-small" and not got.already
    record = json.loads((got.folder / "fetched.json").read_text())
    assert record["files"]["movies.csv"] == {"size": len(MOVIES), "sha256": hashlib.sha256(MOVIES.encode()).hexdigest()}
    assert record["downloads"][0]["address"] == line.address + SMALL
    assert record["downloads"][0]["sha256"] == hashlib.sha256(ARCHIVE).hexdigest()
    assert got.checked == ("ml-latest-small.zip: MD5 published beside it",) and "research" in got.licence
    assert got.yaml == f'data:\n  source: movielens\n  path: "{got.folder}"\n'
    assert {what for what, _, _ in told} == {"download ml-latest-small.zip, kB", "unpack ml-latest-small.zip, kB"}
    assert all(0 <= done <= total for _, done, total in told) and told[-1][1] == told[-1][2]


def test_what_is_there_is_left_alone(line, get):
    first = get()
    before = len(line.asked)
    again = get()
    assert again.already and len(line.asked) == before and again.files == first.files and again.checked == first.checked
    line.serve(SMALL, packed({"ml-latest-small/ratings.csv": "new", "ml-latest-small/movies.csv": MOVIES}))
    assert not get(force=True).already and (first.folder / "ratings.csv").read_text() == "new"


def test_a_folder_that_is_not_ours_or_no_longer_whole_is_not_touched(get, tmp_path):
    folder = tmp_path / "data" / "ml-latest-small"
    folder.mkdir(parents=True)
    (folder / "ratings.csv").write_text("mine")
    with pytest.raises(DataError, match="it was not fetched") as caught:
        get()
    assert advice(caught.value).endswith(" --force") and (folder / "ratings.csv").read_text() == "mine"
    get(force=True)
    (folder / "movies.csv").unlink()
    with pytest.raises(DataError, match=r"missing or changed: movies\.csv"):
        get()


def test_force_without_network_keeps_the_old_data(line, get):
    got = get()
    line.mishaps = ["404"]
    with pytest.raises(DataError, match="refuses") as caught:
        get(force=True)
    assert advice(caught.value).endswith(" --force") and caught.value.found == "404 Not Found"
    assert (got.folder / "ratings.csv").read_text() == RATINGS


@pytest.mark.parametrize(
    ("mishaps", "ranges"),
    [
        ([f"cut {HALF}"], [None, f"bytes={HALF}-"]),
        ([f"cut {HALF}", "cut 10", "cut 0"], [None, f"bytes={HALF}-", *[f"bytes={HALF + 10}-"] * 2]),
        ([f"stall {HALF}"], [None, f"bytes={HALF}-"]),
        (["silent"], [None, None]),
        (["500"], [None, None]),
        (["503 0", "500"], [None, None, None]),
        ([f"cut {HALF}", "500"], [None, f"bytes={HALF}-", f"bytes={HALF}-"]),
        ([f"cut {HALF}", "no range"], [None, f"bytes={HALF}-"]),
        ([f"cut {HALF}", "other range"], [None, f"bytes={HALF}-", None]),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, list) and None not in value else "",
)
def test_a_bad_line_costs_time_but_never_a_byte(line, get, tmp_path, mishaps, ranges):
    line.mishaps = list(mishaps)
    got = get()
    assert (got.folder / "ratings.csv").read_text() == RATINGS and left(tmp_path / "data") == WHOLE
    assert line.ranges() == ranges


def test_a_server_that_names_no_version_is_asked_from_the_start(line, get):
    line.validators, line.mishaps = False, [f"cut {HALF}"]
    assert (get().folder / "ratings.csv").read_text() == RATINGS and line.ranges() == [None, None]


@pytest.mark.parametrize("mishap", ["500", "stall 0", "cut 0"])
def test_a_server_that_keeps_failing_is_given_up_with_what_to_do(line, get, tmp_path, mishap):
    line.mishaps = [mishap] * 9
    with pytest.raises(DataError, match="could not be downloaded") as caught:
        get(pauses=(0.0, 0.0), timeout=0.1)
    assert line.ranges() == [None] * 3 and "3 tries" in caught.value.found
    hand = tmp_path / "data" / "ml-latest-small.download" / "ml-latest-small.zip"
    assert f"save https://files.grouplens.org/datasets/movielens/ml-latest-small.zip as {hand}; then" in caught.value.hint
    assert advice(caught.value).endswith(f"; then: score-rag data fetch ml-latest-small --into {tmp_path / 'data'}")


def test_a_mebibyte_of_progress_starts_the_count_of_tries_again(line, tmp_path):
    content = bytes(range(256)) * (5 << 12)
    line.serve("/big", content)
    line.mishaps = [f"cut {1 << 20}"] * 4
    with open_client(timeout=1) as client:
        download(f"{line.address}/big", tmp_path / "big", client=client, pauses=(0.0,))
        assert (tmp_path / "big").read_bytes() == content and left(tmp_path) == ["big"]
        line.mishaps = [f"cut {1 << 10}"] * 2
        with pytest.raises(DataError, match="2,048 bytes kept"):
            download(f"{line.address}/big", tmp_path / "again", client=client, pauses=(0.0,))


def test_killed_half_way_the_same_command_goes_on(line, get, tmp_path):
    def kill(what, done, total):
        if done * 1000 > HALF:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(report=kill)
    part = tmp_path / "data" / "ml-latest-small.download" / "ml-latest-small.zip.part"
    size = part.stat().st_size
    assert HALF < size <= len(ARCHIVE) and not (tmp_path / "data" / "ml-latest-small").exists()
    assert (get().folder / "ratings.csv").read_text() == RATINGS and line.ranges() == [None, f"bytes={size}-"]


def killed(get, tmp_path) -> Path:
    """The part that a killed call leaves."""

    def kill(what, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(report=kill)
    return tmp_path / "data" / "ml-latest-small.download" / "ml-latest-small.zip.part"


def test_a_part_that_is_complete_already_is_taken(line, get, tmp_path):
    killed(get, tmp_path).write_bytes(ARCHIVE)
    assert (get().folder / "ratings.csv").read_text() == RATINGS and line.ranges() == [None, f"bytes={len(ARCHIVE)}-"]


def test_a_part_longer_than_the_file_is_thrown_away(line, get, tmp_path):
    killed(get, tmp_path).write_bytes(ARCHIVE + b"more")
    assert (get().folder / "ratings.csv").read_text() == RATINGS and line.ranges() == [None, f"bytes={len(ARCHIVE) + 4}-", None]


@pytest.mark.parametrize("mishaps", [[], ["blind"]], ids=["If-Range is honoured", "If-Range is ignored"])
def test_two_versions_are_never_joined(line, get, tmp_path, mishaps):
    size = killed(get, tmp_path).stat().st_size
    assert size > 0
    line.serve(SMALL, packed({"ml-latest-small/ratings.csv": RATINGS[::-1], "ml-latest-small/movies.csv": MOVIES}))
    line.mishaps = list(mishaps)
    assert (get().folder / "ratings.csv").read_text() == RATINGS[::-1] and line.ranges()[:2] == [None, f"bytes={size}-"]


def test_a_part_of_a_smaller_new_version_is_thrown_away(line, get, tmp_path):
    killed(get, tmp_path)
    line.serve(SMALL, packed({"ml-latest-small/ratings.csv": "r", "ml-latest-small/movies.csv": "m"}))
    line.mishaps = ["blind"]
    assert (get().folder / "ratings.csv").read_text() == "r" and len(line.ranges()) == 3


def test_wrong_bytes_are_named_and_removed_and_nothing_is_unpacked(line, get, tmp_path):
    line.files[f"{SMALL}.md5"] = b"0" * 32 + b"  ml-latest-small.zip\n"
    with pytest.raises(DataError, match="not the file that was expected") as caught:
        get()
    assert caught.value.expected == f"md5:{'0' * 32}" and caught.value.found == f"md5:{hashlib.md5(ARCHIVE).hexdigest()}"
    assert caught.value.where == line.address + SMALL and left(tmp_path / "data") == []


def test_a_known_size_unmasks_a_sign_in_page_before_a_byte_is_kept(line, get, tmp_path):
    line.serve("/datasets/movielens/ml-1m.zip", b"<html>Welcome to our hotel</html>")
    with pytest.raises(DataError, match="another file than expected") as caught:
        get("ml-1m")
    assert caught.value.expected == "5,917,549 bytes" and caught.value.found == "33 bytes" and left(tmp_path / "data") == []


def test_a_known_checksum_is_checked_against_the_archive_itself(line, get, tmp_path):
    line.serve("/datasets/movielens/ml-1m.zip", b"\0" * DATASETS["ml-1m"].remotes[0].size)
    with pytest.raises(DataError, match="not the file that was expected") as caught:
        get("ml-1m")
    assert caught.value.expected == "md5:c4d9eecfca2ab87c1945afe126590906" and left(tmp_path / "data") == []


def test_an_md5_that_is_not_published_is_said(line, get):
    del line.files[f"{SMALL}.md5"]
    assert get().checked == ("ml-latest-small.zip: its own CRC-32s (the published MD5 could not be read)",)


def refused() -> str:
    """An address of this machine at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_without_network_the_file_is_brought_by_hand_and_taken(get, tmp_path):
    started = time.monotonic()
    with pytest.raises(DataError, match="could not be downloaded") as caught:
        get(mirror=refused(), pauses=(0.01, 60.0))
    assert time.monotonic() - started < 2 and "by hand" in caught.value.hint
    with pytest.raises(DataError) as both:
        get("amazon-2023:Books", mirror=refused())
    assert re.search(r"save https\S+/Books\.jsonl\.gz as \S+, and https\S+/meta_Books\.jsonl\.gz as \S+;", both.value.hint)
    hand = Path(re.search(r"zip as (\S+);", caught.value.hint)[1])
    hand.write_bytes(ARCHIVE)
    got = get(mirror=refused())
    assert (got.folder / "ratings.csv").read_text() == RATINGS and left(tmp_path / "data") == WHOLE
    assert json.loads((got.folder / "fetched.json").read_text())["downloads"][0]["address"] is None and not hand.exists()


def test_the_second_address_is_asked_when_the_first_fails(line, tmp_path):
    content = gzip.compress(b"{}")
    line.serve("/good/a.gz", content, md5=False)
    line.serve("/bad/a.gz", content[:-1], md5=False)
    with open_client(timeout=1) as client:
        desk = Desk((), tmp_path, client, None, (0.0,), silent, "again")
        got = desk.obtain(Remote("a.gz", tuple(f"{host}/a.gz" for host in (refused(), f"{line.address}/bad", f"{line.address}/good"))))
        assert got.address == f"{line.address}/good/a.gz" and got.path.read_bytes() == content
        got.path.unlink()
        with pytest.raises(DataError, match="404 Not Found") as caught:
            desk.obtain(Remote("a.gz", (f"{line.address}/1/a.gz", f"{line.address}/2/a.gz")))
    assert caught.value.where == f"{line.address}/1/a.gz and {line.address}/2/a.gz"


def test_two_at_once_do_not_write_to_one_folder(get, tmp_path):
    with folder_lock(tmp_path / "data" / "ml-latest-small.download", doing="fetch"), pytest.raises(LockedError):
        get()


def test_a_wrong_file_brought_by_hand_is_left_to_its_owner(get, tmp_path):
    hand = tmp_path / "data" / "ml-latest-small.download" / "ml-latest-small.zip"
    hand.parent.mkdir(parents=True)
    hand.write_bytes(ARCHIVE[:-1])
    with pytest.raises(DataError, match="not the file that was expected") as caught:
        get()
    assert "remove that file" in caught.value.hint and hand.is_file()
    with pytest.raises(DataError, match="damaged") as caught:
        get(mirror=refused())
    assert "remove that file" in caught.value.hint and left(tmp_path / "data") == ["ml-latest-small.download/ml-latest-small.zip"]


def test_redirects_are_followed_and_the_environment_names_a_mirror(line, get, monkeypatch):
    monkeypatch.setenv("SCORE_RAG_MIRROR", f"{line.address}/moved/")
    assert (get(mirror=None).folder / "ratings.csv").read_text() == RATINGS
    with pytest.raises(InputError, match="no address"):
        get(mirror="ftp.example.org", force=True)


def test_amazon_files_are_kept_packed_and_checked_by_what_is_inside_them(line, get, tmp_path):
    reviews, items = gzip.compress(b'{"overall": 5.0}\n' * 999), gzip.compress(b'{"asin": "B1"}\n')
    line.serve("/public_datasets/data/amazon_v2/categoryFilesSmall/Books_5.json.gz", reviews, md5=False)
    line.serve("/public_datasets/data/amazon_v2/metaFiles2/meta_Books.json.gz", items[:-3], md5=False)
    with pytest.raises(DataError, match="gzip file is damaged"):
        get("amazon-2018:Books")
    folder = tmp_path / "data" / "amazon-2018-Books"
    assert left(tmp_path / "data") == ["amazon-2018-Books.download/Books_5.json.gz"]
    line.serve("/public_datasets/data/amazon_v2/metaFiles2/meta_Books.json.gz", items, md5=False)
    got = get("amazon-2018:Books")
    assert got.folder == folder and got.source == "amazon" and len(got.checked) == 2 and "own CRC-32" in got.checked[0]
    assert (folder / "Books_5.json.gz").read_bytes() == reviews and (folder / "meta_Books.json.gz").read_bytes() == items
    assert len(line.ranges("/public_datasets/data/amazon_v2/categoryFilesSmall/Books_5.json.gz")) == 1
    assert get("amazon-2018:Books").already


@pytest.mark.parametrize(
    ("name", "said"),
    [("ml-1mm", "did you mean 'ml-1m'"), ("amazon-2018", "did you mean 'amazon-2018:Video_Games'"), ("amazon-1999:Books", "amazon-20")],
)
def test_an_unknown_name_is_a_mistake_of_the_caller(tmp_path, name, said):
    with pytest.raises(InputError) as caught:
        fetch(name, tmp_path)
    assert said in caught.value.hint and list(tmp_path.iterdir()) == []
    with pytest.raises(InputError):
        find_dataset("amazon-2018:../Books")


def test_every_data_set_says_where_how_and_what_for():
    assert {"ml-100k", "ml-1m", "ml-latest-small", "ml-latest", "ml-25m", "ml-32m"} < set(DATASETS)
    assert {f"amazon-{year}:Video_Games" for year in AMAZON_YEARS} < set(DATASETS)
    for name, dataset in DATASETS.items():
        assert name == dataset.name and dataset.source in ("movielens", "amazon") and dataset.holds
        assert "(https://" in dataset.licence and len(dataset.about) < 120
        for remote in dataset.remotes:
            assert all(address.startswith("https://") and address.endswith(f"/{remote.name}") for address in remote.addresses)
            assert remote.checksum is None or re.fullmatch(r"md5:[0-9a-f]{32}|https://\S+\.md5", remote.checksum)


def test_a_server_may_ask_for_patience_in_seconds_or_by_the_clock():
    import email.utils

    import httpx

    def asked(text: str) -> float:
        return _retry_after(httpx.Response(503, headers={"Retry-After": text}))

    assert asked("7") == 7 and asked("soon") == 0 and asked("Fri, 01 Jan 1999 00:00:00 GMT") == 0
    assert 25 < asked(email.utils.formatdate(time.time() + 30, usegmt=True)) <= 30


def linked(name: str, kind: int) -> bytes:
    """A zip with an entry of another kind than a file."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = (kind | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    return stream.getvalue()


def twice(name: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, "1")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr(name, "2")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("archive", "said"),
    [
        (packed({"fine.txt": "x", "../evil.txt": "x"}), r"'\.\./evil\.txt' leads outside"),
        (packed({"a/../../evil.txt": "x"}), "leads outside"),
        (packed({"..\\evil.txt": "x"}), "leads outside"),
        (packed({"/evil.txt": "x"}), "'/evil.txt' leads outside"),
        (packed({"C:\\evil.txt": "x"}), "leads outside"),
        (linked("link", stat.S_IFLNK), "'link' is a link"),
        (linked("device", stat.S_IFCHR), "'device' is no plain file"),
        (twice("a"), "'a' comes twice"),
        (packed({"zeros": bytes(17 << 20)}), "suspiciously much"),
        (ARCHIVE[: len(ARCHIVE) // 2], "damaged"),
        (ARCHIVE[:5000] + bytes([ARCHIVE[5000] ^ 0xFF]) + ARCHIVE[5001:], "damaged"),
        (b"", "damaged"),
    ],
    ids=["up", "up later", "up, Windows", "absolute", "drive", "link", "device", "twice", "bomb", "cut", "one bit", "empty"],
)
def test_an_archive_that_is_unsafe_or_broken_is_refused(tmp_path, archive, said):
    file, into = tmp_path / "a.zip", tmp_path / "in" / "into"
    file.write_bytes(archive)
    into.mkdir(parents=True)
    with pytest.raises(DataError, match=said) as caught:
        unpack_zip(file, into)
    assert caught.value.where == str(file) and sorted(path.name for path in tmp_path.rglob("*evil*")) == []


def test_limits_of_an_archive_are_of_all_files_together(tmp_path):
    (tmp_path / "a.zip").write_bytes(packed({"b": bytes(range(256)), "a/c": bytes(range(256))}))
    with pytest.raises(DataError, match="at most 511 bytes"):
        unpack_zip(tmp_path / "a.zip", tmp_path, most_bytes=511)
    assert left(tmp_path) == ["a.zip"]
    assert unpack_zip(tmp_path / "a.zip", tmp_path, most_bytes=512) == [tmp_path / "a" / "c", tmp_path / "b"]


def test_an_unsafe_archive_leaves_no_data_folder(line, get, tmp_path):
    line.serve(SMALL, packed({"ml-latest-small/ratings.csv": "r", "ml-latest-small/../../movies.csv": "m"}))
    with pytest.raises(DataError, match="not safe to unpack") as caught:
        get()
    assert "remove that file" in caught.value.hint and left(tmp_path / "data") == ["ml-latest-small.download/ml-latest-small.zip"]
    line.serve(SMALL, packed({"ml-latest-small/ratings.csv": "r"}))
    (tmp_path / "data" / "ml-latest-small.download" / "ml-latest-small.zip").unlink()
    with pytest.raises(DataError, match=r"lacks files[\s\S]*movies\.csv"):
        get()
    assert not (tmp_path / "data" / "ml-latest-small").exists()


def test_a_gzip_file_is_read_to_its_end(tmp_path):
    file = tmp_path / "a.gz"
    content = RATINGS.encode()
    whole = gzip.compress(content)
    file.write_bytes(whole)
    check_gzip(file)
    for broken in (whole[:-1], whole[: len(whole) // 2], whole[:-8] + bytes(4) + whole[-4:], b"<html>", whole + b"tail"):
        file.write_bytes(broken)
        with pytest.raises(DataError, match="gzip file is damaged"):
            check_gzip(file)
    file.write_bytes(gzip.compress(bytes(17 << 20)))
    with pytest.raises(DataError, match="suspiciously much"):
        check_gzip(file)
