"""How files are written: quotes, headers, ids as decimals; read as they are meant, or refused with what to set."""

from __future__ import annotations

import json
import re

import pytest
from test_malformed import GOOD, HEAD, ITEMS
from test_malformed_forms import parquet

from score_rag.data import load
from score_rag.data.settings import DataSettings
from score_rag.errors import DataError
from score_rag.pipeline.yaml_text import read_yaml

TABBED = GOOD.replace(",", "\t")


def read(folder, events, items=ITEMS, *, ending="csv", items_ending="csv", **reading):
    for word, end, text in (("interactions", ending, events), ("items", items_ending, items)):
        (folder / f"{word}.{end}").write_bytes(text if isinstance(text, bytes) else text.encode())
    data, report = load("table", folder, split="leave-last-out", **reading)
    rows = data.events.sort("timestamp").select("user_id", "item_id", "label").cast({"user_id": str, "item_id": str}).rows()
    return rows, data.catalogue, report


ROWS = [("u", "1", 1), ("v", "2", 0)]


@pytest.mark.parametrize("name", ['"Nick" Surname', '"Heroes', 'The "Best" of', '"', '""Weird"" Al'])
def test_tabbed_files_quote_nothing(tmp_path, name):
    """hetrec's artists.dat has names that begin with a quote."""
    rows, items, report = read(tmp_path, TABBED, f"item_id\ttitle\n1\t{name}\n2\tPlain\n", ending="tsv", items_ending="tsv")
    assert rows == ROWS and items["1"].title == name and items["2"].title == "Plain"
    assert not [line for line in report.lines() if "quote" in line]


def test_dat_files_with_tabs_are_found_out_and_quote_nothing(tmp_path):
    (tmp_path / "user_artists.dat").write_text(TABBED, encoding="utf-8")
    (tmp_path / "artists.dat").write_text('item_id\ttitle\n1\t"Nick" Surname\n2\tB\n', encoding="utf-8")
    data, _ = load("table", tmp_path, split="leave-last-out", interactions="user_artists.dat", items="artists.dat")
    assert len(data.events) == 2 and data.item("1").title == '"Nick" Surname'


@pytest.mark.parametrize(
    ("items", "ending", "said"),
    [
        ('item_id,title\n1,"Nick" Surname\n2,B\n', "csv", "double quotes are signs like any other"),
        ('item_id\ttitle\n1\t"A\tB"\n2\tB\n', "tsv", "cells are quoted"),
        ('"item_id"\t"title"\n"1"\t"A"\n"2"\t"B"\n', "tsv", "names of columns stand in double quotes"),
    ],
)
def test_a_file_that_reads_one_way_only_is_read_so_and_it_is_said(tmp_path, items, ending, said):
    rows, found, report = read(tmp_path, GOOD, items, items_ending=ending)
    assert rows == ROWS and found["2"].title == "B"
    assert found["1"].title == {"csv": '"Nick" Surname'}.get(ending, "A" if '"item_id"' in items else "A B")
    assert any(f"items.{ending}" in line and said in line for line in report.lines())


def test_quotes_that_were_told_are_taken_at_their_word(tmp_path):
    _, found, _ = read(tmp_path, GOOD, "item_id,title\n1,'A, B'\n2,\"C\"\n", quote={"items": "'"})
    assert (found["1"].title, found["2"].title) == ("A, B", '"C"')
    (tmp_path / "items.csv").unlink()
    (tmp_path / "interactions.csv").unlink()
    _, found, _ = read(tmp_path, TABBED, 'item_id\ttitle\n1\t"A"\n2\tB\n', ending="tsv", items_ending="tsv", quote='"')
    assert found["1"].title == "A"
    with pytest.raises(DataError, match="quotes that close"):
        read(tmp_path, GOOD, 'item_id,title\n1,"Nick" Surname\n', quote='"')


def test_single_quotes_around_events_are_read_quickly_and_carefully_alike(tmp_path):
    for cells in (["'u,x'", "1", "1", "10"], ["'u,x'", "1", "1", "1970-01-01T00:00:10"]):
        rows, _, _ = read(tmp_path, HEAD + ",".join(cells) + "\n", quote="'")
        assert rows == [("u,x", "1", 1)]


# Headers


def test_without_a_header_columns_go_by_number_and_no_row_is_lost(tmp_path):
    columns = {"columns": {"user_id": 1, "item_id": 2, "rating": 3}}
    rows, found, report = read(
        tmp_path, "u1,10,5\nu1,11,2\nu2,10,4\n", "item_id,title\n10,A\n11,B\n", header={"interactions": False}, **columns
    )
    assert sorted(rows) == [("u1", "10", 1), ("u1", "11", 0), ("u2", "10", 1)] and report.rows_read == 3
    assert found["10"].title == "A"
    rows, found, report = read(tmp_path, "u1,10,5\n", "A;10\nB;11\n", header=False, item_columns={"title": 1, "item_id": 2}, **columns)
    assert rows == [("u1", "10", 1)] and found["11"].title == "B" and report.rows_read == 1


def test_without_a_header_the_error_numbers_the_columns(tmp_path):
    with pytest.raises(DataError, match="does not say which column is which") as caught:
        read(tmp_path, "u1,10,5\n", header={"interactions": False})
    assert "1 'u1', 2 '10', 3 '5'" in str(caught.value) and "data.columns" in str(caught.value)


