"""Ablations: what each variant changes, on the toy run; what is shared, kept, resumed; what fails is told and the rest goes on."""

from __future__ import annotations

import io
import json

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from run_copies import copy_run

from score_rag.data.interactions import event_rows
from score_rag.errors import InputError, PromptError
from score_rag.evaluation.ablate import ablation
from score_rag.evaluation.ablate.ablation import ablate
from score_rag.evaluation.ablate.alike_items import AlikeItems
from score_rag.evaluation.ablate.codes import BinaryCodes, dotted
from score_rag.evaluation.ablate.cost import Cost
from score_rag.evaluation.ablate.placement import SLOT, moved, with_slot
from score_rag.evaluation.ablate.results import Result
from score_rag.evaluation.ablate.table import AblationTable
from score_rag.evaluation.ablate.variant_run import VariantRun
from score_rag.evaluation.ablate.variants import FULL, Variant, choose, known_names
from score_rag.evaluation.intervals import signed
from score_rag.metrics.auc import auc, log_loss
from score_rag.pipeline.adopt import adopt
from score_rag.pipeline.run import Run
from score_rag.pipeline.stages import stages
from score_rag.pipeline.state import judge, run_folder
from score_rag.predictor.soft import SoftTokens
from score_rag.prompts import find_prompt
from score_rag.report.kinds import show_table


@pytest.fixture
def own_run(toy_run, tmp_path):
    """The toy run, in a folder that a test may write to."""
    pipeline = toy_run.model_copy(update={"runs": str(tmp_path / "runs")})
    copy_run(run_folder(toy_run), run_folder(pipeline), leave=("ablate", ".lock"))
    return pipeline


def asked(run: Run, split: str = "test") -> list:
    return run.finder.questions([event for event in event_rows(run.interactions.events.filter(pl.col("split") == split))])


# The prompt


def test_other_users_are_moved_in_the_paper_s_prompt_and_nothing_else_changes():
    prompt = find_prompt("predict")
    bodies = {place: moved(prompt, place).body for place in ("first", "middle", "last")}
    assert bodies["first"] == prompt.body, "the paper has them first"
    marks = ["What other users", "What this user did", "The item in question", "Will this user like it?"]
    order = {place: [name for _, name in sorted((body.index(name), name) for name in marks)] for place, body in bodies.items()}
    assert order["middle"] == [marks[1], marks[0], marks[2], marks[3]]
    assert order["last"] == [marks[1], marks[2], marks[0], marks[3]]
    assert {len(body.rstrip()) for body in bodies.values()} <= {len(prompt.body) + extra for extra in (0, 1)}


def test_other_users_are_moved_in_the_compact_prompt_and_the_slot_takes_their_place():
    prompt = find_prompt("predict_evidence")
    assert moved(prompt, "first").body.startswith("{% for other in neighbours %}")
    assert moved(prompt, "last").body == prompt.body
    slot = with_slot(prompt)
    assert "neighbours" not in slot.variables and f"\n{SLOT}mood" in slot.body


@pytest.mark.parametrize("name", ["predict_expectation", "predict_history"])
def test_a_prompt_without_other_users_cannot_have_them_moved(name):
    with pytest.raises(PromptError, match="in one block of its own"):
        moved(find_prompt(name), "first")


# Variants


def test_variants_are_chosen_by_name_and_the_names_are_all_different():
    names = known_names()
    assert len(set(names)) == len(names)
    every = [variant.name for variant in choose([], ["mood", "neighbours"])]
    assert {"without-mood", "without-neighbours", "no-ci-trained", "soft-tokens", "car"} <= set(every)
    assert "without-crowd" not in every and len(set(every)) == len(every)
    (trained,) = choose(["bm25-trained"], [])
    assert trained.trained and trained.retrieval == "bm25" and not trained.reranked
    with pytest.raises(InputError, match="no variant 'bm26'"):
        choose(["bm26"], [])
    with pytest.raises(InputError, match="shuffled-trained"):
        choose(["shuffled-trained"], [])


# Who is told


@pytest.mark.parametrize("kind", ["random", "semantic", "collaborative", "bm25"])
@pytest.mark.parametrize("choice", ["judges", "any"])
def test_other_retrieval_finds_only_others_that_were_visible(toy_parts, kind, choice):
    settings = toy_parts.pipeline.predictor.changed(neighbours=choice)
    pipeline = toy_parts.pipeline.model_copy(update={"predictor": settings})
    run = VariantRun.of(toy_parts, Variant("x", "", "", retrieval=kind, reranked=False), pipeline=pipeline)
    questions = asked(toy_parts)[:20]
    found = run.finder.retrieve(questions)
    assert any(found)
    for question, hits in zip(questions, found, strict=True):
        assert len(hits) <= 6 and len({hit.user_id for hit in hits}) == len(hits)
        assert all(hit.user_id != question.user_id and hit.known_until < question.as_of for hit in hits)
    again = run.finder.retrieve(questions)
    assert [[hit.document_id for hit in hits] for hits in again] == [[hit.document_id for hit in hits] for hits in found]


