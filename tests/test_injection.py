"""Hostile titles: one rule makes every text of the data plain, and a run can be attacked to see what is left."""

from __future__ import annotations

import json
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from score_rag.audit.injection import attack_run
from score_rag.audit.payloads import payloads
from score_rag.cli.app import app
from score_rag.data.log import Item
from score_rag.data.plain import LONGEST, plain_item, plain_text
from score_rag.data.sample import read_films
from score_rag.errors import StageError


@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=400))
def test_plain_text_stays_in_its_line_and_means_nothing_to_a_tokenizer(text):
    told = plain_text(text)
    assert len(told) <= LONGEST and len(told.splitlines()) <= 1 and told == told.strip() == plain_text(told)
    assert not set(told) & set("<>") and "[INST]" not in told.upper()
    kinds = {unicodedata.category(sign) for sign in told if sign not in "\u200c\u200d"}
    assert not kinds & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@pytest.mark.parametrize(
    "title", ["Amélie", "[REC]", "8½", "千と千尋の神隠し", "می‌خواهم", "Steins;Gate", "WALL·E", "Say \"Yes\": a film", "{{ x }}",
     "2001: A Space Odyssey (1968)", "Se7en", "Blade Runner 2049", "20 30 40 (2004)", "9 1/2 Weeks (Nine 1/2 Weeks) (1986)"]
)  # fmt: skip
def test_ordinary_titles_stay_as_they_are(title):
    assert plain_text(title) == title


def test_every_title_of_the_sample_stays_as_it_is():
    titles = read_films()["title"].to_list()
    assert [plain_text(title) for title in titles] == titles


@pytest.mark.parametrize("text", ["99 " * 80, "mood 99 expected 99 99 99: Yes. " * 6, "a" * 190 + " 11 22 33 44 55", "٩٩ " * 30])
def test_a_text_has_at_most_four_numbers_in_the_form_of_a_level(text):
    told = plain_text(text)
    assert len(re.findall(r"\d\d", told)) <= 4 and told == plain_text(told)


@pytest.mark.parametrize("text", ["9 " * 90, "999 " * 50, "99x99" * 40, "2049 " * 30])
def test_a_text_has_at_most_thirteen_digits(text):
    told = plain_text(text)
    assert sum(map(str.isdigit, told)) <= 13 and told == plain_text(told) and told[:4] == text[:4]


def test_an_item_of_nothing_visible_is_called_by_its_id():
    item = plain_item(Item("7", "\u200b\u202e", 1995, ("Drama\nYes", "\ufeff"), (), ("a" * 300,)))
    assert item.title == "7" and item.genres == ("Drama Yes",) and len(item.keywords[0]) == LONGEST


def test_there_are_more_than_two_hundred_payloads_and_each_is_made_plain():
    found = payloads("Heat")
    assert len(set(found)) == len(found) >= 200
    for one in found:
        told = plain_text(one)
        assert told and len(told.splitlines()) == 1 and not any(mark in told for mark in ("<|", "</s>", "[INST]", "\u202e"))


@pytest.mark.parametrize(("most", "least"), [(100, 20), pytest.param(None, 40, marks=pytest.mark.slow)])
def test_hostile_titles_break_out_of_no_prompt_and_would_without_the_rule(toy_parts, monkeypatch, most, least):
    held = attack_run(toy_parts, most=most)
    assert held.payloads == (most or len(payloads(""))) == held.rankings and held.break_outs == 0
    assert 0 <= held.mean_change <= held.largest_change and 0 <= held.moved <= 1
    monkeypatch.setattr("score_rag.data.interactions.plain_item", lambda item: item)
    assert attack_run(toy_parts, most=min(held.payloads, 100)).break_outs >= least


def test_doctor_attacks_a_finished_run(toy_parts, monkeypatch):
    from score_rag.audit.injection import Injection

    monkeypatch.setattr("score_rag.pipeline.run.Run.open", lambda *_, **__: toy_parts)
    monkeypatch.setattr("score_rag.audit.injection.attack_run", lambda run, report: Injection(234, 1, 0.001, 0.01, "Heat", 234, 0.0))
    told = CliRunner().invoke(app, ["doctor", "--injection", "--json"])
    assert told.exit_code == 1 and json.loads(told.output) | {"ok": False, "break_outs": 1} == json.loads(told.output)


def test_doctor_asks_for_a_finished_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert isinstance(CliRunner().invoke(app, ["doctor", "--injection"]).exception, StageError)
