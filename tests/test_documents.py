"""Behaviour told in words: what is said, and from when it may be known."""

from __future__ import annotations

import re
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from score_rag.data.log import Event, Item, UserLog
from score_rag.documents import versions
from score_rag.documents.describer import DOCUMENT_VARIABLES, Describer, describe_item, token_counter
from score_rag.documents.settings import DocumentSettings
from score_rag.documents.versions import FOREVER, build_documents
from score_rag.encoders.encoder import find_encoder
from score_rag.errors import InputError, ModelError, PromptError
from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.run import Run
from score_rag.pipeline.runner import run
from score_rag.pipeline.stages import stages
from score_rag.prompts import find_prompt, prompt_names
from score_rag.recommend.preview import preview_prompt
from score_rag.testing import toy_world

FORMS = [name for name in prompt_names() if name.startswith("describe_")]
CATALOGUE = {str(n): Item(str(n), f"Film {n}", 1990 + n, ("Comedy",) if n % 2 else ("Horror",)) for n in range(10)}


@pytest.fixture
def describer():
    return Describer(find_prompt("describe_user"), CATALOGUE, max_liked=3, max_disliked=2)


def test_the_latest_verdict_counts_and_recent_films_come_first(describer):
    rows = [
        Event("u", "1", True, 1),
        Event("u", "3", True, 2),
        Event("u", "1", False, 3),
        Event("u", "5", True, 4),
        Event("u", "2", False, 5),
    ]
    text = describer.describe(rows)
    assert "Liked: Film 5; Film 3." in text and "Disliked: Film 2; Film 1." in text
    assert describer.describe([]) == ""


def test_distinctive_genres_are_those_liked_more_than_the_rest(describer):
    rows = [Event("u", str(n), n % 2 == 1, n) for n in range(10)]
    text = describer.describe(rows)
    assert "Prefers Comedy" in text and "Likes less: Horror" in text
    everything = describer.describe([event._replace(liked=True) for event in rows])
    assert "Likes less" not in everything


def test_exactly_one_version_is_visible_and_it_tells_only_earlier_events(describer):
    times = [1, 2, 2, 3, 5, 5, 5, 8, 9, 9]
    log = UserLog(Event("u", str(n), True, time) for n, time in enumerate(times))
    documents = build_documents(log, describer, every=2, sparser_after=2)
    assert documents["superseded_at"].max() == FOREVER
    for now in range(1, 12):
        seen = documents.filter((documents["known_until"] < now) & (documents["superseded_at"] >= now))
        assert len(seen) == (1 if now > documents["known_until"].min() else 0)
        for count in seen["events"]:
            assert all(time < now for time in times[:count])


def test_an_item_without_facts_is_its_title():
    assert describe_item(Item("1", "Heat")) == "Heat."


def make(form, max_tokens=None, count_tokens=None, most=8):
    catalogue = {
        str(n): Item(str(n), f"Film of the {n}th day", 1960 + n, (("Comedy", "Horror", "Drama")[n % 3], "Café"), (f"Maker {n % 4}",))
        for n in range(30)
    }
    return Describer(find_prompt(form), catalogue, max_liked=most, max_disliked=most // 2, max_tokens=max_tokens, count_tokens=count_tokens)


def words(text):
    return len(re.findall(r"\w+|[^\w\s]", text))


def titles(text):
    return set(re.findall(r"Film of the \d+th day", text))


HISTORIES = st.lists(st.tuples(st.integers(0, 29), st.booleans()), min_size=1, max_size=40).map(
    lambda rows: [Event("u", str(item), liked, time) for time, (item, liked) in enumerate(rows)]
)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=25, deadline=None)
@given(history=HISTORIES, budgets=st.tuples(st.integers(1, 150), st.integers(1, 150)))
def test_a_budget_is_kept_tells_whole_sentences_and_the_more_the_larger_it_is(form, history, budgets):
    whole = make(form).describe(history)
    small, large = (make(form, budget, words).describe(history) for budget in sorted(budgets))
    shortest = make(form, 1, words).describe(history)
    assert make(form, words(whole), words).describe(history) == whole, "what fits is told as it is"
    for budget, text in zip(sorted(budgets), (small, large), strict=True):
        assert words(text) <= budget or text == shortest
        assert text and all(line.endswith(".") for line in text.split("\n")), "never cut"
        assert titles(text) <= titles(whole)
    assert words(shortest) <= words(small) <= words(large) <= words(whole) and titles(small) <= titles(large)
    assert titles(shortest), "one item at least is told"