def test_the_recommender_s_neighbours_share_the_taste_and_random_ones_do_not(toy_parts):
    settings = toy_parts.pipeline.predictor.changed(neighbours="any")
    pipeline = toy_parts.pipeline.model_copy(update={"predictor": settings})
    questions = asked(toy_parts)

    def alike(kind: str) -> float:
        run = VariantRun.of(toy_parts, Variant("x", "", "", retrieval=kind, reranked=False), pipeline=pipeline)
        found = run.finder.retrieve(questions)
        same = [int(hit.user_id) % 2 == int(q.user_id) % 2 for q, hits in zip(questions, found, strict=True) for hit in hits[:2]]
        return float(np.mean(same))

    assert alike("collaborative") > 0.9 and 0.2 < alike("random") < 0.8


def test_a_trained_variant_tells_its_own_likeness_and_an_asked_one_car_s(toy_parts):
    questions = asked(toy_parts)[:10]
    variant = Variant("x", "", "", retrieval="bm25", reranked=False)
    own = VariantRun.of(toy_parts, variant).finder.retrieve(questions)
    cosines = [hit.score for hits in own for hit in hits]
    assert max(cosines) <= 1.0001
    theirs = VariantRun.of(toy_parts, Variant("x", "", "", retrieval="bm25", reranked=False, trained=True)).finder.retrieve(questions)
    assert [h.document_id for hits in own for h in hits] == [h.document_id for hits in theirs for h in hits]
    assert max(hit.score for hits in theirs for hit in hits) > 1.5


# Forms


def test_codes_of_near_vectors_differ_in_few_bits():
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((50, 8))
    codes = BinaryCodes(vectors, bits=256, seed=1)
    near = codes.bits(vectors[:1]) != codes.bits(vectors[:1] + 0.01)
    far = codes.bits(vectors[:1]) != codes.bits(2 * codes.origin - vectors[:1])
    assert near.mean() < 0.05 and far.all()
    assert dotted(np.ones(32)) == "255.255.255.255" and codes.tell(vectors[:1])[0].count(".") == 31


def test_items_judged_alike_are_of_one_taste_and_know_nothing_of_the_future(toy_parts):
    log, catalogue = toy_parts.histories.train_log, toy_parts.interactions.catalogue
    items = AlikeItems(toy_parts.judges, log, catalogue, top_n=2)
    questions = asked(toy_parts, "valid")
    found = [(q, items.nearest(q)) for q in questions]
    same = [int(name) % 2 == int(q.item_id) % 2 for q, near in found for name, _ in near]
    assert np.mean(same) > 0.9
    early = next(q for q in asked(toy_parts, "train") if len(q.history) == 1)
    assert all(
        log.before(user, early.as_of) for name, _ in items.nearest(early) for user in toy_parts.judges.before(name, early.as_of, None)
    )


def test_soft_tokens_stand_behind_the_vocabulary_and_are_projected():
    import torch

    soft = SoftTokens(2.0, 3)
    one, other = soft.mark(np.array([2.0, 0, 0])), soft.mark(np.array([0, 2.0, 0]))
    assert soft.mark(np.array([2.0, 0, 0])) == one
    read = soft.encoder(lambda text: [0, *(ord(sign) for sign in text)], 200)
    assert read(f"a{one}b{other}") == [0, 97, 200, 98, 201] and SoftTokens.without_marks(f"a{one}b") == "ab"

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.words = torch.nn.Embedding(200, 8)

        def get_input_embeddings(self):
            return self.words

        def set_input_embeddings(self, words):
            self.words = words

    model = Model()
    plain = model.words
    soft.attach(model, seed=1)
    out = model.words(torch.tensor([[97, 200, 201]]))
    assert torch.equal(out[0, 0], plain.weight[97]) and not torch.equal(out[0, 1], out[0, 2])
    expected = soft.projector(torch.tensor([1.0, 0, 0]))
    assert torch.allclose(out[0, 1], expected)
    out[0, 1].sum().backward()
    assert soft.projector[0].weight.grad.abs().sum() > 0
    soft.detach(model)
    assert model.words is plain


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
