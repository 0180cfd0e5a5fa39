"""No future: whatever happens at or after a moment, what is said of that moment stays bit-equal.

Random logs (ties, gaps, single-event users, repeated events, sampled negatives, both policies of ties) are tampered with from a question's
second on: labels flipped, items exchanged, events taken out and put in. Each carrier of information is then asked twice.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from leak_worlds import COMMON, ITEMS, TIMES, USERS, questions, seconds, table, worlds

from score_rag.context.evidence import KINDS, Evidence
from score_rag.context.examples import sample_events
from score_rag.context.finder import ContextFinder
from score_rag.context.judges import Judges
from score_rag.context.levels import Levels
from score_rag.context.neighbours import Witnesses
from score_rag.context.prompt import PromptBuilder
from score_rag.context.writer import QuestionWriter
from score_rag.crm.judgements import Judgements
from score_rag.crm.sasrec import SASRec, windows_of
from score_rag.data.interactions import Interactions, items_frame
from score_rag.data.log import Event
from score_rag.data.report import DataReport
from score_rag.data.split import split_events
from score_rag.documents.describer import Describer
from score_rag.documents.versions import build_documents
from score_rag.evaluation.baselines import score_events, trivial_models
from score_rag.index.reader import BehaviourIndex, Hit
from score_rag.prompts import find_prompt
from score_rag.reranker.examples import sample_requests
from score_rag.reranker.offline import OfflineAssessor

PLACE = {item.item_id: place for place, item in enumerate(ITEMS)}
FITTED = Interactions(
    pl.DataFrame(
        {"user_id": list("pqpq"), "item_id": ["i0", "i1", "i2", "i3"], "label": [1, 0, 0, 1], "timestamp": range(4)},
        schema_overrides={"user_id": pl.Categorical(), "item_id": pl.Categorical()},
    ),
    items_frame(ITEMS),
)
MODEL = SASRec(dim=8, layers=1, heads=2, max_length=3).fit(FITTED, epochs=1, device="cpu")


def told(events):
    return [event._replace(row=-1) for event in events]


class Hashed:
    """An encoder that needs no model: equal texts have equal vectors."""

    def encode(self, texts, **_):
        vectors = [np.random.default_rng(list(text.encode()) or [0]).normal(size=4) for text in texts]
        return np.array([vector / np.linalg.norm(vector) for vector in vectors], dtype=np.float32).reshape(-1, 4)


def describer(world):
    return Describer(find_prompt("describe_user"), world.catalogue, max_liked=4, max_disliked=2)


def behaviours(world):
    return build_documents(world.train_log, describer(world), every=2, sparser_after=2, last_second=world.learned["timestamp"].max())


def documents(world, asked):
    """Every user's document that is visible at the question's time, by the rule as it is written."""
    seen = [row for row in behaviours(world).rows(named=True) if row["known_until"] < asked.timestamp <= row["superseded_at"]]
    assert len({row["user_id"] for row in seen}) == len(seen)
    return sorted((row["user_id"], row["text"], row["events"], row["known_until"]) for row in seen)


def neighbours(world, asked):
    frame, encoder = behaviours(world), Hashed()
    index = BehaviourIndex(frame, encoder.encode(frame["text"].to_list()))
    finder = ContextFinder(world, describer(world), index, encoder, similarity_top_k=3)
    hits = finder.retrieve(finder.questions([asked]))[0]
    assert all(hit.user_id != asked.user_id and hit.known_until < asked.timestamp for hit in hits)
    return sorted((hit.user_id, hit.text, round(hit.score, 6), hit.events) for hit in hits)


def lookups(world, asked):
    logs, now = (world.log, world.train_log), asked.timestamp
    verdicts = [log.verdict(user, item, now) for log in logs for user in USERS for item in COMMON]
    return verdicts, [told(log.before(user, now, last=4, liked_only=liked)) for log in logs for user in USERS for liked in (False, True)]


def assessments(world, moment):
    assessor = OfflineAssessor(world)
    return [assessor.characteristics("", item, moment) for item in COMMON]


LEVELS = Levels.fit({name: np.linspace(-1, 1, 200) for name in ("mood", "everyone", "crowd", "expectation.sasrec", "expectation.together")})


def found(world, asked, choice):
    """Everybody who may be told, the question, and who finds them."""
    frame, encoder = behaviours(world), Hashed()
    index = BehaviourIndex(frame, encoder.encode(frame["text"].to_list()))
    judges = Judges(world, index, encoder, describer(world))
    finder = ContextFinder(world, describer(world), index, encoder, judges=judges, similarity_top_k=5, top_n=5, choice=choice)
    return finder, judges, finder.questions([asked])


def prompt(world, asked):
    """Every kind of evidence, of the question and of each told event, and other users, as text."""
    texts = []
    for choice in ("any", "judges"):
        finder, judges, questions = found(world, asked, choice)
        evidence = Evidence(world, {"sasrec": MODEL}, None, judges)
        for name in ("predict", "predict_evidence", "predict_history"):
            builder = PromptBuilder(find_prompt(name), world.catalogue, experts=evidence.expected, history=4)
            writer = QuestionWriter(builder, evidence, LEVELS, Witnesses(world.train_log, world.catalogue, LEVELS))
            texts += [told.text for told in writer.write(questions, finder.find(questions))]
    return texts


def evidence(world, asked):
    """Numbers of every kind, to the bit, and what every user would say of some items."""
    _, judges, questions = found(world, asked, "judges")
    values = Evidence(world, {"sasrec": MODEL}, None, judges).values(questions, KINDS)
    witnesses, mine = Witnesses(world.train_log, world.catalogue, similar=3), world.log.earlier(asked)
    hits = [Hit(user, f"{user}@0", "", 0.5, 0, 1) for user in USERS]
    views = [witnesses.view(hit, item_id=item, as_of=asked.timestamp, history=mine) for hit in hits for item in COMMON[:4]]
    return {name: column.tobytes() for name, column in values.items()}, views


def sequences(world, asked):
    """What SASRec's training reads before each target earlier than the question, and before the question itself."""

    def reads(events):
        rows = world.events.filter(pl.col("event").is_in([event.row for event in events]))
        judged = Judgements.of(world.with_events(rows.with_columns(split=pl.lit("train"))), PLACE, "all")
        return [
            (window.tokens[: end + 1].tolist(), int(judged.item[target]), int(judged.liked[target]))
            for window in windows_of(judged, 3)
            for end, target in zip(window.states, window.targets, strict=True)
        ]

    own = [event for event in world.rows() if event.user_id == asked.user_id]
    earlier = reads([event for event in own if event.timestamp < asked.timestamp])
    assert reads(own)[: len(earlier)] == earlier
    until = reads([event for event in own if (event.timestamp, event.row) <= (asked.timestamp, asked.row)])
    return earlier, until[-1][:2] if until else None


