"""Strange files that are none the less right: each is accepted with the right rows, and whatever was decided about it is counted."""

from __future__ import annotations

import gzip
import re
from datetime import UTC, datetime

import polars as pl
import pytest
from test_malformed import GOOD, HEAD, ITEMS, RATED, table
from test_malformed_forms import ATOMIC, ATOMIC_ITEMS, JSON, SEQUENCES, parquet

from score_rag.data import load

ROWS = [("u", "1", 1, 10), ("v", "2", 0, 20)]
# A JSON title between whose signs half a surrogate pair, a line feed and NUL stand.
TORN = '{"item_id":"1","title":"He\\ud83dat\\n\\u0000."}\n{"item_id":"2","title":7}\n'
LONG = "x" * 100_000

# Name, files, the rows (user, item, label, second), and what the report says; then source and reading where they differ.
STRANGE = [
    # text
    ("plain", table(GOOD), ROWS, []),
    ("a byte-order mark", table("\ufeff" + GOOD, "\ufeff" + ITEMS), ROWS, []),
    ("a byte-order mark before quotes", table('\ufeff"user_id","item_id","label","timestamp"\n"u","1",1,10\n'), ROWS[:1], []),
    ("line ends of Windows", table(GOOD.replace("\n", "\r\n"), ITEMS.replace("\n", "\r\n")), ROWS, []),
    ("line ends of Windows around quotes", table((HEAD + '"u","1","1","10"\n').replace("\n", "\r\n")), ROWS[:1], []),
    ("no last line feed", table(GOOD[:-1], ITEMS[:-1]), ROWS, []),
    ("a single row", table(HEAD + "u,1,1,10\n"), ROWS[:1], ["1 users whose labels are all the same, kept"]),
    ("blank lines", table(GOOD.replace("\n", "\n\n")), ROWS, ["3 rows dropped: empty lines"]),
    ("lines of spaces and commas", table(GOOD + "   \n,,,\n"), ROWS, ["2 rows dropped: empty lines"]),
    ("a blank line among the items", table(GOOD, ITEMS.replace("1,", "\n1,")), ROWS, ["1 empty lines in the catalogue, left out"]),
    ("an index without a name", table(",user_id,item_id,label,timestamp\n0,u,1,1,10\n1,v,2,0,20\n"), ROWS, []),
    ("several columns without a name", table(",user_id,,item_id,label,timestamp,\n0,u,,1,1,10,\n1,v,,2,0,20,\n"), ROWS, []),
    ("a column called _line", table(HEAD[:-1] + ",_line\nu,1,true,10,a\nv,2,false,20,b\n"), ROWS, []),
    ("quotes everywhere", table(re.sub(r"([^,\n]+)", r'"\1"', GOOD), '"item_id","title"\n"1","Heat"\n"2","Grease"\n'), ROWS, []),
    ("latin-1, said so", table(GOOD.replace("u", "é", 2).replace("éser", "user").encode("latin-1")), [("é", *ROWS[0][1:]), ROWS[1]], [], "table", {"encoding": "Latin-1"}),
    ("UTF-16, said so", table(GOOD.encode("utf-16"), ITEMS.encode("utf-16")), ROWS, [], "table", {"encoding": "utf-16"}),
    ("UTF-16 that nobody said", table(GOOD.encode("utf-16")), ROWS, ["interactions.csv is in UTF-16"]),
    ("UTF-8 where latin-1 was said of the other", table(GOOD.replace("v", "é").encode("latin-1"), ITEMS.replace("Heat", "Amélie")), [ROWS[0], ("é", *ROWS[1][1:])], ["items.csv is in UTF-8, not in latin-1"], "table", {"encoding": "latin-1"}),
    ("semicolons that nobody said", table(GOOD.replace(",", ";")), ROWS, ["interactions.csv: cells are separated by semicolons"]),
    ("tabs that nobody said", table(GOOD.replace(",", "\t")), ROWS, ["interactions.csv: cells are separated by tabs"]),
    ("bars that nobody said", table(GOOD.replace(",", "|")), ROWS, ["separated by bars"]),
    ("double colons that nobody said", table(GOOD.replace(",", "::"), ITEMS.replace(",", "::")), ROWS, ["interactions.csv: cells are separated by double colons", "items.csv: cells are separated by double"]),
    ("commas in a TSV", table(GOOD, ending="tsv"), ROWS, ["interactions.tsv: cells are separated by commas"]),
    ("semicolons in the items alone", table(GOOD, ITEMS.replace(",", ";")), ROWS, ["items.csv: cells are separated by semicolons"]),
    ("a separator that is right for one file", table(GOOD, ITEMS.replace(",", "\t")), ROWS, ["interactions.csv: cells are separated by commas"], "table", {"separator": "\t"}),
    ("a separator for each file", table(GOOD.replace(",", ";"), ITEMS.replace(",", "\t")), ROWS, [], "table", {"separator": {"interactions": ";", "items": "\t"}}),
    ("an encoding for each file", table(GOOD.replace("v", "é").encode("latin-1"), ITEMS.encode("utf-16")), [ROWS[0], ("é", *ROWS[1][1:])], [], "table", {"encoding": {"interactions": "latin-1", "items": "utf-16"}}),
    ("a separator of two signs", table(GOOD.replace(",", "||"), 'item_id||title\n1||"a||b"\n2||c\n'), ROWS, [], "table", {"separator": "||"}),
    ("a separator beyond ASCII", table(GOOD.replace(",", "¦"), ITEMS.replace(",", "¦")), ROWS, [], "table", {"separator": "¦"}),
    ("gzip in two parts", table(gzip.compress(HEAD.encode()) + gzip.compress(b"u,1,1,10\nv,2,0,20\n"), ending="csv.gz"), ROWS, []),
    # names of columns
    ("columns exchanged", table("item_id,user_id,label,timestamp\nu,1,1,10\nv,2,0,20\n"), ROWS, [], "table", {"columns": {"user_id": "item_id", "item_id": "user_id"}}),
    ("a column under a name that is taken", table("who,user_id,item_id,label,timestamp\nu,x,1,yes,10\n".replace("yes", "true")), ROWS[:1], [], "table", {"columns": {"user_id": "who"}}),
    ("an item column under a name that is taken", table(GOOD, "item_id,title,name\n1,x,Heat\n2,y,Grease\n"), ROWS, [], "table", {"item_columns": {"title": "name"}}),
    ("ratings in a column called label", table(HEAD + "u,1,4.5,10\nv,2,3,20\n"), ROWS, [], "table", {"columns": {"rating": "label"}}),
    # times
    ("fractions of a second", table(HEAD + "u,1,1,10.9\nv,2,0,20.0\n"), ROWS, ["1 times cut to the whole second"]),
    ("milliseconds", table(HEAD + "u,1,1,1600000000999\n"), [("u", "1", 1, 1_600_000_000)], ["1 times read as milliseconds"]),
    ("microseconds", table(HEAD + "u,1,1,1600000000000000\n"), [("u", "1", 1, 1_600_000_000)], ["1 times read as microseconds"]),
    ("nanoseconds", table(HEAD + "u,1,1,1600000000000000000\n"), [("u", "1", 1, 1_600_000_000)], ["1 times read as nanoseconds"]),
    ("milliseconds and a blank line", table(HEAD + "\nu,1,1,1600000000999\n"), [("u", "1", 1, 1_600_000_000)], ["1 times read as milli", "1 rows dropped"]),
    ("milliseconds in JSON", table(JSON.replace("10}", "1600000000999}"), ending="jsonl"), [("u", "1", 1, 1_600_000_000)], ["1 times read as milli"]),
    ("days", table(HEAD + "u,1,1,1970-01-02\n"), [("u", "1", 1, 86_400)], ["1 times read as dates"]),
    ("spaces around numbers", table(HEAD + "u,1, 1 , 10 \nv,2,0,20\n"), ROWS, []),
    # ids
    ("leading zeros", table(HEAD + "7,1,1,10\n007,1,0,20\n"), [("7", "1", 1, 10), ("007", "1", 0, 20)], []),
    ("quotes in ids", table(HEAD + '"a ""b"" c",1,1,10\n'), [('a "b" c', "1", 1, 10)], []),
    ("quotes in ids that stand in none", table(HEAD + '7"x,1,1,10\nv,2,0,20\n'), [('7"x', "1", 1, 10), ROWS[1]], []),
    ("quotes in titles that stand in none", table(GOOD, 'item_id,title\n1,Screen 24" wide\n2,Grease\n'), ROWS, []),
    ("a quote that never closes, and nothing is quoted", table(HEAD + 'u,1,1,10\n"v,2,0,20\n'), [ROWS[0], ('"v', "2", 0, 20)], ["interactions.csv can only be read one way: double quotes are signs"]),
    ("text behind a quote, and nothing is quoted", table(HEAD + 'u,1,1,10\n"v"w,2,0,20\n'), [ROWS[0], ('"v"w', "2", 0, 20)], ["can only be read one way"]),
    ("separators in ids", table(HEAD + '"a,b",1,1,10\n'), [("a,b", "1", 1, 10)], []),
    ("line breaks in ids", table(HEAD + '"a\nb",1,1,10\nv,2,0,20\n'), [("a\nb", "1", 1, 10), ROWS[1]], ["1 ids with line breaks in them, kept"]),
    ("emoji for ids", table(HEAD + "👩‍👩‍👧,1,1,10\n"), [("👩‍👩‍👧", "1", 1, 10)], []),
    ("spaces around ids", table(HEAD + " u ,1,1,10\nv,2\u00a0,0,20\n", ITEMS.replace("2,", " 2,")), ROWS, ["2 ids with white space around them", "1 item ids with white"]),
    ("ids of 100 kB", table(HEAD + f"{LONG},1,1,10\n"), [(LONG, "1", 1, 10)], []),
    ("ids that look like nothing", table(HEAD + "null,1,1,10\nNA,2,0,20\n"), [("null", "1", 1, 10), ("NA", "2", 0, 20)], []),
    ("ids that look like JSON", table(HEAD + "[u],1,1,10\n{v},2,0,20\n"), [("[u]", "1", 1, 10), ("{v}", "2", 0, 20)], []),
    # events
    ("a row twice", table(GOOD + "u,1,1,10\n"), ROWS, ["1 rows dropped: repeated: same user, item and time"]),
    ("a pair at two times", table(GOOD + "u,1,1,30\n"), [*ROWS, ("u", "1", 1, 30)], ["1 pairs of user and item judged at several times, all kept"]),
    ("both labels in one second", table(GOOD + "u,1,0,10\n"), [("u", "1", 0, 10), ROWS[1]], ["1 rows dropped: repeated", "1 times a user gave an item both labels"]),
    ("users of one label", table(GOOD + "v,1,1,30\n"), [*ROWS, ("v", "1", 1, 30)], ["1 users whose labels are all the same"]),
    ("labels in words", table(HEAD + "u,1,True,10\nv,2,FALSE,20\n"), ROWS, []),
    ("items that are not in the catalogue", table(GOOD + "u,9,1,30\n"), [*ROWS, ("u", "9", 1, 30)], ["1 items that have events but are not in the catalogue"]),
    # items
    ("items twice", table(GOOD, ITEMS + "2,Alien\n"), ROWS, ["1 items listed more than once, the first entry is used"]),
    ("items without titles", table(GOOD, "item_id,title\n1,\n2, \n"), ROWS, ["2 items without a title, named by their id"]),
    ("titles of 100 kB", table(GOOD, f"item_id,title\n1,Heat\n2,{LONG}\n"), ROWS, ["1 titles longer than 200 characters, cut"]),
    ("titles of several lines", table(GOOD, 'item_id,title\n1,"He\nat"\n2,Gre\x07ase\n'), ROWS, ["2 titles with line breaks or control characters"]),
    ("titles from web pages", table(GOOD, "item_id,title\n1,Tom &amp; Jerry &#39;s\n2,AT&T; R&D\n"), ROWS, ["1 titles in the coding of web pages"]),
    ("a year in other digits", table(GOOD, "item_id,title\n1,Heat (١٩٩٥)\n2,Grease\n"), ROWS, []),
    ("more genres than are told", table(GOOD, "item_id,title,genres\n1,Heat," + "|".join(map(str, range(13))) + "\n2,Grease,\n"), ROWS, ["1 items with more than 12 genres"]),
    # JSON and Parquet
    ("JSON with blank lines", table(JSON + "\n \n" + JSON.replace('"u"', '"v"').replace("10", "20"), ending="jsonl"), [("u", "1", 1, 10), ("v", "1", 1, 20)], ["2 rows dropped: empty lines"]),
    ("a JSON array", table("[\n" + JSON.strip() + ",\n" + JSON.replace('"u"', '"v"').replace("10", "20") + "]\n", ending="json"), [("u", "1", 1, 10), ("v", "1", 1, 20)], []),
    ("a gzipped JSON array in one line", table(gzip.compress(f"[{JSON.strip()}]".encode()), ending="json.gz"), ROWS[:1], []),
    ("JSON arrays of events and items", table(f"[{JSON.strip()}]", '[{"item_id": 1, "title": "Heat", "genres": ["Crime"]}]', ending="json", items_ending="json"), ROWS[:1], []),
    ("JSON with a byte-order mark", table("\ufeff" + JSON, ending="jsonl"), ROWS[:1], []),
    ("JSON with numbers for ids", table('{"user_id":7,"item_id":1.0,"label":true,"timestamp":"10"}\n', ending="jsonl"), [("7", "1", 1, 10)], []),
    ("JSON with half a surrogate pair", table(GOOD, TORN, items_ending="jsonl"), ROWS, ["1 titles with line breaks or control characters"]),
    ("Parquet with ids as decimals", table(parquet(user_id=[7.0, 8.0], item_id=[1, 2], label=[True, False], timestamp=[10, 20]), ending="parquet"), [("7", "1", 1, 10), ("8", "2", 0, 20)], ["2 ids stored as decimals"]),
    ("Parquet with ids as decimals and dates as text", table(parquet(user_id=[7.0], item_id=[1.0], label=[True], timestamp=["1970-01-02"]), ending="parquet"), [("7", "1", 1, 86_400)], ["2 ids stored as decimals", "1 times read as dates"]),
    ("Parquet catalogue with ids as decimals", {"interactions.csv": HEAD + "u,1,1,10\n", "items.parquet": parquet(item_id=[1.0, 2.0], title=["Heat", "Grease"])}, ROWS[:1], ["2 ids stored as decimals"]),
    ("Parquet with spaces around ids", table(parquet(user_id=[" u"], item_id=["1"], label=[1], timestamp=[10]), ending="parquet"), ROWS[:1], ["1 ids with white space"]),
    ("Parquet with moments", table(parquet(user_id=["u"], item_id=["1"], label=[1], timestamp=[datetime(1970, 1, 2, tzinfo=UTC)]), ending="parquet"), [("u", "1", 1, 86_400)], ["1 times read as dates"]),
    # RecBole
    ("sequences within a longer one", {"x.inter": SEQUENCES, "x.item": ATOMIC_ITEMS + "4\tBig\n", "y.inter": SEQUENCES.replace("1 2\t3", "1\t2")}, [("u", "1", 1, 1), ("u", "2", 1, 2), ("u", "3", 1, 3)], ["1 sequences unrolled", "1 shorter sequences of the same user"], "recbole", {}),
    ("quotes in RecBole, which has none", {"x.inter": ATOMIC.replace("u", '"u').replace('"user', "user"), "x.item": ATOMIC_ITEMS.replace("Heat", '"Heat')}, [('"u', "1", 1, 10)], [], "recbole", {}),
]  # fmt: skip


