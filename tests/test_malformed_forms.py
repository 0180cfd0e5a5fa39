"""Malformed forms: JSON lines, Parquet, gzip, folders and sources; each is refused by one error that names what is wrong."""

from __future__ import annotations

import gzip
import io

import polars as pl
import pytest
from test_malformed import GOOD, ITEMS, MALFORMED, refuse, table

from score_rag.data import load
from score_rag.errors import DataError

JSON = '{"user_id":"u","item_id":"1","label":1,"timestamp":10}\n'
JSON_RATED = JSON.replace("label", "rating")
REVIEW = '{"reviewerID":"u","asin":"1","overall":4.0,"unixReviewTime":10}\n'
ATOMIC = "user_id:token\titem_id:token\trating:float\ttimestamp:float\nu\t1\t5\t10\n"
SEQUENCES = "user_id:token\titem_id_list:token_seq\titem_id:token\nu\t1 2\t3\n"
ATOMIC_ITEMS = "item_id:token\tmovie_title:token_seq\n1\tHeat\n2\tGrease\n3\tAlien\n"
RATINGS = "userId,movieId,rating,timestamp\n1,1,4.0,10\n"
MOVIES = "movieId,title,genres\n1,Heat (1995),Crime\n"


def parquet(**columns) -> bytes:
    """A Parquet file of these columns."""
    told = io.BytesIO()
    pl.DataFrame(columns).write_parquet(told, compression="uncompressed")
    return told.getvalue()


PARQUET = parquet(user_id=["u"] * 500, item_id=["1"] * 500, label=[1] * 500, timestamp=range(500))


def films(ratings, movies=MOVIES):
    return {"ratings.csv": ratings, "movies.csv": movies}


def atomic(events, items=ATOMIC_ITEMS):
    return {"x.inter": events, "x.item": items}


