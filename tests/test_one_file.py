"""Data in one file: events and titles together, ratings without a catalogue, several items in one cell."""

from __future__ import annotations

import pytest

from score_rag.data import load, source_files
from score_rag.errors import DataError, InputError

BOTH = "user,song,artist,style,stars\nu,1,Abba,Pop,5\nu,2,Beck,Rock,2\nv,1,Abba,Pop,4\n"
NAMES = {"columns": {"user_id": "user", "item_id": "song", "rating": "stars"}, "split": "leave-last-out"}


@pytest.mark.parametrize("named", ["path", "interactions and items", "interactions"])
def test_one_file_of_events_and_items(tmp_path, named):
    file = tmp_path / "plays.csv"
    file.write_text(BOTH, encoding="utf-8")
    where = {"interactions": file.name, **({"items": file.name} if "items" in named else {})} if named != "path" else {}
    columns = {"title": "artist", "genres": "style", **({"item_id": "song"} if "items" in named else {})}
    data, report = load("table", file if named == "path" else tmp_path, **NAMES, **where, item_columns=columns)
    assert {item.item_id: (item.title, item.genres) for item in data.catalogue.values()} == {
        "1": ("Abba", ("Pop",)),
        "2": ("Beck", ("Rock",)),
    }
    assert len(data.events) == report.rows_read == 3 and not [line for line in report.warnings if "no catalogue" in line]


def test_ratings_without_a_catalogue_have_ids_for_titles_and_it_is_said(tmp_path):
    file = tmp_path / "interactions.csv"
    file.write_text("user_id,item_id,rating\nu,Dota 2,5\nu,17,2\nv,Dota 2,4\n", encoding="utf-8")
    for path in (tmp_path, file):
        data, report = load("table", path, split="leave-last-out")
        assert [item.title for item in data.catalogue.values()] == ["Dota 2", "17"]
        assert any("there is no catalogue" in line and "data.items" in line for line in report.warnings)
        assert source_files("table", path) == [file]
    (tmp_path / "other.csv").write_text("x\n", encoding="utf-8")
    with pytest.raises(DataError, match="the items file is missing") as caught:
        load("table", tmp_path, split="leave-last-out")
    assert "data.items=none" in str(caught.value) and "other.csv" in str(caught.value)
    data, _ = load("table", tmp_path, split="leave-last-out", items="none")
    assert len(data.catalogue) == 2


def test_a_file_beside_its_catalogue_may_be_named(tmp_path):
    (tmp_path / "events.csv").write_text("user_id,item_id,rating\nu,1,5\n", encoding="utf-8")
    (tmp_path / "items.csv").write_text("item_id,title\n1,Heat\n", encoding="utf-8")
    data, _ = load("table", tmp_path / "events.csv", split="leave-last-out")
    assert data.item("1").title == "Heat" and source_files("table", tmp_path / "events.csv") == [
        tmp_path / "events.csv",
        tmp_path / "items.csv",
    ]


MIND = "1\tU1\t11/11/2019 9:05:58 AM\tN9 N8\tN1-0 N2-1\n2\tU2\t11/12/2019 6:11:30 PM\t\tN2-0\n3\tU3\t11/13/2019 6:11:30 PM\t\t\n"
NEWS = 'N1\tsports\tgolf\tTiger "wins" again\nN2\tnews\tworld\tVote\n'


def test_impressions_as_mind_has_them(tmp_path):
    (tmp_path / "behaviors.tsv").write_text(MIND, encoding="utf-8")
    (tmp_path / "news.tsv").write_text(NEWS, encoding="utf-8")
    reading = {
        "interactions": "behaviors.tsv",
        "items": "news.tsv",
        "header": False,
        "columns": {"user_id": 2, "timestamp": 3},
        "list_column": 5,
        "item_columns": {"item_id": 1, "genres": 2, "title": 4},
        "time_format": "%m/%d/%Y %I:%M:%S %p",
        "split": "leave-last-out",
    }
    data, report = load("table", tmp_path, **reading)
    rows = data.events.select("user_id", "item_id", "label", "timestamp").cast({"user_id": str, "item_id": str}).rows()
    assert rows == [("U1", "N1", 0, 1573463158), ("U1", "N2", 1, 1573463158), ("U2", "N2", 0, 1573582290)]
    assert data.item("N1").title == 'Tiger "wins" again' and report.rows_read == 3
    assert report.decisions["events in lists of several items, unrolled"] == 3 and report.decisions["rows that list no item"] == 1


def test_lists_without_labels_are_implicit_and_errors_name_the_line(tmp_path):
    (tmp_path / "interactions.csv").write_text("user_id,items,timestamp\nu,1 2,1000000000\nv,2,1000000001\n", encoding="utf-8")
    (tmp_path / "items.csv").write_text("item_id,title\n1,A\n2,B\n3,C\n4,D\n", encoding="utf-8")
    data, _ = load("table", tmp_path, list_column="items", negatives=1, split="leave-last-out")
    kept = data.events.filter(~data.events["sampled"]).select("user_id", "item_id").cast(str).rows()
    assert kept == [("u", "1"), ("u", "2"), ("v", "2")]
    (tmp_path / "interactions.csv").write_text("user_id,items,timestamp\nu,1 2,x\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"interactions\.csv, line 2: timestamp"):
        load("table", tmp_path, list_column="items", split="leave-last-out")
    with pytest.raises(DataError, match="lacks columns: lists"):
        load("table", tmp_path, list_column="lists", split="leave-last-out")
    (tmp_path / "x.jsonl").write_text('{"user_id": "u", "items": "1 2"}\n', encoding="utf-8")
    with pytest.raises(InputError, match="delimited"):
        load("table", tmp_path, interactions="x.jsonl", list_column="items", split="leave-last-out")
