"""What a catalogue tells beside ids and titles is optional: what cannot be understood is unknown and counted; lists in all common forms."""

from __future__ import annotations

import json

import pytest
from test_malformed_forms import ATOMIC, parquet

from score_rag.data import load
from score_rag.errors import DataError

EVENTS = "user_id,item_id,label,timestamp\nu,1,1,1000000000\nv,2,0,1000000001\n"


def read(folder, items, *, ending="csv", **reading):
    """(items by id, report) of a catalogue."""
    (folder / "interactions.csv").write_text(EVENTS, encoding="utf-8")
    (folder / f"items.{ending}").write_bytes(items if isinstance(items, bytes) else items.encode())
    data, report = load("table", folder, split="leave-last-out", **reading)
    return data.catalogue, report


def catalogue(column, cells):
    """A catalogue of items 1, 2, ... with these cells in quotes."""
    rows = [f'{place},T{place},"{cell.replace(chr(34), chr(34) * 2)}"\n' for place, cell in enumerate(cells, start=1)]
    return f"item_id,title,{column}\n" + "".join(rows)


def test_recbole_years_as_published_are_read_and_two_are_unknown(tmp_path):
    """RecBole's own ml-100k has `V` and `unkonwn` among its years."""
    rows = "".join(f"{place}\tFilm {place}\t{1990 + place}\tComedy\n" for place in range(1, 20))
    items = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n" + rows
    (tmp_path / "x.inter").write_text(ATOMIC, encoding="utf-8")
    (tmp_path / "x.item").write_text(
        items + "267\tunknown\tunkonwn\tunknown\n1412\tLand Before Time III, The\tV\tAnimation\n", encoding="utf-8"
    )
    data, report = load("recbole", tmp_path, split="leave-last-out")
    assert data.item("267").year is None and data.item("1412").name == "The Land Before Time III" and data.item("3").year == 1993
    told = [line for line in report.lines() if "unknown" in line]
    assert told == [
        "2 cells of x.item (column release_year:token) are not a year such as 1995 and count as unknown (line 21: 'unkonwn', line 22: 'V')"
    ]
    with pytest.raises(DataError, match=r"x.item, line 22: release_year:token: expected a year such as 1995, found 'V'"):
        load("recbole", tmp_path, split="leave-last-out", strict=True)


@pytest.mark.parametrize(
    ("cells", "years", "odd"),
    [
        (["-720.0", "1999", "2008.0"], [None, 1999, 2008], 1),
        (["", "nan", "NULL", "0", "unknown"], [None] * 5, 0),
        (["1995-06-30", "01-Jan-1994", "30.06.1993", "1992/07", "1991-06-30T10:00:00Z"], [1995, 1994, 1993, 1992, 1991], 0),
        (["1995.5", "long ago", "99999", "12-1995x"], [None] * 4, 4),
    ],
)
def test_years_that_cannot_be_understood_are_unknown_and_counted(tmp_path, cells, years, odd):
    found, report = read(tmp_path, catalogue("year", cells))
    assert [found[str(place)].year for place in range(1, len(cells) + 1)] == years
    counted = [count for what, count in report.decisions.items() if "count as unknown" in what]
    assert counted == ([odd] if odd else [])


@pytest.mark.parametrize(("odd", "warned"), [(3, True), (2, False)])
def test_a_column_of_which_more_than_a_fifth_is_odd_is_probably_another(tmp_path, odd, warned):
    cells = ["x"] * odd + ["1990"] * (10 - odd) + [""] * 50
    _, report = read(tmp_path, catalogue("when", cells), item_columns={"year": "when"})
    told = [line for line in report.warnings if "probably another column" in line]
    assert bool(told) == warned and all("30%" in line and "items.csv (column when)" in line for line in told)


@pytest.mark.parametrize("column", ["genres", "keywords", "creators"])
@pytest.mark.parametrize(
    "cell",
    [
        "Action|Drama",
        "['Action', 'Drama']",
        '["Action", "Drama"]',
        "[{'id': 28, 'name': 'Action'}, {'id': 18, 'name': 'Drama'}]",
        "Action;Drama",
    ],
)
def test_lists_in_a_cell_are_read_in_each_common_form(tmp_path, column, cell):
    found, report = read(tmp_path, catalogue(column, [cell, "", "Comedy"]))
    assert getattr(found["1"], column) == ("Action", "Drama")
    assert getattr(found["2"], column) == () and getattr(found["3"], column) == ("Comedy",)
    told = "\n".join(report.lines())
    assert ("in brackets" in told) == cell.startswith("[") and ("split at ';'" in told) == (";" in cell)


