"""One rule says which item a name means, at every door: by id, by name, by title, in whatever letters."""

from __future__ import annotations

import pytest

from score_rag.data.log import Event, Item, UserLog
from score_rag.errors import InputError
from score_rag.recommend.history import parse_history
from score_rag.recommend.items import find_item, find_noted_item
from score_rag.recommend.names import find_user

ITEMS = [
    Item("1", "Per Gessle"),
    Item("2", "Roxette"),
    Item("3", "Per Gessle; Roxette"),
    Item("4", "Steins;Gate", 2011),
    Item("5", "Amélie", 2001),
    Item("6", "The English Patient", 1996),
    Item("7", "Sting, The", 1973),
    Item("8", "-30-", 1959),
    Item("9", '"Great Performances" Cats', 1998),
    Item("10", "Heat", 1995),
    Item("11", "Heat", 1986),
    Item("300", "Quiz Show", 1994),
    Item("900", "300", 2006),
    Item("e\u0301t\u00e9", "Summer"),
]
CATALOGUE = {item.item_id: item for item in ITEMS}


def read(text: str) -> list[tuple[str, bool]]:
    return [(event.item_id, event.liked) for event in parse_history(text, CATALOGUE, when=5)]


@pytest.mark.parametrize(
    ("name", "item_id"),
    [
        ("Heat (1995)", "10"),
        ("  heat   (1986) ", "11"),
        ("Ame\u0301lie", "5"),
        ("AMÉLIE (2001)", "5"),
        ("\u00e9t\u00e9", "e\u0301t\u00e9"),
        ("English Patient, The", "6"),
        ("English Patient, The (1996)", "6"),
        ("the sting", "7"),
        ("Sting, The (1973)", "7"),
        ("steins;gate", "4"),
        ('"Great Performances" Cats', "9"),
        ('"Per Gessle; Roxette"', "3"),
        ("300", "300"),
        ('"300"', "900"),
        ("300 (2006)", "900"),
    ],
)
def test_a_name_means_the_same_item_at_both_doors(name, item_id):
    assert find_item(CATALOGUE, name).item_id == item_id
    assert read(name) == [(item_id, True)]
    assert read(f"Summer; -{name.strip()}; 1") == [("e\u0301t\u00e9", True), (item_id, False), ("1", True)]


def test_an_id_that_is_a_name_too_says_so_at_both_doors():
    item, note = find_noted_item(CATALOGUE, "300")
    notes: list[str] = []
    parse_history("300; Roxette", CATALOGUE, when=5, notes=notes)
    assert item.item_id == "300" and notes == [note]
    assert "Quiz Show (1994)" in note and "300 (2006) (id 900)" in note and "double quotes" in note
    assert find_noted_item(CATALOGUE, "Roxette")[1] == find_noted_item(CATALOGUE, "10")[1] == ""


def test_a_history_of_one_name_or_of_two_is_not_guessed():
    with pytest.raises(InputError, match="two ways") as caught:
        parse_history("Summer; Per Gessle; Roxette", CATALOGUE, when=5)
    assert '"Per Gessle; Roxette" for the one, "Per Gessle"; "Roxette" for the 2' in str(caught.value)
    assert read('"Per Gessle; Roxette"') == [("3", True)]
    assert read('"Per Gessle"; -"Roxette"') == [("1", True), ("2", False)]
    assert read("Roxette; Per Gessle") == [("2", True), ("1", True)]


def test_a_name_with_signs_of_the_list_in_it_is_found_whole():
    assert read("Roxette; -Steins;Gate (2011); 5") == [("2", True), ("4", False), ("5", True)]
    assert read("-30-; --30-") == [("8", True), ("8", False)]
    assert read('"Great Performances" Cats (1998); 4') == [("9", True), ("4", True)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Amélie, Roxette", '"Amélie; Roxette"'),
        ("Heat (1995), Roxet", "commas do not"),
        ("heat", "one of Heat (1995), Heat (1986)?"),
        ("Roxet; nothing like it", "did you mean 'Roxette'?"),
    ],
)
def test_what_cannot_be_read_says_how_it_is_written(text, said):
    with pytest.raises(InputError) as caught:
        parse_history(text, CATALOGUE, when=5)
    assert said in str(caught.value) and "separated by semicolons" in str(caught.value)


def test_several_items_of_one_title_are_named_at_both_doors():
    with pytest.raises(InputError, match="several items are called 'Heat'") as caught:
        find_item(CATALOGUE, "Heat")
    assert "10: Heat (1995), 11: Heat (1986)" in str(caught.value)


def test_names_are_those_of_the_catalogue_that_is_asked():
    assert find_item(CATALOGUE, "Roxette").item_id == "2"
    assert find_item({"x": Item("x", "Roxette")}, "roxette").item_id == "x"


def test_a_user_is_found_however_accents_are_written():
    log = UserLog([Event("Jose\u0301", "1", True, 5), Event("José2", "1", True, 5)])
    assert find_user(log, "Jos\u00e9") == "Jose\u0301" and find_user(log, "Jose\u03012") == "José2"
    assert find_user(log, "nobody") == "nobody"
