"""Public data sets in the forms that they are shared in, made up to the same shape: what is read, and what is refused."""

from __future__ import annotations

import json

import pytest

from score_rag.data import load, read_source
from score_rag.data.report import DataReport
from score_rag.data.sources import source_files
from score_rag.errors import ConfigError, DataError, InputError


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".").replace("_DASH_", "-")).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def read(source, folder, **reading):
    """(events as tuples, items by id, report)."""
    report = DataReport(source)
    events, items = read_source(source, folder, report=report, **reading)
    names = [name for name in ("user_id", "item_id", "rating", "label", "timestamp", "split") if name in events.columns]
    rows = events.with_columns(events[name].cast(str) for name in names if name in ("user_id", "item_id", "split")).select(names).rows()
    return rows, {item["item_id"]: item for item in items.to_dicts()}, report


# goodbooks-10k

BOOKS = """book_id,goodreads_book_id,best_book_id,isbn,authors,original_publication_year,original_title,title
1,2767052,2767052,439023483,Suzanne Collins,2008.0,The Hunger Games,"The Hunger Games (The Hunger Games, #1)"
2,1381,1381,143039954,"Homer, Robert Fagles",-720.0,,The Odyssey
3,5,5,,Nobody,,,Nameless
"""
RATINGS = "user_id,book_id,rating\n1,1,5\n1,2,4\n2,1,1\n2,3,3\n"


def test_goodbooks_has_authors_years_and_genres_out_of_tags(tmp_path):
    tags = "tag_id,tag_name\n1,to-read\n2,fantasy\n3,YA\n4,classics\n5,poetry\n6,romance\n"
    given = "goodreads_book_id,tag_id,count\n2767052,1,900\n2767052,2,50\n2767052,3,70\n1381,4,9\n1381,5,9\n1381,1,99\n77,6,1\n"
    folder = write(tmp_path / "books", ratings__csv=RATINGS, books__csv=BOOKS, tags__csv=tags, book_tags__csv=given)
    rows, items, report = read("goodbooks", folder)
    assert rows == [("1", "1", 5.0), ("1", "2", 4.0), ("2", "1", 1.0), ("2", "3", 3.0)]
    assert items["1"]["title"] == "The Hunger Games (The Hunger Games, #1)" and items["1"]["year"] == 2008
    assert items["1"]["genres"] == ["young-adult", "fantasy"] and items["2"]["genres"] == ["classics", "poetry"]
    assert items["2"]["creators"] == ["Homer", "Robert Fagles"] and items["2"]["year"] is None and not items["3"]["genres"]
    assert sum("original_publication_year" in what for what in report.decisions) == 1 and list(report.decisions.values()) == [1]
    assert [file.name for file in source_files("goodbooks", folder)] == ["ratings.csv", "books.csv", "book_tags.csv", "tags.csv"]
    interactions, _ = load("goodbooks", folder, split="leave-last-out")
    assert len(interactions.events) == 4


def test_the_first_edition_of_goodbooks_calls_its_own_id_id(tmp_path):
    books = "id,book_id,authors,original_publication_year,title\n1,2767052,Suzanne Collins,2008.0,The Hunger Games\n"
    folder = write(tmp_path / "books", ratings__csv="book_id,user_id,rating\n1,314,5\n", books__csv=books)
    rows, items, _ = read("goodbooks", folder)
    assert rows == [("314", "1", 5.0)] and list(items) == ["1"]


# Book-Crossing

BX_BOOKS = (
    '"ISBN";"Book-Title";"Book-Author";"Year-Of-Publication";"Publisher";"Image-URL-S"\n'
    '"0195153448";"Classical Mythology";"Mark P. O. Morford";"2002";"Oxford";"http://x/1.jpg"\n'
    '"0671876082";"Peterman Rides Again: the Real \\"J. Peterman\\" Through Life &amp; the Catalog";"John Peterman";"0";"P";"u"\n'
    '"342316123X";"Die Tr\xe4ume; ein Buch";"J\xfcrgen";"1999";"K";"u"\n'
).encode("latin-1")
BX_RATINGS = '"User-ID";"ISBN";"Book-Rating"\n"276725";"0195153448";"0"\n"276726";"0671876082";"5"\n"276726";"342316123X";"9"\n'


