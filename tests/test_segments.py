"""Segments tile every prompt, say the right thing of each part, and survive names that look like templates or brackets."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from score_rag.context.levels import UNKNOWN, WORDS, Fact
from score_rag.context.neighbours import Neighbour
from score_rag.context.segments import INSTRUCTIONS, Span, kind_of, segment
from score_rag.context.variables import KINDS, Told
from score_rag.data.log import Item
from score_rag.explain.explainer import token_shares
from score_rag.predictor.base import fit_tokenizer
from score_rag.predictor.tokens import place_tokens
from score_rag.prompts import find_prompt, read_prompt

SHIPPED = ("predict", "predict_evidence", "predict_expectation", "predict_history", "predict_neighbours")
EXPERTS = ("din", "lightgcn", "together")

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
hard = words | st.sampled_from(["{{ target.name }}", "{% if %}", "\U000f0000\U000f0001", "Ünïcødé 😀", "a\nb", "<b>", "similar 71 liked"])
items = st.builds(Item, st.just("1"), hard, st.none() | st.integers(1900, 2030), st.lists(hard, max_size=3).map(tuple), st.just(()))
facts = st.just(UNKNOWN) | st.builds(Fact, st.sampled_from(WORDS), st.integers(0, 99).map("{:02d}".format), st.floats(-5, 5))
others = st.builds(Neighbour, hard, hard, st.sampled_from(["liked", "disliked", ""]), st.just(0.5), facts)


@st.composite
def questions(draw):
    known = {kind: {name: draw(facts) for name in EXPERTS} if kind == "expectation" else draw(facts) for kind in KINDS}
    history = [Told(draw(items), draw(st.booleans()), known) for _ in range(draw(st.integers(0, 3)))]
    return {"target": draw(items), "neighbours": draw(st.lists(others, max_size=3)), "history": history, **known}


@pytest.mark.parametrize("name", SHIPPED)
@given(values=questions())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_segments_tile_the_prompt(name, values):
    prompt = find_prompt(name)
    values = {key: value for key, value in values.items() if key in prompt.variables}
    text = prompt.render(**values)
    spans = segment(prompt, values)
    assert "".join(text[span.start : span.end] for span in spans) == text
    assert all(span.start < span.end for span in spans)
    assert [span.start for span in spans] == [0, *(span.end for span in spans)][: len(spans)]
    said = {}
    for span in spans:
        said[span.name] = said.get(span.name, "") + text[span.start : span.end]
    told = values.get("neighbours", [])
    assert {known for known in said if kind_of(known) == "neighbour"} == {f"neighbour {place + 1}" for place in range(len(told))}
    for place, other in enumerate(told):
        own = said[f"neighbour {place + 1}"]
        assert (other.behaviour.replace("\n", " ") if name == "predict" else other.alike.level) in own
    if "expectation" in values:
        assert {expert: said[f"expectation.{expert}"] for expert in EXPERTS} == {e: values["expectation"][e].level for e in EXPERTS}
    if "mood" in values:
        assert said["mood"] == values["mood"].level
    assert ("history" in said) == bool(values.get("history"))
    assert values["target"].title in said["target"]


def written(folder: Path, body: str):
    file = folder / "own.md"
    file.write_text(
        "---\ndescription: d\nvariables:\n  target: t\n  mood: m\n  neighbours: n\n  expectation: e\n---\n" + body, encoding="utf-8"
    )
    return read_prompt(file)


VALUES = {
    "target": Item("1", "Heat", 1995, ("Crime",)),
    "mood": Fact("good", "71", 0.71),
    "neighbours": [
        Neighbour("7", "Liked: Ronin.", "liked", 0.8, Fact("fair", "55", 0.5)),
        Neighbour("8", "Liked: Alien.", "", 0.7, UNKNOWN),
    ],
    "expectation": {"din": Fact("bad", "22", -0.3), "together": Fact("weak", "30", 0.1)},
}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # Numbers have no letters of their own to bracket: the template does it.
        (
            "{{ target.name }} {{ mood.value | round(1) }}:",
            [("target", "Heat (1995)"), (INSTRUCTIONS, " "), ("mood", "0.7"), (INSTRUCTIONS, ":")],
        ),
        # A macro hides whose its arguments are: the values say it.
        (
            "{% macro tell(it, how) %}{{ it.name }} is {{ how.word }}{% endmacro %}{{ tell(target, mood) }}:",
            [("target", "Heat (1995)"), (INSTRUCTIONS, " is "), ("mood", "good"), (INSTRUCTIONS, ":")],
        ),
        # A template that compares words finds none in brackets: the text decides that fewer brackets are used.
        (
            "{{ target.name }}{% if mood.word == 'good' %} cheerful{% endif %}:",
            [("target", "Heat (1995)"), ("mood", " cheerful"), (INSTRUCTIONS, ":")],
        ),
        (
            "{{ target.name }}{% for name, fact in expectation.items() %} {{ name }} {{ fact.word }}{% endfor %}:",
            [
                ("target", "Heat (1995)"),
                (INSTRUCTIONS, " din "),
                ("expectation.din", "bad"),
                (INSTRUCTIONS, " together "),
                ("expectation.together", "weak"),
                (INSTRUCTIONS, ":"),
            ],
        ),
        # Whoever is told last comes first here: it is the user that counts, not the turn of the loop.
        (
            "{{ target.name }}{% for other in neighbours | reverse %} {{ other.behaviour }}{% endfor %}:",
            [("target", "Heat (1995)"), ("neighbour 2", " Liked: Alien."), ("neighbour 1", " Liked: Ronin."), (INSTRUCTIONS, ":")],
        ),
        (
            "{% set x = target %}{{ x.name }}{{ neighbours | length }}:",
            [("target", "Heat (1995)"), ("neighbours", "2"), (INSTRUCTIONS, ":")],
        ),
    ],
)
def test_own_templates(tmp_path, body, expected):
    prompt = written(tmp_path, body)
    text = prompt.render(**VALUES)
    assert [(span.name, text[span.start : span.end]) for span in segment(prompt, VALUES)] == expected


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60), cuts=st.lists(st.integers(0, 60), max_size=4))
@settings(max_examples=80, deadline=None)
def test_every_token_belongs_to_segments_by_its_characters(tokenizer_folder, text, cuts):
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    spans = [Span(start, end, f"neighbour {number}") for number, (start, end) in enumerate(itertools.pairwise(places), start=1)]
    names = [span.name for span in spans]
    tokens = place_tokens(tokenizer_folder, bundled=True)(text)
    shares = token_shares(tokens, spans, names)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    assert shares[0, -1] == 1.0, "the beginning of the text is none of it"
    assert (shares[1:, -1] == 0).all()
    covered = sorted({letter for start, end in tokens.places for letter in range(start, end)})
    assert covered == list(range(len(text))), "each character is in a token"


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    fit_tokenizer(["similar 71 liked\nmood 62 expected 29 30:", "Heat (1995), Crime: Yes", "Ünïcødé 😀"], folder, vocabulary=400)
    return folder


def test_a_token_of_two_segments_is_shared_by_characters(tokenizer_folder):
    tokens = replace(place_tokens(tokenizer_folder, bundled=True)("Heat"), ids=[1, 2], places=[(0, 0), (0, 4)], pieces=["<s>", "Heat"])
    shares = token_shares(tokens, [Span(0, 1, "target"), Span(1, 4, INSTRUCTIONS)], ["target", INSTRUCTIONS])
    assert shares.tolist() == [[0, 0, 1], [1 / 4, 3 / 4, 0]]