# As in `test_malformed`: name, files, what the message says; and source and reading, where it is not a `table` with its defaults.
FORMS = [
    # containers
    ("gzip that is torn", table(gzip.compress(GOOD.encode())[:-9], ending="csv.gz"), ["interactions.csv.gz", "torn or is none"]),
    ("gzip with a flipped bit", table(gzip.compress(GOOD.encode())[:-6] + b"\0" * 6, ending="csv.gz"), ["torn or is none"]),
    ("gzip that is none", table(GOOD, ending="csv.gz"), ["interactions.csv.gz", "torn or is none"]),
    ("gzip under another name", table(gzip.compress(GOOD.encode())), ["interactions.csv", "no text", "gzip", ".gz"]),
    ("a spreadsheet", table(b"PK\x03\x04rest"), ["a zip archive or a spreadsheet"]),
    ("Parquet under another name", table(PARQUET), ["Parquet", ".parquet"]),
    ("Parquet that is none", table(GOOD, ending="parquet"), ["interactions.parquet", "torn or is no Parquet"]),
    ("Parquet that is torn", table(PARQUET[:200], ending="parquet"), ["torn or is no Parquet"]),
    (
        "Parquet of structures",
        table(parquet(user_id=[{"a": 1}], item_id=[b"1"], label=[1]), ending="parquet"),
        ["user_id: Struct", "item_id: Binary"],
    ),
    ("Parquet titles in lists", table(GOOD, parquet(item_id=["1"], title=[["Heat"]]), items_ending="parquet"), ["title: List"]),
    (
        "Parquet with holes",
        table(parquet(user_id=["u", None], item_id=["1", "2"], label=[1, 5]), ending="parquet"),
        ["line 2: user_id", "line 2: label"],
    ),
    (
        "Parquet times beyond int64",
        table(parquet(user_id=["u"], item_id=["1"], timestamp=pl.Series([2**63 + 9], dtype=pl.UInt64)), ending="parquet"),
        ["line 1: timestamp"],
    ),
    # JSON
    ("a broken line", table(JSON + JSON[:20] + "\n" + JSON, ending="jsonl"), ["interactions.jsonl, line 2: expected a JSON object"]),
    (
        "lines of other things",
        table(JSON + "[1]\n7\nnull\n", ending="jsonl"),
        ["3 malformed", "line 2", "line 4: expected a JSON object, found 'null'"],
    ),
    (
        "a missing field",
        table(JSON + '{"user_id":"u","item_id":"2","timestamp":1}\n', ending="jsonl"),
        ["line 2: label: expected 0 or 1, found nothing"],
    ),
    ("fields that no line has", table('{"user":"u","item_id":"1"}\n', ending="jsonl"), ["lacks columns: user_id", "found: user, item_id"]),
    (
        "nested numbers",
        table(JSON_RATED + JSON_RATED.replace(":1,", ':{"stars":4},'), ending="jsonl"),
        ["line 2: rating: expected a number", "stars"],
    ),
    (
        "nested ids",
        table(JSON + JSON.replace('"u"', '["u"]').replace('"1"', '{"a":1}'), ending="jsonl"),
        ["2 malformed", "line 2: user_id: expected an id"],
    ),
    (
        "nested titles",
        table(GOOD, '{"item_id":"1","title":{"en":"Heat"}}\n', items_ending="jsonl"),
        ["items.jsonl, line 1: title: expected text"],
    ),
    ("a torn JSON array", table("[\n" + JSON.strip() + ",\n" + JSON, ending="json"), ["no JSON array, though it begins like one"]),
    ("a JSON array of numbers", table("[1, 2]", ending="json"), ["holds no JSON objects", "found: '1'"]),
    (
        "a JSON array with a number in it",
        table(f"[{JSON}, 7, {JSON}]", ending="json"),
        ["interactions.json, line 2: expected a JSON object, found '7'"],
    ),
    ("an empty JSON file", table("\n", ending="jsonl"), ["interactions.jsonl", "empty"]),
    ("latin-1 JSON", table((JSON + JSON.replace("u", "é")).encode("latin-1"), ending="jsonl"), ["line 2: expected UTF-8"]),
    ("half a surrogate pair in an id", table(JSON.replace('"u"', '"\\ud83d"'), ending="jsonl"), ["line 1: user_id: expected an id"]),
    (
        "an endless number and endless brackets",
        table(JSON + "9" * 5000 + "\n" + "[" * 100_000 + "\n", ending="jsonl"),
        ["2 malformed", "line 2", "line 3"],
    ),
    ("torn gzipped JSON", table(gzip.compress(JSON.encode())[:-9], ending="jsonl.gz"), ["torn or is none"]),
    # folders and sources
    ("no interactions", {"items.csv": ITEMS}, ["the interactions file is missing", "found: items.csv"]),
    ("items under another name", {"interactions.csv": GOOD, "films.csv": ITEMS}, ["the items file is missing", "films.csv", "data.items"]),
    ("no titles where they were named", {"interactions.csv": GOOD}, ["lacks columns: name"], "table", {"item_columns": {"title": "name"}}),
    ("an empty folder", {}, ["interactions file is missing", "an empty folder"]),
    ("no MovieLens", {"x.txt": ""}, ["no MovieLens data", "ratings.csv and movies.csv"], "movielens"),
    ("ratings, but no movies", {"ratings.csv": RATINGS}, ["movies.csv", "missing"], "movielens"),
    ("movies, but no ratings", {"movies.csv": MOVIES}, ["ratings.csv", "missing"], "movielens"),
    ("MovieLens without ratings", films(RATINGS.split("\n")[0] + "\n"), ["there are no events", "ratings.csv"], "movielens"),
    ("MovieLens between semicolons", films(RATINGS.replace(",", ";")), ["separated by semicolons"], "movielens"),
    (
        "ratings of three cells",
        {"ratings.dat": "1::1::4\n", "movies.dat": "1::Heat (1995)::Crime\n"},
        ["ratings.dat, line 1: expected 4 cells, found 3"],
        "movielens",
    ),
    (
        "ratings of five cells",
        {"ratings.dat": "1::1::4::10::9\n", "movies.dat": "1::Heat::Crime\n"},
        ["line 1: expected 4 cells, found 5"],
        "movielens",
    ),
    (
        "films of two cells",
        {"ratings.dat": "1::1::4::10\n", "movies.dat": "1::Heat\n"},
        ["movies.dat, line 1: expected 3 cells, found 2"],
        "movielens",
    ),
    ("no Amazon", {"x.txt": ""}, ["the interactions file is missing", "no JSON files"], "amazon"),
    ("several reviews", {"a.json": REVIEW, "b.json": REVIEW, "meta_a.json": "{}\n"}, ["not clear which file", "a.json, b.json"], "amazon"),
    ("no reviews of Amazon's", {"a.json": JSON, "meta_a.json": "{}\n"}, ["no Amazon reviews", "reviewerID"], "amazon"),
    ("metadata with broken lines", {"a.json": REVIEW, "meta_a.json": '{"asin":"1"}\n{"asin":\n'}, ["meta_a.json, line 2"], "amazon"),
    ("no RecBole", {"x.txt": ""}, ["no RecBole data", "found: x.txt"], "recbole"),
    ("items without titles", atomic(ATOMIC, "item_id:token\tprice:float\n1\t5\n"), ["x.item", "no titles", "price:float"], "recbole"),
    ("rows and sequences", atomic(ATOMIC) | {"y.inter": SEQUENCES}, ["of two forms", "x.inter, y.inter"], "recbole"),
    ("RecBole between commas", atomic(ATOMIC.replace("\t", ",")), ["x.inter", "separated by tabs"], "recbole"),
    ("RecBole without users", atomic(ATOMIC.replace("user_id", "user")), ["lacks columns: user_id:token"], "recbole"),
    (
        "RecBole files of which only one has ratings",
        atomic(ATOMIC) | {"y.inter": "user_id:token\titem_id:token\nv\t1\n"},
        ["have different columns", "x.inter: item_id, rating, timestamp, user_id; y.inter: item_id, user_id"],
        "recbole",
    ),
    (
        "sequences of which none holds the other",
        atomic(SEQUENCES + "u\t1\t2\nu\t2 3\t1\n"),
        ["1 malformed", "x.inter, line 4: expected a part of the user's longest sequence"],
        "recbole",
    ),
    ("sequences without a last item", atomic(SEQUENCES + "v\t1 2\t\n"), ["x.inter, line 3", "an id (item_id)"], "recbole"),
    (
        "seconds, and milliseconds much later",
        table(JSON * 200_001 + JSON.replace("10}", "1600000001000}"), ending="jsonl"),
        ["line 200002: timestamp: expected one unit", "1 malformed cell\n"],
    ),
]