def test_book_crossing_as_published_has_semicolons_latin_1_and_backslashes(tmp_path):
    folder = write(tmp_path / "bx", BX_DASH_Book_DASH_Ratings__csv=BX_RATINGS, BX_DASH_Books__csv=BX_BOOKS)
    rows, items, report = read("book-crossing", folder)
    assert rows == [("276726", "0671876082", 5.0), ("276726", "342316123X", 9.0)]
    assert report.rows_read == 3 and report.dropped == {"a book come across without a rating (0)": 1}
    assert items["0671876082"]["title"] == 'Peterman Rides Again: the Real "J. Peterman" Through Life & the Catalog'
    assert items["0671876082"]["year"] is None and items["0195153448"]["year"] == 2002
    assert items["342316123X"]["title"] == "Die Träume; ein Buch" and items["342316123X"]["creators"] == ["Jürgen"]
    interactions, report = load("book-crossing", folder, split="leave-last-out", threshold=6)
    assert interactions.events["label"].to_list() == [0, 1]


def test_book_crossing_with_commas_is_read_too_and_a_torn_row_is_named(tmp_path):
    books = 'ISBN,Book-Title,Book-Author,Year-Of-Publication\nX,"He said ""no""",Ann,DK Publishing\n'
    folder = write(tmp_path / "bx", Ratings__csv="User-ID,ISBN,Book-Rating\n1,X,7\n", Books__csv=books)
    rows, items, _ = read("book-crossing", folder)
    assert rows == [("1", "X", 7.0)] and items["X"]["title"] == 'He said "no"' and items["X"]["year"] is None
    write(folder, Ratings__csv="User-ID,ISBN,Book-Rating\n1,X,7\n2,X\n3,X,good\n")
    with pytest.raises(DataError, match="2 malformed cells") as caught:
        read("book-crossing", folder)
    assert "line 3: expected 3 cells, found 2" in str(caught.value) and "line 4: Book-Rating" in str(caught.value)
    write(folder, Ratings__csv="User-ID,ISBN,Book-Rating\n1,X,0\n")
    with pytest.raises(DataError, match="no book is rated"):
        read("book-crossing", folder)


# MIND

NEWS = 'N1\tsports\tsoccer\tA "great" match\tAbout it\thttps://a\t[]\t[]\nN2\tnews\tnews\tElection\t\thttps://b\t[]\t[]\nN3\tlife\tpets\tCats\t\thttps://c\t[]\t[]\n'
BEHAVIOURS = "1\tU1\t11/15/2019 8:55:22 AM\tN3 N2 N3\tN1-1 N2-0\n2\tU2\t11/15/2019 12:00:01 PM\t\tN2-1\n"
MORNING = 1_573_808_122
"""2019-11-15 08:55:22 UTC."""


def test_mind_has_impressions_in_one_cell_and_clicks_from_before(tmp_path):
    folder = write(tmp_path / "mind", behaviors__tsv=BEHAVIOURS, news__tsv=NEWS)
    rows, items, report = read("mind", folder)
    assert rows == [
        ("U1", "N2", 1.0, MORNING - 2),
        ("U1", "N3", 1.0, MORNING - 1),
        ("U1", "N1", 1.0, MORNING),
        ("U1", "N2", 0.0, MORNING),
        ("U2", "N2", 1.0, MORNING + 11_079),
    ]
    assert items["N1"]["title"] == 'A "great" match' and items["N1"]["genres"] == ["sports", "soccer"] and items["N2"]["genres"] == ["news"]
    assert report.rows_read == 5 and "clicks from before the log" in next(iter(report.decisions))
    assert len(load("mind", folder)[0].events) == 5


def test_mind_s_parts_are_read_together_and_a_test_set_without_answers_is_left_out(tmp_path):
    write(tmp_path / "mind" / "MINDsmall_train", behaviors__tsv=BEHAVIOURS, news__tsv=NEWS)
    later = "1\tU2\t11/16/2019 8:55:22 AM\tN1\tN3-1 N1\n"
    folder = write(tmp_path / "mind" / "MINDsmall_dev", behaviors__tsv=later, news__tsv=NEWS).parent
    rows, items, report = read("mind", folder)
    assert len(rows) == 6 and ("U2", "N3", 1.0, MORNING + 86_400) in rows and len(items) == 3
    assert any("test set" in what and count == 1 for what, count in report.decisions.items())
    write(folder / "MINDsmall_dev", behaviors__tsv="1\tU2\t16.11.2019\tN1\tN3-1 N1-x\n")
    with pytest.raises(DataError, match="2 malformed cells") as caught:
        read("mind", folder)
    assert "such as 11/15/2019 8:55:22 AM" in str(caught.value) and "'N1-x'" in str(caught.value)
    (folder / "MINDsmall_dev" / "news.tsv").unlink()
    with pytest.raises(DataError, match="a file of MIND is missing"):
        read("mind", folder)


# Last.fm