def test_the_oldest_go_first_liked_and_disliked_in_proportion_and_tastes_last():
    history = [Event("u", str(n), n % 3 == 0, n) for n in range(30)]
    whole = make("describe_user", most=8).describe(history)
    liked, disliked = [27, 24, 21, 18, 15, 12, 9, 6], [29, 28, 26, 25]
    assert titles(whole) == {f"Film of the {n}th day" for n in liked + disliked} and "Prefers Comedy" in whole
    half = make("describe_user", words(whole) - 6 * words("; Film of the 6th day"), words, most=8).describe(history)
    assert titles(half) == {f"Film of the {n}th day" for n in liked[:4] + disliked[:2]} and "Prefers Comedy" in half
    one = make("describe_user", 1, words, most=8).describe(history)
    assert one == "Liked: Film of the 27th day."
    # Without items there is nothing but tastes to tell, and no text is empty.
    assert make("describe_user", 1, words, most=0).describe(history) == "Prefers Comedy.\nLikes less: Drama."


def test_the_encoder_s_own_tokenizer_counts_what_it_adds_too():
    count = token_counter(find_encoder("bundled"))
    assert count("") == 2 and count("heat") == 3
    history = [Event("u", str(n), True, n) for n in range(20)]
    text = make("describe_genres", 64, count).describe(history)
    assert 48 < count(text) <= 64
    asked = []
    make("describe_liked", 1000, lambda text: asked.append(text) or 5).describe(history)
    assert not asked, "a text of fewer letters than the budget has tokens needs no count"
    with pytest.raises(ModelError, match="tokenizer is missing"):
        token_counter("nowhere")


def test_only_what_a_prompt_declares_is_told_and_strangers_are_refused():
    prompt = find_prompt("describe_liked")
    assert set(prompt.variables) == {"liked", "disliked"} and set(find_prompt("describe_profile").variables) <= DOCUMENT_VARIABLES
    with pytest.raises(PromptError, match="declares unknown variables: like_share") as caught:
        Describer(replace(prompt, variables={"like_share": ""}), CATALOGUE)
    assert str(prompt.path) in str(caught.value) and "did you mean 'liked_share'" in str(caught.value)
    with pytest.raises(InputError, match="needs a tokenizer"):
        Describer(prompt, CATALOGUE, max_tokens=64)


def test_a_profile_counts_what_is_usual_and_what_is_distinctive():
    rows = [Event("u", str(n), n % 2 == 1, n) for n in range(10)]
    text = Describer(find_prompt("describe_profile"), CATALOGUE).describe(rows)
    assert text.startswith("Likes mostly 1990s, Comedy.\nPrefers Comedy.\nLikes less: Horror.\nRates 50 % of 10 positively.")
    assert "Liked: Film 9; Film 7; Film 5; Film 3." in text and text.endswith("Disliked: Film 8; Film 6.")


def test_a_run_with_a_budget_serves_in_the_same_words_from_its_own_folder(toy_pipeline, tmp_path, monkeypatch):
    pipeline = load_pipeline(
        str(toy_pipeline), overrides=[f"runs={tmp_path}", "documents.max_tokens=24", "documents.prompt=describe_profile"]
    )
    run(pipeline, [stage for stage in stages(pipeline) if stage.name in ("data", "documents")])
    monkeypatch.setattr("score_rag.encoders.encoder.find_encoder", None)  # the kept copy counts
    made = Run.open(pipeline)
    documents = pl.read_parquet(made.folder("documents") / "documents.parquet")
    count = token_counter(made.folder("documents") / "tokenizer")
    for user, events, text in documents.select("user_id", "events", "text").iter_rows():
        told = made.interactions.train_log.of(user)[:events]
        assert made.describer.describe(told) == text and count(text) <= 24
    for form in FORMS:
        assert preview_prompt(pipeline, form, "0", "1").strip()


def test_what_a_budget_or_a_prompt_lacks_is_told_before_anything_runs(toy_pipeline, tmp_path):
    (tmp_path / "own.md").write_text("---\ndescription: d\nvariables:\n  mood: m\n---\n{{ mood }}\n", encoding="utf-8")
    for override, error in (("documents.tokenizer=" + str(tmp_path), ModelError), (f"documents.prompt={tmp_path}/own.md", PromptError)):
        pipeline = load_pipeline(str(toy_pipeline), overrides=[f"runs={tmp_path / 'runs'}", "documents.max_tokens=24", override])
        with pytest.raises(error):
            run(pipeline, stages(pipeline))
        assert not (tmp_path / "runs" / "toy" / "data").exists()


def test_documents_in_blocks_are_those_of_one(tmp_path, monkeypatch):
    world = toy_world()
    describer = Describer(find_prompt("describe_user"), world.catalogue)
    expected = build_documents(world.train_log, describer, every=4)
    for block in (1, 7, 10_000):
        monkeypatch.setattr(versions, "_BLOCK", block)
        versions.write_documents(tmp_path / "documents.parquet", world.train_log, describer, DocumentSettings(every=4))
        assert pl.read_parquet(tmp_path / "documents.parquet").equals(expected) and len(list(tmp_path.iterdir())) == 1
        assert build_documents(world.train_log, describer, every=4).equals(expected)
    versions.write_documents(tmp_path / "none.parquet", UserLog([]), describer)
    assert pl.read_parquet(tmp_path / "none.parquet").schema == versions.DOCUMENT_COLUMNS