CARRIERS = {
    "history": lambda world, asked: [told(world.log.earlier(asked, last=n, liked_only=n is not None)) for n in (None, 2)],
    "look-ups": lookups,
    "evidence": evidence,
    "prompt": prompt,
    "assessment": lambda world, asked: assessments(world, asked.timestamp),
    "vector": lambda world, asked: MODEL.history_vectors([world.log.earlier(asked)]).tolist(),
    "recommender's score": lambda world, asked: MODEL.score_history(world.log.earlier(asked), COMMON).tolist(),
    "sequences": sequences,
}
VERSIONED = {"documents": documents, "neighbours": neighbours}
LEARNT = {
    "all documents": lambda world, asked: behaviours(world).rows(),
    "averages": lambda world, asked: [
        (name, *score_events(model, world.events.filter(pl.col("event") == asked.row))) for name, model in trivial_models(world).items()
    ],
    "training rows": lambda world, asked: [
        (window.tokens.tolist(), window.states.tolist(), window.targets.tolist())
        for window in windows_of(Judgements.of(world, PLACE, "all"), 3)
    ],
    "vectors": lambda world, asked: MODEL.history_vectors([world.train_log.of(user) for user in world.train_log.users]).tolist(),
    "requests": lambda world, asked: sample_requests(world, describer(world), 5, seed=0),
    "examples": lambda world, asked: [(event, world.log.earlier(event)) for event in sample_events(world, "train", 6, seed=0, least=1)],
    "assessments": lambda world, asked: assessments(world, 2**40),
}
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


def moved(carriers, pair):
    """The carriers that say something else in the tampered world."""
    world, asked, after, same = pair
    return [name for name, say in carriers.items() if say(world, asked) != say(after, same)]


@QUICK
@given(questions())
def test_nothing_at_or_after_a_question_reaches_it(pair):
    assert moved(CARRIERS, pair) == []


