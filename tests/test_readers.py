"""Each format as its publisher writes it, to the row; and quick reading equals careful reading, whatever a file holds."""

from __future__ import annotations

import gzip
import json
import os
from collections import defaultdict
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from score_rag.data import load, read_source
from score_rag.data.delimited import read_delimited_events, read_delimited_text
from score_rag.data.dialect import Dialect
from score_rag.data.mistakes import Mistakes
from score_rag.data.report import DataReport
from score_rag.data.table import parse_events
from score_rag.errors import DataError

REAL = Path(os.environ.get("SCORE_RAG_DATA") or Path(__file__).parents[2] / "shared" / "data")
MONTHS = {"train": (14, 23), "valid": (24, 28), "test": (29, 33)}


def real(name):
    """The folder of a real data set; the test is skipped where it is not."""
    if not (REAL / name).is_dir():
        pytest.skip(f"{name} is not here: its licence keeps it out of the project (SCORE_RAG_DATA says where it is)")
    return REAL / name


def read(source, folder, **reading):
    """(events as tuples, items as tuples of id, title, year, genres, report)."""
    report = DataReport(source)
    events, items = read_source(source, folder, report=report, **reading)
    judged = "rating" if "rating" in events.columns else "label" if "label" in events.columns else None
    wanted = ["user_id", "item_id", *([judged] if judged else []), *(["timestamp"] if "timestamp" in events.columns else [])]
    rows = events.select(wanted).cast({"user_id": pl.String(), "item_id": pl.String()}).rows()
    told = [name for name in ("item_id", "title", "year", "genres", "creators", "keywords") if name in items.columns]
    return rows, items.select(told).to_dicts(), report


