"""Ablations: what each variant changes, on the toy run; what is shared, kept, resumed; what fails is told and the rest goes on."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from score_rag.data.interactions import event_rows
from score_rag.errors import InputError, PromptError
from score_rag.evaluation.ablate.alike_items import AlikeItems
from score_rag.evaluation.ablate.codes import BinaryCodes, dotted
from score_rag.evaluation.ablate.placement import SLOT, moved, with_slot
from score_rag.evaluation.ablate.variant_run import VariantRun
from score_rag.evaluation.ablate.variants import Variant, choose, known_names
from score_rag.pipeline.run import Run
from score_rag.predictor.soft import SoftTokens
from score_rag.prompts import find_prompt


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
