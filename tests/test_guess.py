"""Files that nobody has described: what they seem to be, as settings that read them."""

from __future__ import annotations

import gzip
import json

import polars as pl
import pytest
import yaml

from score_rag.cli import main
from score_rag.data import load
from score_rag.data.guess_files import guess_files
from score_rag.data.settings import DataSettings
from score_rag.data.sniff import sniff
from score_rag.errors import DataError, InputError

EVENTS = [
    ("ann", "1", "5", "1577836800"),
    ("ann", "2", "1", "1577836900"),
    ("bob", "1", "4", "1577837000"),
    ("bob", "2", "2", "1577837100"),
]
ITEMS = [("1", "Heat; a film", "Crime"), ("2", "Amélie", "Comedy, Romance")]


def table(folder, rows, header, name, separator=",", encoding="utf-8"):
    folder.mkdir(exist_ok=True)
    lines = [separator.join(row) for row in ([header] if header else []) + rows]
    (folder / name).write_bytes(("\n".join(lines) + "\n").encode(encoding))
    return folder / name


def test_columns_go_by_their_names_and_what_is_guessed_is_read(tmp_path):
    events = table(tmp_path, EVENTS, ("customer", "sku", "stars", "bought_at"), "shop.csv")
    items = table(tmp_path, ITEMS, ("sku", "name", "departments"), "goods.tsv", "\t")
    for order in ([events, items], [items, events], [tmp_path]):
        found = guess_files(order)
        assert found.settings["interactions"] == "shop.csv" and found.settings["items"] == "goods.tsv"
        assert found.settings["columns"] == {"user_id": "customer", "item_id": "sku", "rating": "stars", "timestamp": "bought_at"}
        assert found.settings["item_columns"] == {"item_id": "sku", "title": "name", "genres": "departments"}
        assert not {"separator", "header", "encoding", "quote", "threshold", "split"} & found.settings.keys()
        assert found.settings["list_separator"] == ", "
    settings = DataSettings.model_validate(found.settings)
    interactions, _ = load(settings)
    assert interactions.events["label"].to_list() == [1, 0, 1, 0] and interactions.catalogue["2"].genres == ("Comedy", "Romance")
    assert any("timestamp is 'bought_at'" in line for line in found.assumed)


@pytest.mark.parametrize("separator", [";", "\t", "|", "::"])
def test_a_separator_and_an_encoding_are_seen(tmp_path, separator):
    events = table(tmp_path, EVENTS, ("user_id", "item_id", "rating", "timestamp"), "interactions.csv", separator, "latin-1")
    rows = [(one, title.replace(";", ""), genres) for one, title, genres in ITEMS]
    items = table(tmp_path, rows, ("item_id", "title", "genres"), "items.csv", separator, "latin-1")
    found = guess_files([events, items]).settings
    assert found["separator"] == separator
    assert found["encoding"] == {"interactions": "utf-8", "items": "latin-1"}, "plain text is the same in both"
    assert sniff(items).rows[1][1] == "Amélie"


def test_a_file_without_a_header_has_columns_by_number(tmp_path):
    events = table(tmp_path, EVENTS, None, "interactions.csv")
    items = table(tmp_path, ITEMS[1:], ("item_id", "title", "genres"), "items.tsv", "\t")
    found = guess_files([events, items])
    assert found.settings["columns"] == {"timestamp": 4, "rating": 3, "user_id": 1, "item_id": 2}
    assert found.settings["header"] == {"interactions": False, "items": True} and "item_columns" not in found.settings
    assert any("columns by number: 1 'ann', 2 '1', 3 '5', 4 '1577836800'" in line for line in found.assumed)
    assert load(DataSettings.model_validate(found.settings))[0].events["label"].to_list() == [1, 0, 1, 0], "no row is lost"
    implicit = guess_files([table(tmp_path / "plays", [row[:2] for row in EVENTS], None, "plays.csv")]).settings
    assert implicit["columns"] == {"user_id": 1, "item_id": 2} and implicit["negatives"] == 1 and implicit["split"] == "leave-last-out"
    assert implicit["header"] is False and "items" not in implicit


