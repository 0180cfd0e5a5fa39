"""What a question is told: evidence of its own time, the variables that a prompt declares, shortening by whole items."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from score_rag.context.evidence import Evidence
from score_rag.context.levels import Fact
from score_rag.context.neighbours import Neighbour
from score_rag.context.prompt import PromptBuilder
from score_rag.context.question import Question
from score_rag.context.rates import ItemRates
from score_rag.context.variables import check_predict_prompt
from score_rag.data.log import Event, Item
from score_rag.errors import PromptError
from score_rag.prompts import find_prompt, read_prompt

ITEMS = {str(n): Item(str(n), f"Film {n}", 1990 + n, ("Drama",)) for n in range(12)}
HISTORY = [Event("u", str(n), n % 2 == 0, n) for n in range(10)]
GOOD = Fact("good", "71", 0.7)


def builder(most, name="predict", **more):
    return PromptBuilder(find_prompt(name), ITEMS, max_tokens=most, count_tokens=lambda text: len(text.split()), **more)


def others(count):
    return [Neighbour(str(n), "Liked: " + "; ".join(f"Film {n}" for n in range(12)) + ".", "liked", 0.9, GOOD) for n in range(count)]


def test_what_is_too_long_tells_fewer_events_then_shorter_behaviours_then_fewer_users():
    whole = builder(None).write(HISTORY, "11", neighbours=others(2))
    length = len(whole.text.split())
    assert not whole.left_out
    seen = []
    for most in range(length, 30, -1):
        written = builder(most).write(HISTORY, "11", neighbours=others(2))
        assert len(written.text.split()) <= most
        assert "The item in question: Film 11 (2001)" in written.text and written.text.endswith("Answer Yes or No.\nAnswer:")
        left = written.left_out
        assert not left.behaviours or left.history == len(HISTORY), "the history goes first"
        assert not left.neighbours or left.history == len(HISTORY)
        seen.append((left.history, left.behaviours, left.neighbours))
    assert seen == sorted(seen, key=lambda left: (left[0], left[2])), "less room never tells more"
    assert {left[0] for left in seen} == set(range(len(HISTORY) + 1)), "event by event, the oldest first"
    assert any(left[1] for left in seen) and any(left[2] for left in seen)
    shorter = builder(length - 5).write(HISTORY, "11", neighbours=others(2)).text
    assert "disliked Film 9 (1999)" in shorter and "liked Film 0 (1990)" not in shorter


def test_a_target_that_does_not_fit_is_an_error():
    with pytest.raises(PromptError, match="too long for the model"):
        builder(5).write(HISTORY, "11")


def test_a_prompt_declares_any_of_the_variables_and_only_those_are_filled_in(tmp_path):
    (tmp_path / "mine.md").write_text("---\ndescription: d\nvariables:\n  target: t\n---\nLike {{ target.name }}?\n", encoding="utf-8")
    mine = PromptBuilder(read_prompt(tmp_path / "mine.md"), ITEMS)
    assert mine.write(HISTORY, "3").text == "Like Film 3 (1993)?" and mine.kinds == () and not mine.tells_neighbours
    assert mine.shown(HISTORY) == []


@pytest.mark.parametrize(
    ("head", "body", "said"),
    [
        ("  crowds: c\n", "{{ crowds }}", "declares unknown variables: crowds"),
        ("  mood: m\n", "{{ mood.words }}", "cannot be filled in"),
        ("  expectation: e\n", "{{ expectation.sasrec.level }}", "cannot be filled in"),
    ],
)
def test_a_prompt_that_no_question_can_fill_in_is_refused_before_any_stage(tmp_path, head, body, said):
    (tmp_path / "bad.md").write_text(f"---\ndescription: d\nvariables:\n{head}---\n{body}\n", encoding="utf-8")
    with pytest.raises(PromptError, match=said):
        check_predict_prompt(read_prompt(tmp_path / "bad.md"), ["lightgcn", "together"])


def test_like_rates_are_those_of_the_moment(toy):
    rates, rows = ItemRates(toy), list(toy.rows("train"))
    for event in rows[::17]:
        before = [one for one in rows if one.item_id == event.item_id and one.timestamp < event.timestamp]
        assert rates.counts(event.item_id, event.timestamp) == (sum(one.liked for one in before), len(before))
    every = [one for one in rows if one.timestamp < rows[40].timestamp]
    assert rates.mean(rows[40].timestamp) == (sum(one.liked for one in every) + 1) / (len(every) + 2)


def test_expectations_of_training_events_are_of_who_had_not_seen_them(toy_parts):
    """Told: what the recommenders of earlier blocks said; not what the final one, which has seen the event, says."""
    run = toy_parts
    evidence, frame = run.writer.evidence, run.writer.evidence
    assert isinstance(frame, Evidence)
    events = [event for event in run.interactions.rows("train")]
    questions = run.finder.questions(events)
    told = evidence.values(questions, ["expectation"])["expectation.lightgcn"]
    final = run.experts["lightgcn"].score_events(events)
    known = ~np.isnan(told)
    assert 0.3 < known.mean() < 0.9, "the first block has none"
    assert np.abs(told[known] - final[known]).max() > 1e-3
    later = list(run.interactions.rows("test"))
    held = evidence.values(run.finder.questions(later), ["expectation"])["expectation.lightgcn"]
    np.testing.assert_allclose(held, run.experts["lightgcn"].score_events(later), atol=1e-5)


def test_a_mood_of_positives_alone_is_unknown(toy):
    asked = [Question("0", "1", toy.log.of("0")[:5], toy.log.of("0")[5].timestamp)]
    assert np.isnan(Evidence(toy, {}, history="positives").values(asked, ["mood"])["mood"][0])
    rates = ItemRates(toy)
    liked = sum(event.liked for event in asked[0].history)
    expected = (liked + 5 * rates.mean(asked[0].as_of)) / (5 + 5)
    assert Evidence(toy, {}).values(asked, ["mood"])["mood"][0] == pytest.approx(expected)


def test_what_is_hidden_is_unknown_and_what_is_shuffled_is_another_s(toy_parts):
    run = toy_parts
    questions = run.finder.questions(list(run.interactions.rows("test"))[:6])
    contexts = run.finder.find(questions)
    plain = run.writer.write(questions, contexts)
    hidden = run.writer.write(questions, contexts, hide=("mood", "neighbours"))
    assert all(one.facts["mood"].level == "??" and not one.neighbours and "mood ??" in one.text for one in hidden)
    shuffled = run.writer.write(questions, contexts, shuffled={"mood": np.roll(np.arange(6), 1)})
    assert [one.facts["mood"] for one in shuffled] == [plain[place].facts["mood"] for place in np.roll(np.arange(6), 1)]
    assert dataclasses.asdict(plain[0])["text"] == plain[0].text