def test_commas_separate_genres_and_are_a_part_of_names(tmp_path):
    found, report = read(tmp_path, 'item_id,title,genres,creators\n1,A,"Drama, Romance","Tolkien, J.R.R."\n2,B,Drama,X\n')
    assert found["1"].genres == ("Drama", "Romance") and found["1"].creators == ("Tolkien, J.R.R.",)
    assert "1 cells of items.csv (column genres) split at ',' (data.list_separator)" in report.lines()
    found, _ = read(
        tmp_path, catalogue("authors", ["A. One, B. Two"]), item_columns={"creators": "authors"}, list_separator={"creators": ", "}
    )
    assert found["1"].creators == ("A. One", "B. Two")
    found, _ = read(tmp_path, catalogue("genres", ["Drama, Romance"]), list_separator="|")
    assert found["1"].genres == ("Drama, Romance",)


def test_genres_from_web_pages_are_not_split_at_their_coding(tmp_path):
    found, _ = read(tmp_path, catalogue("genres", ["Sword &amp; Sorcery", "Comedy"]))
    assert found["1"].genres == ("Sword & Sorcery",)


@pytest.mark.parametrize(("own", "warned"), [(True, True), (False, False)])
def test_a_genre_for_every_item_is_warned_of(tmp_path, own, warned):
    _, report = read(tmp_path, catalogue("genres", [f"Genre {place if own else place % 5}" for place in range(30)]))
    assert any("genre of its own" in line and "data.list_separator" in line for line in report.warnings) == warned


def test_nested_json_is_a_list_where_it_can_be_and_unknown_where_not(tmp_path):
    rows = [
        {"item_id": "1", "title": "A", "year": {"en": 1990}, "genres": [{"id": 1, "name": "Drama"}], "keywords": "x|y"},
        {"item_id": "2", "title": "B", "year": 1991, "genres": {"a": 1}, "keywords": ["z"]},
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    found, report = read(tmp_path, text, ending="jsonl")
    assert (found["1"].year, found["1"].genres, found["1"].keywords) == (None, ("Drama",), ("x", "y"))
    assert (found["2"].year, found["2"].genres, found["2"].keywords) == (1991, (), ("z",))
    assert sum(count for what, count in report.decisions.items() if "count as unknown" in what) == 2
    with pytest.raises(DataError, match="2 malformed"):
        read(tmp_path, text, ending="jsonl", strict=True)


def test_parquet_columns_of_a_strange_kind_are_unknown_and_lists_of_objects_are_read(tmp_path):
    told = parquet(item_id=["1", "2"], title=["A", "B"], year=[b"x", b"y"], genres=[[{"name": "Drama"}], []])
    found, report = read(tmp_path, told, ending="parquet")
    assert found["1"].genres == ("Drama",) and found["1"].year is None
    assert any("items.parquet (column year)" in line for line in report.warnings)
    with pytest.raises(DataError, match="year: Binary"):
        read(tmp_path, told, ending="parquet", strict=True)


@pytest.mark.parametrize("columns", ["item_id,title\n1,{}\n", "item_id,title,year\n1,{},1996\n", "item_id,title,year\n1,{} (1996),1996\n"])
def test_titles_are_turned_round_with_and_without_a_year_of_their_own(tmp_path, columns):
    for title, told in (
        ("English Patient, The", "The English Patient"),
        ("Misérables, Les", "Les Misérables"),
        ("Ran, a Film", "Ran, a Film"),
    ):
        found, _ = read(tmp_path, columns.replace("{}", "{}").replace(",{}", f',"{title}"').replace('" (1996)', ' (1996)"'))
        assert found["1"].title == told


def test_one_column_may_be_id_and_title_and_one_file_events_and_items(tmp_path):
    (tmp_path / "steam.csv").write_text("user,game,hours\nu,Dota 2,9\nu,Portal,1\nv,Portal,7\n", encoding="utf-8")
    data, _ = load(
        "table",
        tmp_path,
        interactions="steam.csv",
        items="steam.csv",
        columns={"user_id": "user", "item_id": "game", "rating": "hours"},
        item_columns={"item_id": "game", "title": "game"},
        split="leave-last-out",
    )
    assert {item.item_id: item.title for item in data.catalogue.values()} == {"Dota 2": "Dota 2", "Portal": "Portal"}