def test_quotes_that_only_read_one_way_are_seen(tmp_path):
    events = table(tmp_path, EVENTS, ("user_id", "item_id", "rating", "timestamp"), "interactions.csv")
    (tmp_path / "items.csv").write_text('item_id,title\n1,"Heat, again"\n2,Ronin\n', encoding="utf-8")
    assert "quote" not in guess_files([events, tmp_path / "items.csv"]).settings
    (tmp_path / "items.csv").write_text('item_id;title\n1;"Weird Al\n2;Ronin\n3;"Heroes\n4;x\n', encoding="utf-8")
    found = guess_files([events, tmp_path / "items.csv"]).settings
    assert '"Heroes' in [item.title for item in load(DataSettings.model_validate(found))[0].catalogue.values()]
    assert found["quote"] == {"interactions": '"', "items": "none"} and found["separator"] == {"interactions": ",", "items": ";"}


@pytest.mark.parametrize(
    ("times", "form"),
    [
        (("2020-01-06", "2020-01-07"), None),
        (("1577836800", "1577836801"), None),
        (("1577836800000", "1577836801000"), None),
        (("20191231", "20200101"), "date-number"),
        (("31.12.2019", "01.01.2020"), "%d.%m.%Y"),
        (("2020/01/06", "2020/01/07"), "%Y/%m/%d"),
        (("11/12/2019 2:14:46 PM", "11/13/2019 5:53:12 AM"), "%m/%d/%Y %I:%M:%S %p"),
        (("13/01/2020", "01/02/2020"), "%d/%m/%Y"),
        (("01/02/2020", "03/04/2020"), "%m/%d/%Y"),
    ],
)
def test_the_form_of_times_is_seen(tmp_path, times, form):
    rows = [("ann", "1", "5", times[0]), ("ann", "2", "1", times[1])]
    found = guess_files([table(tmp_path, rows, ("user_id", "item_id", "rating", "date"), "interactions.csv")])
    assert found.settings.get("time_format") == form and found.settings["columns"] == {"timestamp": "date"}
    read = load(DataSettings.model_validate(found.settings))[0].events["timestamp"]
    assert read.min() > 1_570_000_000 and 0 < read.max() - read.min() < 70 * 86_400
    assert any("the first is assumed" in line for line in found.assumed) is (times[0] == "01/02/2020")


@pytest.mark.parametrize(("first", "is_one"), [("978300760", True), ("1577836800", True), ("1577836800123", True), ("123456789", False)])
def test_a_column_of_another_name_that_holds_times_is_taken_for_them(tmp_path, first, is_one):
    rows = [(user, item, rating, str(int(first) + number)) for number, (user, item, rating, _) in enumerate(EVENTS)]
    found = guess_files([table(tmp_path, rows, ("customer", "sku", "stars", "till"), "shop.csv")])
    assert (found.settings["columns"].get("timestamp") == "till") is is_one


def test_words_for_labels_are_known_and_others_are_no_labels(tmp_path):
    rows = [("ann", "1", "like"), ("ann", "2", "dislike"), ("bob", "1", "like"), ("bob", "2", "dislike")]
    found = guess_files([table(tmp_path, rows, ("user", "item", "label"), "r.csv")])
    assert found.settings["labels"] == {"like": 1, "dislike": 0}
    settings = DataSettings.model_validate(found.settings)
    assert sorted(load(settings)[0].events["label"].to_list()) == [0, 0, 1, 1]
    rows = [(user, item, "maybe") for user, item, _ in rows]
    found = guess_files([table(tmp_path, rows, ("user", "item", "label"), "r.csv")])
    assert "labels" not in found.settings and found.settings["negatives"] == 1 and any("see data.labels" in said for said in found.assumed)


@pytest.mark.parametrize(("ratings", "threshold"), [("5 1 4", None), ("10 2 7", 7.0), ("100 35 60", 70.0), ("0.5 1 0", 1.0)])
def test_the_scale_of_ratings_sets_the_threshold(tmp_path, ratings, threshold):
    rows = [(f"u{n % 2}", str(n), one) for n, one in enumerate(ratings.split())]
    found = guess_files([table(tmp_path, rows, ("user", "movie", "rating"), "r.csv")]).settings
    assert found.get("threshold") == threshold and found["columns"] == {"user_id": "user", "item_id": "movie"}


