"""Evidence asked otherwise: permutations, random users, what hurts and what does not."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from score_rag.context.finder import RetrievedContext
from score_rag.context.question import Question
from score_rag.data.log import Event
from score_rag.errors import InputError
from score_rag.evaluation.asked import AskedQuestions, cut_contexts
from score_rag.evaluation.evidence import (
    ALL_OTHERS,
    KEPT,
    RANDOM,
    ask_otherwise,
    evidence_reports,
    hidden_kinds,
    shuffle_kinds,
    unused,
    without_effect,
)
from score_rag.evaluation.evidence_report import EvidenceReport
from score_rag.evaluation.intervals import short_p, signed
from score_rag.evaluation.scorecard import Scorecard
from score_rag.index.reader import BehaviourIndex, Hit
from score_rag.pipeline.fit_predictor import OTHERS
from score_rag.predictor.predictor import Answer

KINDS = ("expectation", "mood")


def _hit(user: str, until: int = 0, score: float = 0.5) -> Hit:
    return Hit(user, f"{user}@1", f"Liked: {user}.", score, until, 1)


def _index() -> BehaviourIndex:
    """Users `u0` to `u9`, each with a document of second 10 that one of second 20 supersedes; every vector is its own direction."""
    rows = []
    for user in range(10):
        rows.append((f"u{user}@1", f"u{user}", f"early {user}", 1, 10, 20))
        rows.append((f"u{user}@2", f"u{user}", f"late {user}", 2, 20, 2**53 - 1))
    frame = pl.DataFrame(rows, schema=["document_id", "user_id", "text", "events", "known_until", "superseded_at"], orient="row")
    return BehaviourIndex(frame, np.eye(20, dtype=np.float32))


class _Finder:
    """Finds the same three users for everybody; the query of somebody without a document is nothing."""

    top_n = 2
    encoder = None
    asked = 0

    def questions(self, events):
        return [Question(event.user_id, event.item_id, (), event.timestamp) for event in events]

    def query(self, question):
        return ""

    def find(self, questions, *, stored=False, report=None):
        type(self).asked += 1
        hits = [_hit("x", score=0.9), _hit("y", score=0.8), _hit("z", score=0.7), _hit("w", score=0.6), _hit("v", score=0.5)]
        return [RetrievedContext(tuple(hits), tuple((hit, hit.score) for hit in hits[: self.top_n])) for _ in questions]


@dataclass(frozen=True)
class _Text:
    text: str


class _Writer:
    """Prompts say what they tell: each kind's value, `?` where it is hidden, the others' names."""

    builder = SimpleNamespace(kinds=KINDS, tells_neighbours=True)

    def __init__(self, values):
        self.values = values

    def write(self, questions, contexts=None, *, hide=(), shuffled=None):
        out = []
        for row in range(len(questions)):
            said = []
            for kind in KINDS:
                place = shuffled[kind][row] if shuffled and kind in shuffled else row
                said.append("?" if kind in hide else str(self.values[kind][place]))
            others = [] if contexts is None or "neighbours" in hide else contexts[row].kept_ids
            out.append(_Text(" ".join([*said, ",".join(others)])))
        return out


class _Predictor:
    """Believes `expectation` alone; counts what it is asked."""

    asked = 0

    def score(self, prompts, *, report=None):
        self.asked += len(prompts)
        return [Answer(0.5 if prompt.split()[0] == "?" else float(prompt.split()[0]), 1.0) for prompt in prompts]


@pytest.fixture
def fake():
    """A run whose predictor uses `expectation`, which knows the label, and neither `mood` nor the other users."""
    generator = np.random.default_rng(0)
    events = [Event(f"u{row % 10}", str(row), bool(label), 25, row) for row, label in enumerate(generator.integers(0, 2, 200))]
    expectation = [round(0.3 + 0.4 * event.liked + 0.1 * generator.random(), 3) for event in events]
    writer = _Writer({"expectation": expectation, "mood": generator.random(200).round(3).tolist()})
    finder = _Finder()
    run = SimpleNamespace(
        finder=finder, writer=writer, predictor=_Predictor(), scorer=None, index=_index(), make_finder=lambda _: _Finder()
    )
    return run, events


def _report(events, asked, changed):
    labels = np.array([int(event.liked) for event in events])
    return EvidenceReport.from_scores([event.user_id for event in events], labels, asked.score(), changed, resamples=200)


def test_kinds_that_cost_nothing_when_shuffled_are_told_to_be_unused(fake):
    run, events = fake
    asked = AskedQuestions(run, events)
    report = _report(events, asked, shuffle_kinds(asked, seed=0))
    found = {row.name: row for row in report.rows}
    assert list(found) == ["expectation", "mood", "neighbours", ALL_OTHERS]
    assert {name: row.finding for name, row in found.items()} == {
        "expectation": "worse",
        "mood": "same",
        "neighbours": "same",
        ALL_OTHERS: "worse",
    }
    assert found["expectation"].auc_loss.low > 0.3 and found["expectation"].auc_p < 0.05
    assert unused(report) == ["mood: unused (costs nothing when shuffled)", "neighbours: unused (costs nothing when shuffled)"]


def test_others_are_found_once_and_cut_to_each_number(fake):
    run, events = fake
    before = _Finder.asked
    asked = AskedQuestions(run, events, most=max(KEPT))
    report = _report(events, asked, ask_otherwise(asked, seed=0))
    assert _Finder.asked == before + 1
    assert [len(cut_contexts(asked.widest, kept)[0].kept) for kept in KEPT] == [0, 1, 2, 4]
    assert len(asked.contexts[0].kept) == asked.own == 2 and run.finder.top_n == 2
    assert [row.name for row in report.rows if row.group == "neighbours in the prompt"] == ["0 best", "1 best", "2 best", "4 best", RANDOM]
    assert [row.name for row in report.rows if row.group == "removed"] == ["expectation", "mood", "neighbours", ALL_OTHERS]
    assert [row.name for row in report.rows if row.group == "alone"] == ["expectation", "neighbours"]
    told = without_effect(report)
    assert any("chosen neighbours and random users do not differ" in note for note in told)
    assert "mood: removing it costs nothing" in told and not any(note.startswith("expectation") for note in told)


def test_the_same_prompt_is_scored_once(fake):
    run, events = fake
    asked = AskedQuestions(run, events)
    first, count = asked.score(), run.predictor.asked
    assert (asked.score(contexts=cut_contexts(asked.widest, 2)) == first).all() and run.predictor.asked == count
    assert (asked.score(hide=("mood",)) == first).all() and run.predictor.asked > count


def test_a_kind_alone_hides_all_others_of_other_users_and_not_the_mood():
    hidden = hidden_kinds(("expectation", "mood", "neighbours"))
    assert set(hidden["alone", "neighbours"]) == set(OTHERS) - {"neighbours"} and hidden["removed", ALL_OTHERS] == OTHERS
    assert "mood" not in OTHERS and ("alone", "mood") not in hidden
    assert hidden_kinds(("mood",)) == {("removed", "mood"): ("mood",)}


def test_a_better_way_of_asking_is_called_better_and_a_report_comes_back_from_json():
    users, labels = np.repeat(np.arange(40), 10).astype(str).tolist(), np.tile([0, 1], 200)
    noise = np.random.default_rng(0).normal(size=400)
    changed = {("shuffled", "crowd"): labels + 0.1 * noise, ("shuffled", "mood"): noise}
    report = EvidenceReport.from_scores(users, labels, noise, changed, resamples=100, notes=["note"], made_from={"data": "d"})
    assert [row.finding for row in report.rows] == ["better", "same"]
    assert unused(report)[1].startswith("crowd: misleading") and report.rows[1].auc_loss.value == 0
    assert EvidenceReport.from_dict(json.loads(json.dumps(report.to_dict(), allow_nan=False))).to_dict() == report.to_dict()
    one_class = EvidenceReport.from_scores(["a", "b"], np.array([1, 1]), noise[:2], {("removed", "mood"): noise[:2]}, resamples=20)
    assert one_class.rows[0].finding == "same" and json.dumps(one_class.to_dict(), allow_nan=False)


def test_at_80_columns_words_take_further_lines_and_no_number_is_cut():
    users, labels = np.repeat(np.arange(40), 10).astype(str).tolist(), np.tile([0, 1], 200)
    generator = np.random.default_rng(0)
    full = labels + generator.normal(size=400)
    ways = [("removed", ALL_OTHERS), ("neighbours in the prompt", RANDOM), ("alone", "expectation.of-a-recommender-with-a-long-name")]
    report = EvidenceReport.from_scores(users, labels, full, {way: generator.normal(size=400) for way in ways}, resamples=100)
    screen = Console(width=80, file=io.StringIO())
    screen.print(*report.tables())
    printed = screen.file.getvalue()
    assert "…" not in printed and max(map(len, printed.splitlines())) <= 80
    for row in report.rows:
        assert row.finding == "worse" and short_p(row.auc_p) in printed and short_p(row.uauc_p) in printed
        for loss in (row.auc_loss, row.uauc_loss):
            assert f"({signed(loss.low)} {signed(loss.high)})" in printed
    assert printed.count("worse ") == 3 and all(word in printed for word in ["asked", "AUC", "UAUC", "loss", "finding"])


def test_a_finished_run_is_asked_otherwise_and_its_tables_are_shown_again(toy_run):
    from score_rag.cli.evaluate import stored
    from score_rag.evaluation.evaluate import evaluate_run

    name = str(toy_run.path)
    found = evidence_reports(toy_run, ["shuffled", "evidence"])
    assert [row.name for row in found["shuffled"].rows] == ["expectation", "mood", "neighbours", ALL_OTHERS]
    ways = {(row.group, row.name): row for row in found["evidence"].rows}
    assert {("neighbours in the prompt", f"{kept} best") for kept in KEPT} | {("neighbours in the prompt", RANDOM)} <= set(ways)
    full = found["evidence"]
    own = ways["neighbours in the prompt", "2 best"]
    assert own.auc_loss.value == own.uauc_loss.value == 0 and own.auc == pytest.approx(full.auc.value, abs=1e-5)
    assert ways["removed", "neighbours"].auc == ways["neighbours in the prompt", "0 best"].auc
    card = evaluate_run(toy_run)
    assert card.rows[0].auc.value == pytest.approx(full.auc.value, abs=1e-4)
    assert card.calibration is not None and sum(one.questions for one in card.calibration.bins) == card.events
    assert any(note == "information used: all" for note in card.notes)
    assert json.loads(json.dumps(card.to_dict(), allow_nan=False))["made_from"]["predictor"]
    (again,) = stored(name, ["scorecard"], split="test", rows=None, overrides=[]).values()
    assert isinstance(again, Scorecard) and "nothing has changed since" in again.notes[0]
    assert again.to_dict()["rows"] == card.to_dict()["rows"] and len(again.tables()) == 4
    (late,) = stored(name, ["evidence"], split="test", rows=None, overrides=["crm.dropout=0.3"]).values()
    assert "STALE" in late.notes[0] and "crm.dropout" in late.notes[0]


@pytest.mark.parametrize("option", ["show", "shuffle", "evidence_"])
def test_options_of_another_table_are_refused_beside_those_of_a_scorecard(option):
    from score_rag.cli.evaluate import evaluate

    with pytest.raises(InputError, match="new scorecard"):
        evaluate("sample", baselines=True, **{option: True})