def test_an_item_that_is_judged_later_does_not_take_the_place_of_another():
    # i1, i3, i5 and i7 are horror films; nobody judged i7 before, so judges of those most like it are told.
    before = [("e", "i1", 0, 10, "train", False), ("a", "i3", 1, 10, "train", False), ("b", "i5", 1, 10, "train", False)]
    asked, later = ("e", "i7", 0, 20, "train", False), [("c", item, 1, 30, "train", False) for item in ("i9", "i11")]
    told = []
    for rows in ([*before, asked], [*before, asked, *later]):
        world = table(rows, "strict")
        finder, _, found_ = found(world, next(event for event in world.rows("train") if event.item_id == "i7"), "judges")
        told.append(sorted(hit.user_id for hit in finder.retrieve(found_)[0]))
    assert told[0] == told[1] == ["a", "b"]


@QUICK
@given(questions(happens=False))
def test_what_others_later_judged_reaches_no_document_and_no_neighbour(pair):
    assert moved(VERSIONED, pair) == []


@settings(QUICK, max_examples=200, phases=[Phase.generate], derandomize=True)
@given(questions())
def test_whether_others_later_judged_at_all_reaches_no_document_and_no_neighbour(pair):
    assert moved(VERSIONED, pair) == []


@QUICK
@given(questions(held_out=True))
def test_nothing_held_out_reaches_what_is_learnt(pair):
    assert moved(LEARNT | VERSIONED, pair) == []


@pytest.mark.parametrize("carrier", CARRIERS | VERSIONED | LEARNT)
def test_every_one_of_these_checks_can_fail(carrier):
    """The same comparisons with the past tampered with: every third judgement gone, the rest flipped."""
    rows = [(USERS[n % 5], COMMON[n * n % 8], n // 3 % 2, TIMES[0] + n // 2, ("train", "train", "test")[n // 20], False) for n in range(60)]
    world = table(rows, "strict")
    past = [(*row[:2], 1 - row[2], *row[3:]) for n, row in enumerate(rows[:-1]) if n % 3]
    after = table([*past, rows[-1]], "strict")
    assert moved({carrier: (CARRIERS | VERSIONED | LEARNT)[carrier]}, (world, list(world.rows())[-1], after, list(after.rows())[-1]))


@QUICK
@given(world=worlds())
def test_a_sampled_negative_is_no_history(world):
    without = world.with_events(world.events.filter(~pl.col("sampled")))
    own = {(event.user_id, event.item_id) for event in without.rows()}
    assert not any(event.sampled and (event.user_id, event.item_id) in own for event in world.rows())
    last = Event("a", COMMON[0], True, max(TIMES) + 1)
    for say in (lookups, evidence, prompt, documents):
        assert say(world, last) == say(without, last)


@QUICK
@given(
    st.lists(st.tuples(st.integers(8, 20), st.integers(-3, 3), st.integers(-56, 56)), min_size=1, max_size=20),
    st.tuples(st.integers(8, 12), st.integers(0, 3), st.integers(1, 4)),
)
@example([(month, off, 23) for month in range(8, 21) for off in (-1, 0)], (10, 1, 2))
def test_a_month_ends_where_it_ends_in_utc(moments, bounds):
    """Times a few seconds off a month's end, told from zones up to fourteen hours away."""
    ends = [datetime(2000 + month // 12, month % 12 + 1, 1, tzinfo=UTC) + timedelta(seconds=off) for month, off, _ in moments]
    zones = [timezone(timedelta(minutes=15 * zone)) for _, _, zone in moments]
    times = seconds([when.astimezone(zone).isoformat() for when, zone in zip(ends, zones, strict=True)])
    assert times == [int(when.timestamp()) for when in ends]
    first, more, rest = bounds
    months = {"train": (first, first + more), "valid": (first + more + 1,) * 2, "test": (first + more + 2, first + more + 1 + rest)}
    frame = pl.DataFrame({"user_id": "u", "timestamp": sorted(times)})
    kept = split_events(frame, split="months", months={**months, "start": "2000-01"}, report=DataReport("told"))
    wanted = [
        (int(when.timestamp()), name)
        for when in sorted(ends)
        for name, (start, end) in months.items()
        if start <= (when.year - 2000) * 12 + when.month - 1 <= end
    ]
    assert kept.select("timestamp", pl.col("split").cast(pl.String())).rows() == wanted