def test_json_and_parquet_are_looked_at_too(tmp_path):
    keys = ("userId", "bookId", "rating")
    objects = [dict(zip(keys, row[:3], strict=True)) for row in EVENTS]
    (tmp_path / "a.json").write_text(json.dumps(objects), encoding="utf-8")
    with gzip.open(tmp_path / "b.jsonl.gz", "wt") as stream:
        stream.writelines(json.dumps(one) + "\n" for one in objects)
    pl.DataFrame(objects).write_parquet(tmp_path / "c.parquet")
    for name in ("a.json", "b.jsonl.gz", "c.parquet"):
        found = guess_files([tmp_path / name]).settings
        assert found["columns"] == {"user_id": "userId", "item_id": "bookId"} and found["interactions"] == name
        assert sniff(tmp_path / name).cells("rating") == ["5", "1", "4", "2"]


def test_published_forms_are_known(tmp_path):
    table(tmp_path, [("1", "10", "4.0", "100"), ("1", "11", "2.0", "101")], ("userId", "movieId", "rating", "timestamp"), "ratings.csv")
    table(tmp_path, [("10", "Heat (1995)", "Crime"), ("11", "Ronin (1998)", "Action")], ("movieId", "title", "genres"), "movies.csv")
    found = guess_files([tmp_path])
    assert found.settings == {"source": "movielens", "path": str(tmp_path)} and "movielens" in found.assumed[0]
    steam = table(tmp_path, [("7", "Portal", "purchase", "1.0", "0"), ("7", "Portal", "play", "3.5", "0")], None, "steam-200k.csv")
    expected = {"source": "steam", "path": str(tmp_path), "interactions": "steam-200k.csv", "split": "leave-last-out"}
    assert guess_files([steam]).settings == expected


def test_what_cannot_be_guessed_says_so(tmp_path):
    with pytest.raises(InputError, match="nothing to look at"):
        guess_files([])
    with pytest.raises(InputError, match="missing"):
        guess_files([tmp_path / "nowhere.csv"])
    with pytest.raises(InputError, match="not clear which files"):
        guess_files([tmp_path])
    texts = table(tmp_path, [("a", "b"), ("c", "d")], ("colour", "shape"), "x.csv")
    with pytest.raises(DataError, match="who judged what") as caught:
        guess_files([texts])
    assert "x.csv: colour, shape" in str(caught.value.found)
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(DataError, match="empty"):
        guess_files([tmp_path / "empty.csv"])
    other = table(tmp_path / "other", EVENTS, None, "y.csv")
    with pytest.raises(InputError, match="different folders"):
        guess_files([texts, other])


def test_the_command_writes_a_pipeline_file_that_is_read_and_overwrites_none(tmp_path, monkeypatch, capsys):
    events = table(tmp_path, EVENTS, ("customer", "sku", "stars", "bought_at"), "shop.csv")
    items = table(tmp_path, ITEMS[1:], ("sku", "name", "departments"), "goods.tsv", "\t")

    def typed(*words):
        monkeypatch.setattr("sys.argv", ["score-rag", "data", "guess", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main()
        return int(left.value.code or 0), *capsys.readouterr()

    code, out, _ = typed(events, items)
    assert code == 0 and out.startswith("# shop.csv: user_id is 'customer'\n")
    assert yaml.safe_load(out)["data"]["columns"]["user_id"] == "customer"
    code, out, _ = typed(events, items, "--out", tmp_path / "shop.yaml")
    assert code == 0 and "score-rag data show" in out
    from score_rag.pipeline.config import load_pipeline

    assert load_pipeline(str(tmp_path / "shop.yaml")).data.columns["rating"] == "stars"
    code, _, err = typed(events, items, "--out", tmp_path / "shop.yaml")
    assert code == 2 and "there already" in err
