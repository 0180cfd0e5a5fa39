"""Downloads over a bad line: a real server on this machine that cuts, stalls, lies and changes its mind."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest
from fetch_world import ARCHIVE, MOVIES, RATINGS, SMALL, WHOLE, get, left, line, packed  # noqa: F401

from score_rag.cli.remedies import advice
from score_rag.data.datasets import DATASETS
from score_rag.data.download import _retry_after, download, open_client
from score_rag.errors import DataError

HALF = len(ARCHIVE) // 2


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


def test_a_server_may_ask_for_patience_in_seconds_or_by_the_clock():
    import email.utils

    import httpx

    def asked(text: str) -> float:
        return _retry_after(httpx.Response(503, headers={"Retry-After": text}))

    assert asked("7") == 7 and asked("soon") == 0 and asked("Fri, 01 Jan 1999 00:00:00 GMT") == 0
    assert 25 < asked(email.utils.formatdate(time.time() + 30, usegmt=True)) <= 30
