"""Malformed text: each file is refused by one error that names file, line, what was expected and what was found, all mistakes at once."""

from __future__ import annotations

import re

import pytest

from score_rag.data import load
from score_rag.errors import DataError, InputError

HEAD = "user_id,item_id,label,timestamp\n"
RATED = "user_id,item_id,rating,timestamp\n"
GOOD = HEAD + "u,1,1,10\nv,2,0,20\n"
ITEMS = "item_id,title\n1,Heat\n2,Grease\n"


def table(events, items=ITEMS, *, ending="csv", items_ending="csv"):
    return {f"interactions.{ending}": events, f"items.{items_ending}": items}


SEMICOLONS, COMMAS = {"separator": {"interactions": ";", "items": ","}}, {"separator": {"interactions": ",", "items": ","}}
# Name, files, and what the message says; where they differ from a `table` read with its defaults, source and reading.
MALFORMED = [
    # how cells are separated and quoted, where the user said so and was wrong
    ("commas where semicolons were said", table(GOOD), ["interactions.csv", "separated by commas", "data.separator"], "table", SEMICOLONS),
    ("semicolons where commas were said", table(GOOD.replace(",", ";")), ["interactions.csv", "separated by semicolons"], "table", COMMAS),
    ("an unclosed quote, and quotes were said", table(HEAD + '"v,2,0,20\n'), ["line 2: expected quotes"], "table", {"quote": '"'}),
    ("a quote that never closes beside those that do", table(HEAD + '"u",1,1,10\n"v,2,0,20\n'), ["line 3: expected quotes that close"]),
    # encodings
    ("latin-1 ids", table((GOOD + "é,2,0,30\n").encode("latin-1")), ["interactions.csv, line 4", "UTF-8", r"b'\xe9'", "data.encoding"]),
    ("latin-1 titles", table(GOOD, "item_id,title\n1,Heat\n2,Amélie\n".encode("latin-1")), ["items.csv, line 3", r"b'Am\xe9lie'"]),
    ("mixed encodings", table(GOOD, "item_id,title\n1,Amélie\n".encode() + b"2,Am\xe9lie\n3,\xc0\n"), ["2 malformed", "line 3", "line 4"]),
    ("latin-1 in a column that nobody asked for", table(b"user_id,item_id,label,note\nu,1,1,x\nu,2,0,\xe9\n"), ["line 3", "UTF-8"]),
    ("a NUL byte in an id", table(HEAD + "u,1,1,10\nv\0,2,0,20\n"), ["interactions.csv, line 3: user_id: expected an id", "x00"]),
    ("a NUL byte in a title", table(GOOD, "item_id,title\n1,He\0at\n"), ["items.csv, line 2", "NUL"]),
    ("other bytes than were said", table((GOOD + "é,1,1,5\n").encode()), ["line 4: expected ASCII"], "table", {"encoding": "ascii"}),
    ("half of a UTF-16 sign", table(GOOD.encode("utf-16")[:-1]), ["cannot be read", "utf-16"], "table", {"encoding": "utf-16"}),
    ("no such encoding", table(GOOD), ["no such encoding", "klingon"], "table", {"encoding": "klingon"}),
    # headers
    (
        "a missing column",
        table(HEAD.replace("item_id", "item") + "u,1,1,10\n"),
        ["lacks columns: item_id", "user_id, item, label", "data.columns"],
    ),
    ("two missing columns", table("who,what,label\nu,1,1\n"), ["lacks columns: user_id, item_id", "found: who, what, label"]),
    ("a column that was named is missing", table(GOOD), ["lacks columns: stars"], "table", {"columns": {"rating": "stars"}}),
    ("repeated columns", table("user_id,item_id,label,label\nu,1,1,0\n"), ["columns twice: label", "interactions.csv"]),
    ("an empty header", table(",,,\nu,1,1,10\n"), ["lacks columns: user_id, item_id"]),
    ("a blank line for a header", table("\n" + GOOD), ["starts with a blank line", "a header line"]),
    (
        "no line feeds, only carriage returns",
        table(GOOD.replace("\n", "\r")),
        ["interactions.csv", "a header cannot be read", "carriage returns"],
    ),
    ("one column for two of ours", table(GOOD), ["two of ours: label"], "table", {"columns": {"rating": "label", "split": "label"}}),
    ("a column that we do not have", table(GOOD), ["no column 'stars' of ours"], "table", {"columns": {"stars": "label"}}),
    ("a quote as a separator", table(GOOD), ["cannot separate cells"], "table", {"separator": '"'}),
    ("nothing as a list separator", table(GOOD), ["list_separator"], "table", {"list_separator": ""}),
    # numbers and times
    (
        "ratings that are none",
        table(RATED + "u,1,nan,10\nu,1,inf,20\nu,1,good,30\nu,1,,40\nu,1,4,50\n"),
        [
            "4 malformed cells",
            "line 2: rating: expected a number such as 4.5, found 'nan'",
            "line 3",
            "line 4",
            "line 5: rating",
            "found nothing",
        ],
    ),
    ("comma decimals between commas", table(RATED + "u,1,4,10\nu,2,4,5,20\n"), ["line 3: expected 4 cells, found 5"]),
    (
        "comma decimals between commas, a column left over",
        table(RATED[:-1] + ",note\nu,1,4,10,x\nu,2,4,5,20,y\n"),
        ["line 3: expected 5 cells, found 6"],
    ),
    (
        "comma decimals between semicolons",
        table("user_id;item_id;rating;timestamp\nu;1;4,5;10\n", ITEMS.replace(",", ";")),
        ["line 2: rating: expected a number such as 4.5, found '4,5'"],
        "table",
        {"separator": ";"},
    ),
    ("comma decimals in quotes", table(RATED + 'u,1,"4,5",10\n'), ["line 2: rating", "found '4,5'"]),
    (
        "labels other than 0 and 1",
        table(HEAD + "u,1,2,10\nu,2,-1,20\nu,1,yes,30\nu,1,1,5\n"),
        ["3 malformed", "line 2: label: expected 0 or 1"],
    ),
    ("negative times", table(HEAD + "u,1,1,-5\nu,2,0,20\n"), ["line 2: timestamp: expected whole seconds since 1970", "found '-5'"]),
    ("days before 1970", table(HEAD + "u,1,1,1969-12-31\n"), ["line 2: timestamp"]),
    (
        "seconds and milliseconds",
        table(HEAD + "u,1,1,1600000000\nu,2,0,1600000001000\nv,1,1,1600000002\nv,2,0,1600000003000\n"),
        ["2 malformed", "line 3: timestamp: expected one unit", "milliseconds", "line 5"],
    ),
    ("milliseconds and microseconds", table(HEAD + "u,1,1,1600000000000\nu,2,0,1600000001000000\n"), ["line 3", "microseconds"]),
    (
        "days that do not exist",
        table(HEAD + "u,1,1,2021-02-30\nu,2,0,2021-13-01\nv,1,1,30.06.2021\n"),
        ["3 malformed", "line 2", "'2021-02-30'"],
    ),
    ("times beyond all units", table(HEAD + "u,1,1,99999999999999999999\n"), ["line 2: timestamp"]),
    (
        "a split of its own",
        table(HEAD[:-1] + ",split\nu,1,1,10,train\nu,2,0,20,dev\n"),
        ["line 3: split: expected background or train or valid or test, found 'dev'"],
    ),
    (
        "years that are none",
        table(GOOD, "item_id,title,year\n1,Heat,1995.5\n2,Grease,long ago\n"),
        ["2 malformed", "items.csv, line 2: year"],
        "table",
        {"strict": True},
    ),
    # ids and rows
    (
        "ids of nothing",
        table(HEAD + 'u,1,1,10\n,1,1,20\n"",2,0,30\n" ",2,0,30\n'),
        ["3 malformed", "line 3: user_id: expected an id", "line 4", "line 5"],
    ),
    ("items without an id", table(GOOD, ITEMS + ",Alien\n"), ["items.csv, line 4: item_id: expected an id, found nothing"]),
    ("too many cells", table(GOOD + "u,1,1,30,5\nu,1,1,40,5,6\n"), ["2 malformed", "line 4: expected 4 cells, found 5", "line 5"]),
    (
        "rows and cells",
        table(HEAD + "u,1,1,30,5\nu,1,x,40\n", ITEMS + "3\n"),
        ["3 malformed", "line 2: expected 4", "line 3: label", "items.csv, line 4"],
    ),
    ("too few cells", table(GOOD + "u,1\n"), ["2 malformed", "line 4: label: expected 0 or 1, found nothing", "timestamp"]),
    (
        "too few cells of an item",
        table(GOOD, "item_id,title,genres\n1,Heat,Crime\n2,Comedy\n"),
        ["items.csv, line 3: expected 3 cells, found 2"],
    ),
    ("a quote that closes lines later", table(HEAD + 'u,"1,1,10\nv,"2",0,20\nw,1,1,30\n'), ["line 2: expected quotes that close"]),
    (
        "quotes in quotes, not doubled",
        table(GOOD, 'item_id,title\n1,"Heat "the" film"\n2,Grease\n'),
        ["items.csv, line 2: expected quotes"],
    ),
    ("quotes in quotes around an id", table(HEAD + 'u,1,1,10\n"v"w"x",2,0,20\n'), ["line 3: expected quotes"]),
    ("an empty file", table(""), ["interactions.csv", "empty"]),
    ("an empty file of items", table(GOOD, ""), ["items.csv", "empty"]),
    ("a header alone", table(HEAD), ["there are no events", "interactions.csv", "a header alone"]),
    ("only blank lines", table(HEAD + "\n\n"), ["there are no events"]),
    ("items of another kind", table(HEAD + "u,x,1,10\n"), ["not one item of the events is in the catalogue", "'1', '2'", "'x'"]),
    ("an empty catalogue", table(GOOD, "item_id,title\n"), ["not one item", "a catalogue that is not empty"]),
]


def refuse(folder, case):
    """Write the files of a case and load them: the message must say all that it should, and be fit to print."""
    _, files, said, source, reading = (*case, "table", {})[:5] if len(case) == 3 else (*case, {})[:5]
    for name, content in files.items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises((DataError, InputError)) as caught:
        load(source, folder, **reading, split="leave-last-out")
    text = str(caught.value)
    assert [part for part in said if part not in text] == [], text
    assert len(text) < 6000 and not re.search("[\ud800-\udfff]", text)


@pytest.mark.parametrize("case", MALFORMED, ids=[case[0].replace(" ", "-") for case in MALFORMED])
def test_malformed_text_is_refused_with_all_that_is_wrong(tmp_path, case):
    refuse(tmp_path, case)


def test_the_first_twenty_mistakes_are_shown_and_all_are_counted(tmp_path):
    rows = "".join(f"u,1,{'x' if line % 2 else 4},{line}\n" for line in range(2, 102))
    for name, content in table(RATED + rows, ITEMS + ",Alien\n" * 3).items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        load("table", tmp_path)
    text = str(caught.value)
    assert "53 malformed cells" in text and "... and 33 more" in text
    assert re.findall(r"line (\d+):", text) == [str(line) for line in range(3, 43, 2)]
