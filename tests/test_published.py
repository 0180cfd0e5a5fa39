"""Public data sets in the forms that they are shared in, made up to the same shape: what is read, and what is refused."""

from __future__ import annotations

import pytest
from published_world import read, write

from score_rag.data import load
from score_rag.data.sources import source_files
from score_rag.errors import ConfigError, DataError, InputError

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
