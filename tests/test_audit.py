"""The audit: silent on what is right, and told of each thing that is wrong."""

from __future__ import annotations

import numpy as np
import polars as pl

from score_rag.audit import Audit, audit, audit_interactions, audit_run
from score_rag.context.rates import ItemRates
from score_rag.data.interactions import Interactions
from score_rag.data.negatives import add_negatives
from score_rag.data.settings import DataSettings
from score_rag.evaluation.evaluate import open_run
from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.stages import STAGES
from score_rag.reranker.offline import OfflineAssessor


def wrong(found: Audit):
    assert found.ok == (not any(check.violations for check in found.checks))
    assert all(check.examples for check in found.checks if check.violations)
    return {check.name for check in found.checks if check.violations}


def test_an_audit_looks_at_every_stage_of_a_run(toy_run):
    found = audit(toy_run, sample=30)
    assert found.ok and found.notes == ()
    names = ["order", "splits", "counts", "histories", "documents", "vectors", "neighbours", "assessments", "answers"]
    assert [check.name for check in found.checks] == names and all(check.looked_at for check in found.checks)
    assert found.lines()[3] == "histories: ok, 30 questions, each with exactly the earlier events of its user"
    assert found.to_dict()["ok"] is True


def test_without_a_run_the_data_is_audited_and_the_rest_is_named(toy_pipeline, tmp_path):
    found = audit(load_pipeline(str(toy_pipeline), overrides=[f"runs={tmp_path}"]), sample=30)
    assert found.ok and [check.name for check in found.checks] == ["order", "splits", "counts", "histories"]
    assert [note.split(" is ")[0] for note in found.notes] == [f"not checked: the stage {name}" for name in STAGES[1:]]


def test_an_audit_sees_what_is_wrong_with_data(toy):
    events = toy.events

    def world(frame):
        return Interactions(frame, toy.items)

    shuffled = world(events)
    shuffled.events = events.reverse()
    assert "order" in wrong(audit_interactions(shuffled))
    mixed = events.with_columns(split=pl.when(pl.col("event") == 5).then(pl.lit("test")).otherwise(pl.col("split").cast(pl.String())))
    assert wrong(audit_interactions(world(mixed))) == {"splits"}
    assert wrong(audit_interactions(toy, kept={"train": 1, "valid": 50, "test": 51})) == {"counts"}
    months = {"train": (17, 17), "valid": (18, 18), "test": (19, 19)}
    assert wrong(audit_interactions(toy, DataSettings(split="months", months=months))) == {"months"}
    leaky = world(events)
    leaky.log.earlier = lambda event: [known for known in leaky.log.of(event.user_id) if known.timestamp <= event.timestamp]
    assert wrong(audit_interactions(leaky)) == {"histories"}
    liked = events.filter(pl.col("label") == 1)
    drawn = world(add_negatives(liked, toy.items["item_id"], count=1))
    assert wrong(audit_interactions(drawn)) == set()
    own = next(event.item_id for event in drawn.log.of(next(drawn.rows()).user_id))
    swapped = pl.when(pl.col("event") == 0).then(pl.lit(own)).otherwise(pl.col("item_id").cast(pl.String())).cast(pl.Categorical())
    owned = world(drawn.events.with_columns(item_id=swapped))
    assert wrong(audit_interactions(owned)) == {"sampled negatives"}


def test_leave_last_out_is_a_known_leak_across_users_and_is_noted(toy):
    left = pl.len().over("user_id") - pl.int_range(pl.len()).over("user_id")
    frame = toy.events.with_columns(
        split=pl.when(left > 2).then(pl.lit("train")).when(left == 2).then(pl.lit("valid")).otherwise(pl.lit("test"))
    )
    world = Interactions(frame, toy.items)
    assert wrong(audit_interactions(world)) == {"splits"}
    found = audit_interactions(world, DataSettings(split="leave-last-out"))
    assert found.ok and "leave-last-out" in found.notes[0]


def test_an_audit_sees_artefacts_that_were_made_from_other_events(toy_run):
    run = open_run(toy_run)
    world = run.interactions
    last = int(world.events.filter(pl.col("split") == "train")["timestamp"][-30])
    # As if the last thirty training events had only come after the run: documents and vectors know them.
    later = pl.when(pl.col("timestamp") >= last).then(pl.lit("valid")).otherwise(pl.col("split").cast(pl.String()))
    run.__dict__["interactions"] = world.with_events(world.events.with_columns(split=later))
    assert wrong(audit_run(run, ["documents", "crm", "reranker"])) == {"documents", "vectors", "assessments"}


def test_an_audit_sees_neighbours_from_the_future(toy_run):
    run = open_run(toy_run)
    index = run.retriever.index
    index._until = np.zeros_like(index._until)
    assert wrong(audit_run(run, ["retriever"], sample=60)) == {"neighbours"}


def test_an_audit_sees_assessments_and_answers_that_know_the_future(toy_run, monkeypatch):
    told, mean = OfflineAssessor.characteristics, ItemRates.mean
    run = open_run(toy_run)
    monkeypatch.setattr(OfflineAssessor, "characteristics", lambda self, user, item, as_of: [*told(self, user, item, as_of), "more"])
    assert wrong(audit_run(run, ["reranker"])) == {"assessments"}
    monkeypatch.setattr(ItemRates, "mean", lambda self, as_of: mean(self, None))
    assert wrong(audit_run(run, ["predictor"], sample=60)) == {"answers"}