def test_lastfm_s_plays_are_implicit_and_its_names_are_not_quoted(tmp_path):
    folder = write(
        tmp_path / "lastfm",
        user_artists__dat="userID\tartistID\tweight\n2\t51\t13883\n2\t52\t11690\n3\t51\t0\n",
        artists__dat='id\tname\turl\tpictureURL\n51\tDuran Duran\tu\tp\n52\t"Weird Al" Yankovic\tu\t\n53\tSigur Rós\tu\tp\n',
        user_taggedartists__dat="userID\tartistID\ttagID\tday\tmonth\tyear\n2\t51\t1\t1\t4\t2009\n3\t51\t1\t1\t4\t2009\n3\t51\t2\t1\t4\t2009\n",
        tags__dat="tagID\ttagValue\n1\t80s\n2\tfran\xe7ais\n".encode("latin-1"),
    )
    rows, items, report = read("lastfm", folder)
    assert rows == [("2", "51"), ("2", "52")] and report.rows_read == 3 and report.dropped == {"an artist that was never played": 1}
    assert items["52"]["title"] == '"Weird Al" Yankovic' and items["53"]["title"] == "Sigur Rós"
    assert items["51"]["genres"] == ["80s", "français"] and any("order of plays" in said for said in report.warnings)
    interactions, _ = load("lastfm", folder, split="leave-last-out", negatives=1)
    assert set(interactions.events["label"]) == {0, 1}
    write(folder, user_artists__dat="userID\tartistID\tweight\n2\t51\tmany\n")
    with pytest.raises(DataError, match="a number of plays"):
        read("lastfm", folder)


# TALLRec


def question(liked, disliked, target, answer, kind="movie"):
    text = f"User Preference: {liked}\nUser Unpreference: {disliked}\nWhether the user will like the target {kind} {target}?"
    return {"instruction": "Given the user's preference and unpreference, ...", "input": text, "output": answer}


def test_tallrec_s_rows_are_users_whose_question_comes_last(tmp_path):
    films = [
        question('"Opposite of Sex, The (1998)", "Dancer in the Dark (2000)"', '"Heat (1995)"', '"Ronin (1998)"', "No."),
        question('"Heat (1995)"', "", '"What\'s "Up", Doc? (1972)"', "Yes."),
    ]
    test = [question('"Ronin (1998)"', '"Heat (1995)"', '"Dancer in the Dark (2000)"', "Yes.")]
    folder = write(tmp_path / "films", train__json=json.dumps(films), test__json=json.dumps(test))
    rows, items, report = read("tallrec", folder)
    assert rows == [
        ("train-1", "Opposite of Sex, The (1998)", 1.0, "train"),
        ("train-1", "Dancer in the Dark (2000)", 1.0, "train"),
        ("train-1", "Heat (1995)", 0.0, "train"),
        ("train-1", "Ronin (1998)", 0.0, "train"),
        ("train-2", "Heat (1995)", 1.0, "train"),
        ("train-2", 'What\'s "Up", Doc? (1972)', 1.0, "train"),
        ("test-1", "Ronin (1998)", 1.0, "train"),
        ("test-1", "Heat (1995)", 0.0, "train"),
        ("test-1", "Dancer in the Dark (2000)", 1.0, "test"),
    ]
    assert items["Opposite of Sex, The (1998)"]["title"] == "The Opposite of Sex" and items["Heat (1995)"]["year"] == 1995
    _, report = load("tallrec", folder, split="column")
    assert report.kept["test"] == 1 and report.kept["train"] == 8


def test_tallrec_s_books_have_authors_and_rows_of_another_form_are_named(tmp_path):
    book = question(
        '"The Bean Trees" written by Barbara Kingsolver, "Beloved (Plume Contemporary Fiction)" written by Toni Morrison',
        '"The Beautiful and Damned" written by F. Scott Fitzgerald',
        '"Classical Mythology" written by Mark P. O. Morford',
        "Yes.",
        "book",
    )
    folder = write(tmp_path / "books", train__json=json.dumps([book]))
    rows, items, _ = read("tallrec", folder)
    assert [(row[1], row[2]) for row in rows][1:3] == [
        ("Beloved (Plume Contemporary Fiction) written by Toni Morrison", 1.0),
        ("The Beautiful and Damned written by F. Scott Fitzgerald", 0.0),
    ]
    first = items["The Bean Trees written by Barbara Kingsolver"]
    assert first["title"] == "The Bean Trees" and first["creators"] == ["Barbara Kingsolver"]
    write(folder, train__json=json.dumps([book, {**book, "output": "Maybe."}, {"input": 3}, {**book, "input": "Hello"}]))
    with pytest.raises(DataError, match="3 malformed cells") as caught:
        read("tallrec", folder)
    assert "train.json, line 2: output: expected Yes. or No., found 'Maybe.'" in str(caught.value)
    write(folder, train__json="{}")
    with pytest.raises(DataError, match="no JSON array"):
        read("tallrec", folder)


