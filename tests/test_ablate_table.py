"""The ablations' table, and whole ablations of a run: each variant once, trained where it must be."""

from __future__ import annotations

import io
import json

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from run_copies import copy_run

from score_rag.data.interactions import event_rows
from score_rag.errors import InputError
from score_rag.evaluation.ablate import ablation
from score_rag.evaluation.ablate.ablation import ablate
from score_rag.evaluation.ablate.cost import Cost
from score_rag.evaluation.ablate.placement import SLOT
from score_rag.evaluation.ablate.results import Result
from score_rag.evaluation.ablate.table import AblationTable
from score_rag.evaluation.ablate.variant_run import VariantRun
from score_rag.evaluation.ablate.variants import FULL, Variant, choose
from score_rag.evaluation.intervals import signed
from score_rag.metrics.auc import auc, log_loss
from score_rag.pipeline.adopt import adopt
from score_rag.pipeline.run import Run
from score_rag.pipeline.stages import stages
from score_rag.pipeline.state import judge, run_folder
from score_rag.report.kinds import show_table


@pytest.fixture
def own_run(toy_run, tmp_path):
    """The toy run, in a folder that a test may write to."""
    pipeline = toy_run.model_copy(update={"runs": str(tmp_path / "runs")})
    copy_run(run_folder(toy_run), run_folder(pipeline), leave=("ablate", ".lock"))
    return pipeline


# The table


def test_the_table_is_paired_corrected_and_exact():
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 2, 300)
    users = [f"u{row % 30}" for row in range(300)]
    good, bad = np.clip(labels * 0.5 + generator.random(300) * 0.5, 0.01, 0.99), generator.random(300)
    cost = Cost(0.0, 1.0, 2.0, 30.0, None, None)
    variants = [Variant("noise", "g", ""), Variant("same", "g", ""), Variant("broken", "g", "")]
    results = {
        FULL: Result(good, cost),
        variants[0]: Result(bad, cost),
        variants[1]: Result(good.copy(), cost),
        variants[2]: Result(None, None, failed="no such model"),
    }
    table = AblationTable.from_results(users, labels, results, resamples=200)
    full, noise, same, broken = table.rows
    assert full.metrics["auc"].value.value == auc(labels, good)
    assert full.metrics["log_loss"].value.value == pytest.approx(log_loss(labels, good))
    assert noise.metrics["auc"].gain.high < 0 and noise.metrics["auc"].p < 0.05 and noise.metrics["log_loss"].gain.low > 0
    assert same.metrics["auc"].gain.value == 0 and same.metrics["auc"].p == 1.0
    assert broken.metrics == {} and table.failed == ["broken"]
    told = json.loads(json.dumps(table.to_dict()))
    assert AblationTable.from_dict(told).to_dict() == table.to_dict()
    title, pages, _ = show_table("ablation", told)
    assert title == "What each part is worth" and [len(page.rows) for page in pages] == [len(part.rows) for part in table.tables()]
    assert told["rows"][3]["failed"] == "no such model" and told["rows"][1]["cost"]["tokens"] == 30.0
    screen = Console(width=80, file=io.StringIO())
    screen.print(*table.tables())
    printed = screen.file.getvalue()
    assert len(table.tables()) == 2 and "…" not in printed and "broken: failed: no such model" in printed
    gain = noise.metrics["auc"].gain
    assert f"({signed(gain.low)} {signed(gain.high)})" in printed and f"{signed(gain.value)} " in printed


# The whole


def test_an_ablation_asks_each_variant_once_and_goes_on_after_a_failure(own_run, monkeypatch):
    names = ["no-ci", "random", "without-crowd", "ci-first", "ci-last"]
    real, calls = ablation._ask, []

    def ask(run, variant, *args):
        calls.append(variant.name)
        if variant.name == "random":
            raise InputError("it breaks", found="nothing")
        return real(run, variant, *args)

    monkeypatch.setattr(ablation, "_ask", ask)
    table = ablate(own_run, names)
    assert table.failed == ["random"]
    rows = {row.variant.name: row for row in table.rows}
    assert rows["random"].failed == "it breaks (found: nothing)"
    assert rows["ci-last"].same_as == "full" and not rows["ci-first"].same_as
    full, without = rows["full"], rows["no-ci"]
    assert without.metrics["auc"].gain.high < 0, "the toy's answers come from other users"
    assert rows["without-crowd"].metrics["auc"].gain.value == 0, "this prompt has no crowd"
    assert without.cost.tokens < full.cost.tokens
    if full.cost.memory is not None:
        assert 1e8 < full.cost.memory < 1e11
    calls.clear()
    monkeypatch.setattr(ablation, "_ask", lambda run, variant, *args: calls.append(variant.name) or real(run, variant, *args))
    again = ablate(own_run, names)
    assert calls == ["random"], "what was done is kept"
    # The p-value may differ: it is corrected for one variant more.
    kept = {row.variant.name: row for row in again.rows}["no-ci"]
    assert not again.failed and kept.cost == without.cost
    assert all(kept.metrics[name].value == without.metrics[name].value for name in kept.metrics)
    scores = pl.read_parquet(run_folder(own_run) / "evaluation" / "test-ablation.parquet")
    assert {"full", "no-ci", "ci-first", "label"} <= set(scores.columns)