def test_the_names_of_the_cases_differ():
    names = [case[0] for case in MALFORMED + FORMS]
    assert len(set(names)) == len(names) > 100


@pytest.mark.parametrize("case", FORMS, ids=[case[0].replace(" ", "-") for case in FORMS])
def test_a_malformed_form_is_refused_with_all_that_is_wrong(tmp_path, case):
    refuse(tmp_path, case)


def test_a_file_is_no_folder_where_a_source_has_several(tmp_path):
    file = tmp_path / "ratings.csv"
    file.write_text(RATINGS, encoding="utf-8")
    with pytest.raises(DataError, match="the data folder is not there") as caught:
        load("movielens", file)
    assert str(file) in str(caught.value)


def test_no_damage_to_parquet_comes_through_as_anything_but_a_data_error(tmp_path):
    (tmp_path / "items.csv").write_text(ITEMS, encoding="utf-8")
    for start in range(0, len(PARQUET), len(PARQUET) // 40):
        damaged = PARQUET[:start] + bytes(255 - sign for sign in PARQUET[start : start + 8]) + PARQUET[start + 8 :]
        (tmp_path / "interactions.parquet").write_bytes(damaged)
        try:
            _, report = load("table", tmp_path, split="leave-last-out")
        except DataError:
            continue
        assert report.rows_read == sum(report.kept.values()) + sum(report.dropped.values())