@pytest.mark.parametrize("case", STRANGE, ids=[case[0].replace(" ", "-") for case in STRANGE])
def test_a_strange_file_is_read_right_and_what_was_decided_is_counted(tmp_path, case):
    name, files, rows, said, source, reading = case if len(case) == 6 else (*case, "table", {})
    # No name of a folder may be taken for a pattern or for a column.
    folder = tmp_path / "data[1] * year=2020"
    folder.mkdir()
    for file, content in files.items():
        (folder / file).write_bytes(content.encode() if isinstance(content, str) else content)
    implicit = {"negatives": 1, "seed": 1} if "sequences" in name else {}
    read, report = load(source, folder, **reading, split="leave-last-out", **implicit)
    judged = read.events.filter(~pl.col("sampled")).select("user_id", "item_id", "label", "timestamp")
    found = judged.cast({"user_id": pl.String(), "item_id": pl.String()}).rows()
    # A sequence has an order, and no times.
    assert found == rows if not implicit else [row[:3] for row in found] == [row[:3] for row in rows]
    told = "\n".join(report.lines())
    assert [part for part in said if part not in told] == [], told
    assert report.rows_read == sum(report.kept.values()) + sum(report.dropped.values())
    expected = {"white", "empty", "times", "repeated", "ids", "titles", "items", "sequences", "genres", "pairs"}
    surprising = [line for line in report.decisions if not any(line in part or part.partition(" ")[2] in line for part in said)]
    assert not [line for line in surprising if expected & set(line.split()) and "labels are all the same" not in line], surprising


