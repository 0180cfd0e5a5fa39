"""Published forms of histories: plays, questions, hours."""

from __future__ import annotations

import json

import pytest
from published_world import read, write

from score_rag.data import load
from score_rag.errors import DataError

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
