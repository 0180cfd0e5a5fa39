"""Background: events before the questions' time are learned from and told, and never asked about."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from leak_worlds import COMMON, ITEMS, USERS, worlds

from score_rag.audit import audit_interactions
from score_rag.context.examples import sample_events
from score_rag.context.neighbours import Witnesses
from score_rag.crm.baseline import LikeRate, Popularity
from score_rag.crm.din import DIN
from score_rag.crm.item_item import EASE, ItemKNN
from score_rag.crm.judgements import Judgements
from score_rag.crm.lightgcn import LightGCN
from score_rag.crm.mf import MF
from score_rag.crm.ranking import RankingTask
from score_rag.crm.sasrec import SASRec
from score_rag.data import DataReport
from score_rag.data.describe import describe, warm_mask
from score_rag.data.interactions import QUESTIONS, Interactions
from score_rag.data.negatives import add_negatives
from score_rag.data.plot import plot
from score_rag.data.prepare import prepare
from score_rag.data.report import information
from score_rag.data.settings import DataSettings
from score_rag.data.split import require_questions, split_events
from score_rag.documents.describer import Describer
from score_rag.documents.versions import build_documents
from score_rag.errors import InputError
from score_rag.evaluation.rows import choose_rows
from score_rag.index.reader import Hit
from score_rag.pipeline.config import load_pipeline
from score_rag.prompts import find_prompt
from score_rag.reranker.examples import sample_requests
from score_rag.reranker.offline import OfflineAssessor

PLACE = {item.item_id: place for place, item in enumerate(ITEMS)}
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
MONTHS = {"start": "1970-01", "train": (2, 2), "valid": (3, 3), "test": (4, 4)}
DAY = 86_400


def describer(world):
    return Describer(find_prompt("describe_user"), world.catalogue, max_liked=4, max_disliked=2)


def relabelled(world, old="background", new="train"):
    """The same events with the name of one split changed."""
    split = pl.col("split").cast(pl.String()).replace(old, new)
    return world.with_events(world.events.with_columns(split=split))


def learned_from(world):
    """What the rooms make of the events that are learned from."""
    judged = Judgements.of(world, PLACE, "all")
    hits = [Hit(user, f"{user}@0", "", 0.5, 0, 1) for user in USERS]
    witnesses, assessor = Witnesses(world.train_log, world.catalogue), OfflineAssessor(world)
    return [
        build_documents(world.train_log, describer(world), every=2, sparser_after=2).rows(),
        [part.tolist() for part in (judged.user, judged.item, judged.liked, judged.known, judged.before, judged.until, *judged.tokens)],
        [witnesses.view(hit, item_id=item, as_of=world.train_end, history=[]) for hit in hits for item in COMMON[:4]],
        [assessor.characteristics("", item, 2**40) for item in COMMON],
        world.train_end,
        warm_mask(world, world.events, 2).tolist(),
    ]


def plain(events):
    return [event._replace(row=-1) for event in events]


@QUICK
@given(worlds(background=True))
def test_background_is_learned_from_and_told_exactly_as_training_events_are(world):
    assert learned_from(world) == learned_from(relabelled(world))


@QUICK
@given(worlds(background=True))
def test_background_reaches_the_history_of_every_question(world):
    rows = list(world.rows("background"))
    for split in QUESTIONS:
        for event in world.rows(split):
            own = [row for row in rows if row.user_id == event.user_id and not row.sampled]
            assert set(own) <= set(world.log.earlier(event)) or any(row.timestamp >= event.timestamp for row in own)


@QUICK
@given(worlds(background=True))
def test_no_background_event_is_ever_a_question(world):
    rows = {event.row for event in world.rows("background")}
    asked = [sample_events(world, split, None, seed=0, least=0) for split in QUESTIONS]
    assert not rows & {event.row for events in asked for event in events}
    assert not rows & {request.event.row for request in sample_requests(world, describer(world), 1000)}
    for split in QUESTIONS:
        if (world.events["split"] == split).any():
            assert not rows & set(choose_rows(world, split, None, seed=0)["event"])
    assert not any(event.sampled for event in world.rows("background")), "there is no negative of what is not asked"


def test_without_its_background_the_world_says_less(toy):
    """The comparisons above can fail: learned events that are taken away are missed by everybody."""
    cut = int(toy.events.filter(pl.col("split") == "train")["timestamp"].median())
    early = pl.when(pl.col("timestamp") < cut).then(pl.lit("background")).otherwise(pl.col("split").cast(pl.String()))
    world = toy.with_events(toy.events.with_columns(split=early))
    without = world.with_events(world.events.filter(pl.col("split") != "background"))
    assert world.background and not without.background
    assert build_documents(world.train_log, describer(world)).rows() != build_documents(without.train_log, describer(without)).rows()
    user = next(iter(world.rows("test"))).user_id
    assert len(world.log.of(user)) > len(without.log.of(user))
    assert sum(warm_mask(world, world.events)) > sum(warm_mask(without, without.events))


@pytest.fixture(scope="module")
def early(toy):
    """The toy world, the first half of its training time being background."""
    cut = int(toy.events.filter(pl.col("split") == "train")["timestamp"].median())
    split = pl.when(pl.col("timestamp") < cut).then(pl.lit("background")).otherwise(pl.col("split").cast(pl.String()))
    return toy.with_events(toy.events.with_columns(split=split))


FIT = {"epochs": 2, "patience": 2, "batch_size": 32, "seed": 5, "device": "cpu"}
MODELS = {
    "sasrec": (lambda: SASRec(dim=8, layers=1, heads=2), FIT),
    "lightgcn": (lambda: LightGCN(dim=8), FIT),
    "mf": (lambda: MF(dim=8), FIT),
    "din": (lambda: DIN(dim=8), FIT),
    "item-knn": (ItemKNN, {}),
    "ease": (EASE, {}),
    "like-rate": (lambda: LikeRate(user="train"), {}),
    "popularity": (Popularity, {}),
}


@pytest.mark.parametrize("kind", MODELS)
def test_every_recommender_learns_from_background_as_from_training_events(kind, toy, early):
    make, fitting = MODELS[kind]
    model, same = make().fit(early, **fitting), make().fit(toy, **fitting)
    for name, tensor in same._tensors().items():
        np.testing.assert_array_equal(model._tensors()[name], tensor, err_msg=name)
    asked = list(toy.rows("test"))
    np.testing.assert_array_equal(model.score_events(asked), same.score_events(asked))
    less = make().fit(early.with_events(early.events.filter(pl.col("split") != "background")), **fitting)
    assert not np.array_equal(less.score_events(list(less._log and early.rows("test"))), model.score_events(list(early.rows("test"))))


def test_nothing_of_the_background_is_recommended_again(toy, early):
    ours, theirs = RankingTask(early, "test"), RankingTask(toy, "test")
    assert ours.asked == theirs.asked and len(ours)
    for known, same in zip(ours.known, theirs.known, strict=True):
        np.testing.assert_array_equal(known, same)


def test_background_is_not_evaluated_and_the_message_says_why(early):
    with pytest.raises(InputError, match="never asked about") as caught:
        choose_rows(early, "background", None, seed=0)
    assert caught.value.hint == "choose another: --split valid"
    with pytest.raises(InputError, match="did you mean 'valid'"):
        choose_rows(early, "vaild", None, seed=0)
    for split in QUESTIONS:
        require_questions(split)


def monthly(**settings):
    """Two users by months from January 1970: 0 and 1 before training, then 2 (train), 3, 4, and 5, which no split takes."""
    rows = [(user, item, 5.0 if user == "u" else 1.0, month * 31 * DAY + 5) for user in "uv" for month, item in enumerate("abcdef")]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "rating", "timestamp"], orient="row")
    items = pl.DataFrame({"item_id": list("abcdefgh"), "title": [f"Film {name}" for name in "abcdefgh"]})
    report = DataReport("monthly", rows_read=len(rows))
    frame = frame.cast({"user_id": pl.Categorical(), "item_id": pl.Categorical()})
    return prepare(frame, items, report=report, split="months", months=MONTHS, **settings), report


def test_months_before_the_first_training_month_are_background_or_dropped():
    world, report = monthly(background=True)
    assert report.kept == {"background": 2 * 2, "train": 2, "valid": 2, "test": 2}
    assert report.dropped == {"outside the months of the splits": 2}
    assert set(world.events.filter(pl.col("split") == "background")["item_id"]) == {"a", "b"}
    assert [event.item_id for event in world.log.earlier(next(iter(world.rows("train"))))] == ["a", "b"]
    plain_world, plain_report = monthly()
    assert plain_report.kept == {"train": 2, "valid": 2, "test": 2} and plain_report.dropped == {"outside the months of the splits": 2 * 3}
    assert not plain_report.warnings and plain_world.background == 0
    for how in ("quantiles", "leave-last-out"):
        with pytest.raises(InputError, match="makes no background"):
            split_events(world.events, split=how, background=True, report=report)


def test_k_core_counts_background_events():
    """Every item has two events; an item's or a user's background events keep them in."""
    world, report = monthly(background=True, k_core=2)
    assert report.kept["background"] == 4 and len(world.events) == 10
    assert monthly(background=True, max_users=1)[1].kept == {"background": 2, "train": 1, "valid": 1, "test": 1}


def test_the_audit_knows_background():
    world, report = monthly(background=True)
    data = DataSettings(split="months", months=MONTHS, background=True)
    found = audit_interactions(world, data, kept=report.kept)
    assert found.ok and next(check for check in found.checks if check.name == "counts").of.startswith(
        "judgements: background 4 from 1970-01-01"
    )
    assert next(check for check in found.checks if check.name == "histories").looked_at == 6, "background events never asked about"
    late = pl.when(pl.col("split") == "test").then(pl.lit("background")).otherwise(pl.col("split").cast(pl.String()))
    wrong = audit_interactions(world.with_events(world.events.with_columns(split=late)), data, kept=report.kept)
    assert {check.name for check in wrong.checks if check.violations} == {"splits", "counts", "months"}
    assert "background" not in audit_interactions(monthly()[0], DataSettings(split="months", months=MONTHS)).lines()[2]


def test_reports_tell_of_background_only_where_there_is_any(early, toy, tmp_path):
    summary, usual = (describe(world, DataReport("toy")) for world in (early, toy))
    assert [split.name for split in summary.splits] == ["background", "train", "valid", "test"]
    assert [split.name for split in usual.splits] == ["train", "valid", "test"]
    assert summary.splits[0].events == early.background and summary.splits[0].cold_user is None
    assert summary.splits[2].cold_user == usual.splits[1].cold_user, "background makes warm"
    assert [len(table.columns) for table in (summary.to_tables()[1], usual.to_tables()[1])] == [1 + 4, 1 + 3]
    assert summary.to_dict()["information"] == "all + background" and usual.to_dict()["information"] == "all"
    assert plot(early, tmp_path / "early.png").read_bytes() != plot(toy, tmp_path / "toy.png").read_bytes()


@pytest.mark.parametrize(("history", "said"), [("all", "all"), ("positives", "positives")])
def test_information_is_named_in_a_word(history, said, toy, early):
    assert information(toy, history) == said and information(early, history) == f"{said} + background"


def test_popular_negatives_count_background_and_none_are_drawn_for_it():
    rows = [(f"u{n}", "ab"[n % 2], 1, n, "background") for n in range(200)] + [(f"w{n}", "c", 1, 200 + n, "train") for n in range(200)]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "label", "timestamp", "split"], orient="row")
    frame = frame.cast({"user_id": pl.Categorical(), "item_id": pl.Categorical(), "label": pl.Int8()})
    drawn = add_negatives(frame, pl.Series(list("abcdefgh")), count=2, sampling="popularity", seed=1).filter(pl.col("sampled"))
    assert len(drawn) == 2 * 200 and set(drawn["split"]) == {"train"}
    # Of the items that are not c, a and b have 101 of 207 counts each: two distinct ones are nearly always a and b.
    assert drawn["item_id"].is_in(["a", "b"]).mean() > 0.9


def test_without_times_all_of_the_background_comes_first():
    rows = [("u", item, split) for item, split in zip("abcd", ("background", "train", "valid", "test"), strict=True)] + [
        ("v", "a", "train")
    ]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "split"], orient="row").cast(pl.Categorical())
    items = pl.DataFrame({"item_id": list("abcdefgh"), "title": list("abcdefgh")})
    world = prepare(frame, items, report=DataReport("order", rows_read=5), split="column", negatives=1)
    spans = {split: part["timestamp"] for (split,), part in world.events.group_by("split")}
    assert spans["background"].max() < spans["train"].min() and spans["train"].max() < spans["valid"].min() < spans["test"].min()
    assert [event.item_id for event in world.log.earlier(next(world.rows("test")))] == [] or len(spans["background"]) == 1
    last = [event for event in world.rows("test") if not event.sampled]
    assert [event.item_id for event in world.log.earlier(last[0])] == list("abc")


def test_data_of_a_run_from_before_there_was_background_is_still_read(toy, tmp_path):
    toy.write(tmp_path)
    old = toy.events.with_columns(split=pl.col("split").cast(pl.String()).cast(pl.Enum(["train", "valid", "test"])))
    old.write_parquet(tmp_path / "events.parquet")
    assert pl.read_parquet(tmp_path / "events.parquet")["split"].dtype == pl.Enum(["train", "valid", "test"])
    again = Interactions.read(tmp_path)
    assert again.events.equals(toy.events) and again.events.schema == toy.events.schema and again.splits == QUESTIONS


def test_the_shipped_pipeline_reads_a_column_that_says_background():
    pipeline = load_pipeline("ml-1m-background")
    assert (pipeline.data.source, pipeline.data.split, pipeline.data.history) == ("table", "column", "all")
    assert pipeline.crm.model == "lightgcn"