# Steam

STEAM = """151603712,"The Elder Scrolls V Skyrim",purchase,1.0,0
151603712,"The Elder Scrolls V Skyrim",play,273.0,0
7,Dota 2,purchase,1.0,0
7,Portal,purchase,1.0,0
7,Portal,play,3.5,0
"""


@pytest.mark.parametrize("header", ["", "user,game,behaviour,value,rest\n", "user-id,game-title,behavior-name,value,0\n"])
def test_steam_s_hours_are_ratings_and_its_games_their_own_titles(tmp_path, header):
    folder = write(tmp_path / "steam", steam_DASH_200k__csv=header + STEAM)
    rows, items, report = read("steam", folder)
    assert rows == [("151603712", "The Elder Scrolls V Skyrim", 273.0), ("7", "Dota 2", 0.0), ("7", "Portal", 3.5)]
    assert items["Portal"]["title"] == "Portal" and report.rows_read == 5 and list(report.dropped.values()) == [2]
    assert load("steam", folder, split="leave-last-out")[0].events["label"].to_list() == [1, 0, 0]
    assert load("steam", folder, split="leave-last-out", threshold=2)[0].events["label"].to_list() == [1, 0, 1]


def test_steam_without_the_last_column_and_with_mistakes(tmp_path):
    folder = write(tmp_path / "steam", plays__csv="user,game,behaviour,value\n7,Portal,play,3.5\n\n8,Portal,sold,1\n9,Portal,play,long\n")
    with pytest.raises(DataError, match="2 malformed cells") as caught:
        read("steam", folder)
    assert "line 4: behaviour: expected purchase or play, found 'sold'" in str(caught.value)
    write(folder, plays__csv="user,game,behaviour,value\n7,Portal,play,3.5\n")
    assert read("steam", folder)[0] == [("7", "Portal", 3.5)]
    write(folder, other__csv="a,b\n")
    with pytest.raises(DataError, match="not clear which file"):
        read("steam", folder)
    assert read("steam", folder, interactions="plays.csv")[0] == [("7", "Portal", 3.5)]
    with pytest.raises(DataError, match="four cells, or five"):
        read("steam", folder, interactions="other.csv")


BOOKS_OF = {
    "goodbooks": {"ratings__csv": RATINGS, "books__csv": BOOKS},
    "book-crossing": {
        "Ratings__csv": "User-ID,ISBN,Book-Rating\n1,X,7\n1,Y,3\n",
        "Books__csv": "ISBN,Book-Title,Book-Author,Year-Of-Publication\nX,One,Ann,DK Publishing\nY,Two,Ann,0\n",
    },
}
ODD = {"goodbooks": ("original_publication_year", "-720.0", "line 3"), "book-crossing": ("Year-Of-Publication", "DK Publishing", "line 2")}


@pytest.mark.parametrize("source", sorted(BOOKS_OF))
def test_an_odd_year_is_counted_and_with_strict_refused(tmp_path, source):
    folder, (column, cell, line) = write(tmp_path / "x", **BOOKS_OF[source]), ODD[source]
    _, items, report = read(source, folder)
    assert {item["year"] for item in items.values()} <= {None, 2008}
    (told,) = [what for what in report.decisions if "count as unknown" in what]
    assert report.decisions[told] == 1 and column in told and cell in told and line in told
    with pytest.raises(DataError, match="malformed") as caught:
        load(source, folder, split="leave-last-out", strict=True)
    assert line in str(caught.value) and column in str(caught.value) and cell in str(caught.value)
    write(folder, **{name: text.replace(cell, "1999") for name, text in BOOKS_OF[source].items()})
    assert load(source, folder, split="leave-last-out", strict=True)[0].events.height >= 2


@pytest.mark.parametrize("source", ["mind", "lastfm", "tallrec", "steam"])
def test_sources_whose_attributes_are_words_alone_have_nothing_to_be_strict_about(tmp_path, source):
    with pytest.raises((InputError, ConfigError), match="strict"):
        load(source, tmp_path, strict=True)


@pytest.mark.parametrize("source", ["goodbooks", "book-crossing", "mind", "lastfm", "tallrec", "steam"])
def test_a_folder_without_the_files_says_which_are_expected(tmp_path, source):
    (tmp_path / "readme.txt").write_text("nothing")
    for call in (lambda: read(source, tmp_path), lambda: source_files(source, tmp_path)):
        with pytest.raises(DataError) as caught:
            call()
        assert caught.value.expected and caught.value.where == str(tmp_path)