@pytest.mark.parametrize(
    ("events", "columns"),
    [
        ("1,10,5,978300760\n2,11,4,978300761\n", {}),
        ("1,10,5\n1,11,2\n", {"user_id": "1", "item_id": "10", "rating": "5"}),
        ("u1,10,5\nu1,11,2\n", {"user_id": "u1", "item_id": "10", "rating": "5"}),
    ],
)
def test_a_header_that_looks_like_data_is_refused_with_what_to_set(tmp_path, events, columns):
    with pytest.raises(DataError, match="a header looks like data") as caught:
        read(tmp_path, events, columns=columns)
    assert re.search(r"data.header=false .* 1 '\w+', 2 '1\d', 3 '5'", str(caught.value))


def test_a_first_row_with_numbers_among_its_names_is_hinted_at(tmp_path):
    with pytest.raises(DataError, match="lacks columns: user_id, item_id") as caught:
        read(tmp_path, "u1,10,5\nu1,11,2\n")
    assert "data.header=false" in str(caught.value)


def test_columns_that_pandas_numbered_are_names(tmp_path):
    rows, _, _ = read(tmp_path, "0,1,2\nu,1,5\n", columns={"user_id": "0", "item_id": "1", "rating": "2"})
    assert rows == [("u", "1", 1)]


def test_words_for_labels_and_commas_for_fractions(tmp_path):
    for no, yes in (("dislike", "like"), ("No", "YES"), ("-1", "1"), ("-1.0", "1.0")):
        labels = {no.removesuffix(".0").lower(): 0, yes.removesuffix(".0"): 1}
        rows, _, _ = read(tmp_path, f"{HEAD}u,1,{yes},10\nv,2,{no},20\n", labels=labels)
        assert rows == ROWS
    with pytest.raises(DataError, match=r"line 2: label: expected 0, 1 or a word of data.labels \(like\), found 'meh'"):
        read(tmp_path, f"{HEAD}u,1,meh,10\n", labels={"like": 1})
    rated = "user_id;item_id;rating;timestamp\nu;1;4,5;10\nv;2;3,5;20\n"
    assert read(tmp_path, rated, decimal=",")[0] == ROWS
    with pytest.raises(DataError, match=r"line 2: rating: expected a number such as 4,5, found '4\.5'"):
        read(tmp_path, rated.replace("4,5", "4.5"), decimal=",")


def test_yaml_words_for_labels_are_words():
    """YAML reads a bare `yes` as true, and `-1` as a number."""
    found = DataSettings.of(source="table", path="x", labels={-1: 0, 1: 1})
    assert dict(found.labels) == {"-1": 0, "1": 1}
    found = DataSettings.of(source="table", path="x", labels=read_yaml("{yes: 1, no: 0}"))
    assert dict(found.labels) == {"yes": 1, "true": 1, "on": 1, "no": 0, "false": 0, "off": 0}


# Ids


def forms(ids, items):
    """The same two tables in each format: ids as numbers and as text."""
    events = [{"user_id": user, "item_id": item, "label": 1 - place, "timestamp": 10 + place} for place, (user, item) in enumerate(ids)]
    told = [{"item_id": item, "title": f"T{item}"} for item in items]
    texts = [{**row, "user_id": str(row["user_id"]), "item_id": str(row["item_id"])} for row in events]
    csv = HEAD + "".join(",".join(map(str, row.values())) + "\n" for row in events)
    catalogue = "item_id,title\n" + "".join(f"{row['item_id']},{row['title']}\n" for row in told)
    yield "csv", csv, catalogue
    yield "jsonl", "".join(json.dumps(row) + "\n" for row in events), catalogue
    yield "jsonl", "".join(json.dumps(row) + "\n" for row in texts), catalogue
    yield "parquet", parquet(**{name: [row[name] for row in texts] for name in texts[0]}), catalogue
    if all(isinstance(one, float | int) for pair in ids for one in pair):
        yield "parquet", parquet(**{name: [row[name] for row in events] for name in events[0]}), catalogue


@pytest.mark.parametrize("ids", [[(1.0, 1.0), (2.0, 2.0)], [("1.0", "1"), ("2", "2.0")]])
@pytest.mark.parametrize("items", [["1", "2"], ["1.0", "2.0"], ["1.0", "2"]])
def test_ids_stored_as_decimals_are_whole_numbers_in_every_format(tmp_path, ids, items):
    for place, (ending, events, catalogue) in enumerate(forms(ids, items)):
        folder = tmp_path / str(place)
        folder.mkdir()
        rows, found, report = read(folder, events, catalogue, ending=ending)
        assert rows == [("1", "1", 1), ("2", "2", 0)] and set(found) == {"1", "2"}, (ending, place)
        if ending == "csv":
            assert report.decisions["ids stored as decimals (7.0), read as whole numbers"] >= 2


def test_ids_among_which_one_is_no_number_stay_as_they_are(tmp_path):
    for place, (ending, events, catalogue) in enumerate(forms([("1.0", "1.0"), ("v2", "x")], ["1.0", "x"])):
        folder = tmp_path / str(place)
        folder.mkdir()
        rows, found, _ = read(folder, events, catalogue, ending=ending)
        assert rows == [("1.0", "1.0", 1), ("v2", "x", 0)] and set(found) == {"1.0", "x"}
