"""Fetching data sets: what is downloaded, checked, recorded and left alone; without a network, and by hand."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import socket
import time
from pathlib import Path

import pytest
from fetch_world import ARCHIVE, MOVIES, RATINGS, SMALL, WHOLE, get, left, line, packed  # noqa: F401

from score_rag.cli.remedies import advice
from score_rag.data.datasets import AMAZON_YEARS, DATASETS, Remote, find_dataset
from score_rag.data.download import open_client
from score_rag.data.fetch import fetch
from score_rag.data.obtain import Desk
from score_rag.errors import DataError, InputError, LockedError
from score_rag.files import folder_lock
from score_rag.progress import silent


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