def test_the_full_system_s_scores_are_those_of_evaluate(own_run):
    from score_rag.evaluation.against import ask
    from score_rag.progress import silent

    ablate(own_run, ["car"])
    kept = pl.read_parquet(run_folder(own_run) / "evaluation" / "test-ablation.parquet")
    run = Run.open(own_run)
    events = list(event_rows(run.interactions.events.filter(pl.col("split") == "test")))
    expected = [answer.probability for answer in ask(run, events, silent)[0]]
    assert np.allclose(kept["full"].to_numpy(), expected, atol=1e-6)
    contexts = run.finder.find(run.finder.questions(events), reranked=False)
    told = run.writer.write(run.finder.questions(events), contexts)
    assert np.allclose(kept["car"].to_numpy(), [a.probability for a in run.predictor.score([one.text for one in told])], atol=1e-6)


@pytest.mark.slow
def test_forms_are_trained_for_and_read_what_they_are_told(own_run):
    table = ablate(own_run, ["forms"])
    assert not table.failed
    rows = {row.variant.name: row for row in table.rows}
    assert all(rows[name].cost.train_seconds > 0 for name in ("soft-tokens", "binary-codes", "item-evidence"))
    assert rows["item-evidence"].metrics["auc"].value.value > 0.7, "items of one taste are judged alike"
    place = run_folder(own_run) / "ablate" / "soft-tokens"
    assert (place / "predictor" / "soft_tokens.safetensors").is_file() and not (place / "scratch").exists()
    run = VariantRun.of(Run.open(own_run), choose(["soft-tokens"], [])[0], folders={"predictor": place / "predictor"})
    questions = run.finder.questions([e for e in event_rows(run.interactions.events.filter(pl.col("split") == "test"))])[:8]
    texts = [told.text for told in run.writer.write(questions, None)]
    alone = [run.predictor.score([text])[0].probability for text in texts]
    assert np.allclose(alone, [answer.probability for answer in run.predictor.score(texts)], atol=1e-5)
    hidden = [told.text for told in run.writer.write(questions, None, hide=("neighbours",))]
    assert all(SLOT not in text and "user" not in text for text in hidden)


@pytest.mark.slow
def test_another_teacher_of_sare_trains_the_reranker_alone(own_run, monkeypatch):
    from score_rag.evaluation.ablate import training

    ran = []
    real = training.run_stages
    monkeypatch.setattr(training, "run_stages", lambda *a, **k: ran.extend(real(*a, **k)) or ran)
    table = ablate(own_run, ["sare-assessment", "sare-measured"])
    assert not table.failed
    assert [status.name for status in ran if status.action == "ran"] == ["reranker"]
    rows = {row.variant.name: row for row in table.rows}
    assert rows["sare-assessment"].metrics["auc"].gain.value == 0, "that is how the toy's is taught"


def test_a_stage_is_taken_over_only_where_it_is_the_same(own_run, tmp_path):
    source = run_folder(own_run)
    other = own_run.model_copy(update={"name": "other", "retriever": own_run.retriever.changed(epochs=1)})
    taken = adopt(other, stages(other), [source])
    assert taken == ["data", "crm", "documents"]
    assert judge(other, stages(other)[1])[0] == "finished" and judge(other, stages(other)[3])[0] == "missing"
    assert (run_folder(other) / "crm" / "config.json").samefile(source / "crm" / "config.json")
    assert adopt(other, stages(other), [source]) == []
    same = own_run.model_copy(update={"name": "same"})
    assert adopt(same, stages(same), [source]) == [stage.name for stage in stages(same)]
    index = next((source / "retriever" / "index").rglob("*.bin"))
    assert not (run_folder(same) / index.relative_to(source)).samefile(index), "a store may write to its own"