def write(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


# As published


def test_movielens_with_double_colons_is_latin_1_and_titles_keep_their_single_colons(tmp_path):
    movies = "1::Amélie: un film (2001)::Comedy|Romance\n2::Sting, The (1973)::Comedy\n"
    folder = write(tmp_path / "one", ratings__dat="7::1::5::10\n7::2::3::20\n", movies__dat=movies.encode("latin-1"))
    rows, items, report = read("movielens", folder)
    assert rows == [("7", "1", 5.0, 10), ("7", "2", 3.0, 20)] and report.rows_read == 2
    assert [(item["title"], item["year"], item["genres"]) for item in items] == [
        ("Amélie: un film", 2001, ["Comedy", "Romance"]),
        ("The Sting", 1973, ["Comedy"]),
    ]
    # 10M is the same in UTF-8, and rates in halves.
    folder = write(tmp_path / "ten", ratings__dat="7::1::4.5::10\n", movies__dat=movies.encode())
    rows, items, _ = read("movielens", folder)
    assert rows == [("7", "1", 4.5, 10)] and items[0]["title"] == "Amélie: un film"


def test_movielens_100k_has_flags_for_genres(tmp_path):
    flags = ["0"] * 19
    flags[5] = flags[14] = "1"
    film = f"1|Sting, The (1973)|01-Jan-1973||http://x|{'|'.join(flags)}\n2|Amélie (2001)|||x|{'|'.join(['0'] * 19)}\n"
    rows, items, _ = read("movielens", write(tmp_path / "k", u__data="196\t1\t3\t881250949\n", u__item=film.encode("latin-1")))
    assert rows == [("196", "1", 3.0, 881_250_949)]
    assert [(item["title"], item["year"], item["genres"]) for item in items] == [
        ("The Sting", 1973, ["Comedy", "Romance"]),
        ("Amélie", 2001, []),
    ]


REVIEWS = {
    "2014": (
        {"reviewerID": "A", "asin": "B1", "overall": 5.0, "unixReviewTime": 10, "reviewText": "x", "helpful": [0, 1]},
        {"asin": "B1", "title": "Halo &amp; Co", "brand": "Bungie", "categories": [["Video Games", "Xbox"]]},
    ),
    "2018": (
        {"reviewerID": "A", "asin": "B1", "overall": 5.0, "unixReviewTime": 10, "verified": True},
        {"asin": "B1", "title": "Halo &amp; Co", "brand": "Bungie", "category": ["Video Games", "Xbox"]},
    ),
    "2023": (
        {"user_id": "A", "asin": "x", "parent_asin": "B1", "rating": 5.0, "timestamp": 1_600_000_000_123, "title": "good", "text": "x"},
        {"parent_asin": "B1", "title": "Halo & Co", "store": "Bungie", "categories": ["Video Games", "Xbox"], "features": []},
    ),
}


@pytest.mark.parametrize("year", REVIEWS)
@pytest.mark.parametrize("zipped", [True, False])
def test_amazon_reviews_of_each_year(tmp_path, year, zipped):
    review, product = REVIEWS[year]
    ending = "jsonl" if year == "2023" else "json"
    names = {"2014": ("reviews_Video_Games_5", "meta_Video_Games"), "2018": ("Video_Games_5", "meta_Video_Games")}
    reviews, meta = names.get(year, ("Video_Games", "meta_Video_Games"))
    for name, line in ((reviews, review), (meta, product)):
        text = (json.dumps(line) + "\n").encode()
        (tmp_path / f"{name}.{ending}{'.gz' if zipped else ''}").write_bytes(gzip.compress(text) if zipped else text)
    rows, items, report = read("amazon", tmp_path)
    assert rows == [("A", "B1", 5.0, 1_600_000_000 if year == "2023" else 10)]
    assert report.rows_read == 1
    assert (
        items[0]["title"] == "Halo & Co"
        and items[0]["creators"] == ["Bungie"]
        and "Xbox" in items[0]["genres"] + items[0].get("keywords", [])
    )


def test_amazon_metadata_of_2014_is_python_not_json(tmp_path):
    """Its lines are Python literals; they are read without running anything."""
    review, _ = REVIEWS["2014"]
    (tmp_path / "reviews_Video_Games.json").write_text(json.dumps(review) + "\n", encoding="utf-8")
    (tmp_path / "meta_Video_Games.json").write_text(
        "{'asin': 'B1', 'title': \"Tom's Game\", 'categories': [['Video Games']]}\n", encoding="utf-8"
    )
    _, items, _ = read("amazon", tmp_path)
    assert items[0]["title"] == "Tom's Game"


def test_recbole_rows_with_ratings_and_with_sequences(tmp_path):
    item = (
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n1\tHeat\t1995\tCrime Drama\n2\tGrease\t1978\tMusical\n"
    )
    inter = "user_id:token\titem_id:token\trating:float\ttimestamp:float\nu\t1\t4\t10\nu\t2\t3\t20\n"
    rows, items, _ = read("recbole", write(tmp_path / "rows", x__inter=inter, x__item=item))
    assert rows == [("u", "1", 4.0, 10), ("u", "2", 3.0, 20)]
    assert [(i["title"], i["year"], i["genres"]) for i in items] == [("Heat", 1995, ["Crime", "Drama"]), ("Grease", 1978, ["Musical"])]
    sequences = "user_id:token\titem_id_list:token_seq\titem_id:token\nu\t1 2\t1\nv\t2\t1\n"
    rows, _, report = read("recbole", write(tmp_path / "sequences", x__inter=sequences, x__item=item))
    assert [row[:2] for row in rows] == [("u", "1"), ("u", "2"), ("u", "1"), ("v", "2"), ("v", "1")] and report.rows_read == 5


# Quick and careful

CELL = st.text(alphabet=st.sampled_from("ab1 ,\t\"'|é👩\u00a00.-"), min_size=1, max_size=5)
NUMBER = st.sampled_from(["1", "4.5", "5", " 3", "-1", "nan", "1e3", "", "x", "0"])
TIME = st.sampled_from(["10", "10.5", "1600000000000", "978300760", "-4", "", "2001-02-03", "1e9"])


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.tuples(CELL, CELL, NUMBER, TIME), min_size=1, max_size=6), quoting=st.booleans(), compress=st.booleans())
def test_quick_reading_equals_careful_reading(tmp_path_factory, rows, quoting, compress):
    """The same rows or the same mistakes, whichever way a file is read; and the books of both add up."""

    def written(cell):
        return '"' + cell.replace('"', '""') + '"' if quoting or set(cell) & set('",') else cell

    text = "user_id,item_id,rating,timestamp\n" + "".join(",".join(map(written, row)) + "\n" for row in rows)
    file = tmp_path_factory.mktemp("read") / ("x.csv.gz" if compress else "x.csv")
    file.write_bytes(gzip.compress(text.encode()) if compress else text.encode())
    columns = {name: name for name in ("user_id", "item_id", "rating", "timestamp")}

    def careful(mistakes, report):
        cells = read_delimited_text(file, list(columns), mistakes=mistakes, dialect=Dialect.of(file))
        report.rows_read += len(cells)
        return parse_events(cells, file=file, mistakes=mistakes, report=report)

    found = []
    for way in (lambda m, r: read_delimited_events(file, columns, mistakes=m, report=r), careful):
        mistakes, report = Mistakes(), DataReport("table")
        events = way(mistakes, report)
        try:
            mistakes.settle(file)
            frame = (
                events.with_columns(place=pl.int_range(len(events))).sort("timestamp", "place") if "timestamp" in events.columns else events
            )
            rows_found = frame.select(list(columns)).cast({"user_id": pl.String(), "item_id": pl.String()}).rows()
            found.append((rows_found, report.lines(), report.rows_read))
        except DataError as error:
            found.append(str(error))
    assert found[0] == found[1]