@pytest.mark.parametrize(
    ("title", "year", "told"),
    [
        ('"Usual Suspects, The (1995)"', "", "The Usual Suspects (1995)"),
        ("Heat (1995)", "1995", "Heat (1995)"),
        ("Heat (1995)", "1996", "Heat (1995) (1996)"),
        ('" He\n\tat\u2028 "', "1995.0", "He at (1995)"),
        ("\u202eHeat\ufeff", "", "Heat"),
        ("👩‍👩‍👧", "", "👩‍👩‍👧"),
        ("Tom &amp;amp; &quot;J&#233;rry&quot; &nosuch; (1995)", "", 'Tom &amp; "Jérry" &nosuch; (1995)'),
        ('""', "", "item 1"),
        ("A" * 201, "", "A" * 200),
        ("Heat (١٩٩٥)", "", "Heat (١٩٩٥)"),
    ],
)
def test_titles_are_one_line_with_their_year_once(tmp_path, title, year, told):
    columns, cells = ("item_id,title,year", f"1,{title},{year}") if year else ("item_id,title", f"1,{title}")
    for file, content in table(HEAD + "u,1,1,10\n", f"{columns}\n{cells}\n").items():
        (tmp_path / file).write_text(content, encoding="utf-8", newline="")
    read, _ = load("table", tmp_path)
    assert read.item("1").name == told


def test_an_id_with_line_breaks_makes_no_title_of_several_lines(tmp_path):
    for file, content in table(RATED + 'u,1,5,10\nu,"a\nb",5,20\n', 'item_id,title\n1,Heat\n"c\nd",\n').items():
        (tmp_path / file).write_text(content, encoding="utf-8")
    read, _ = load("table", tmp_path)
    assert [item.title for item in read.catalogue.values()] == ["Heat", "item c d", "item a b"]