# Real files


def test_real_movielens_is_read_to_the_row():
    read_in, report = load("movielens", real("ml-latest-small"))
    assert (report.rows_read, len(read_in.events), len(read_in.catalogue)) == (100_836, 100_836, 9_742)
    assert read_in.item("17").name == "Sense and Sensibility (1995)"
    one, report = load("movielens", real("ml-1m"))
    # The whole file, or the part of it (users 1-2999, until August 2002) that suffices for the test below.
    assert report.rows_read in (1_000_209, 482_976) and len(one.catalogue) == 3_883


def test_real_games_are_sequences_without_judgements():
    games, report = load("recbole", real("amazon-games"), split="leave-last-out", negatives=1)
    assert report.rows_read == 440_264 and len(games.catalogue) == 16_859
    real_rows = games.events.filter(~pl.col("sampled"))
    assert len(real_rows) == 440_264 and real_rows["user_id"].n_unique() == 50_546
    assert not any("&amp;" in item.title or "&quot;" in item.title for item in games.catalogue.values())


def test_months_reproduce_the_published_cut_to_the_row():
    """Split by months, the raw file gives the train and valid rows of the published cut for the same people: all of them and none else."""
    raw, report = load("movielens", real("ml-1m"), split="months", months=MONTHS)
    cut, _ = load("table", real("ml-1m-collm"), split="column")

    def rows(data):
        found = defaultdict(set)
        titles = {item_id: item.name for item_id, item in data.catalogue.items()}
        frame = data.events.filter(pl.col("split") != "test").select("user_id", "item_id", "timestamp", "label", "split")
        for user, item, *rest in frame.cast({"user_id": pl.String(), "item_id": pl.String(), "split": pl.String()}).iter_rows():
            found[user].add((titles[item], *rest))
        return found

    ours, theirs = rows(raw), rows(cut)
    whose = {event: user for user, events in theirs.items() for event in events}
    # A user of the raw file is the person of the cut with whom they share most rows; then the rows of the two must be the same rows.
    people = {
        user: max({whose[event] for event in events if event in whose}, key=lambda one: len(events & theirs[one]))
        for user, events in ours.items()
    }
    assert all(ours[user] == theirs[person] for user, person in people.items())
    whole = report.rows_read == 1_000_209
    # People without train or valid rows are in neither table. Of the part, 445 of the cut's 803 people are there.
    assert len(set(people.values())) == len(people) == (len(theirs) if whole else 445)
    assert sum(map(len, ours.values())) == (44_292 if whole else 27_827)
