"""Many questions in one sequence: each is scored and trained as if it stood alone, for fewer tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from score_rag.predictor.packing import collate, pack, pack_all
from score_rag.predictor.trainer import PackTraining, batches_of, pack_loss, score_packs
from score_rag.seeds import forked_generators

ANSWERS = (5, 6)


def tiny(heads=4, shared_heads=2, tied=True, seed=0):
    """A random Llama whose weights are large enough for its answers to differ."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=40,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=heads,
        num_key_value_heads=shared_heads,
        max_position_embeddings=128,
        tie_word_embeddings=tied,
        initializer_range=0.2,
    )
    with forked_generators(seed):
        return LlamaForCausalLM(config).eval()


MODELS = {"grouped queries": tiny(), "all heads, untied": tiny(shared_heads=4, tied=False, seed=1)}


def alone(model, row):
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([row])).logits[0, -1]
    return float(logits[ANSWERS[0]] - logits[ANSWERS[1]])


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.integers(0, 39), min_size=1, max_size=6),
    st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=7), min_size=1, max_size=6),
    st.integers(1, 3),
)
def test_a_packed_question_is_scored_as_if_it_stood_alone(name, beginning, endings, batch_size):
    rows = [beginning + ending for ending in endings]
    model = MODELS[name]
    packs = [pack(rows, [0] * len(rows)), pack(rows[::-1], [1] * len(rows)), pack(rows[:1], [1])]
    together = score_packs(model, packs, ANSWERS, batch_size=batch_size)
    expected = [alone(model, row) for row in [*rows, *rows[::-1], rows[0]]]
    np.testing.assert_allclose(together, expected, atol=1e-5)


@pytest.mark.parametrize("targets", [None, [0.9, 0.25, 0.5]])
def test_the_loss_is_the_mean_of_what_each_question_loses_alone(targets):
    model, rows, labels = MODELS["grouped queries"], [[1, 2, 3], [1, 2, 9, 4], [1, 7]], [1, 0, 1]
    training = PackTraining(8, 1e-3, 0.0, "answers", 0.5)
    packed = pack_loss(model, collate([pack(rows, labels, targets)]), ANSWERS, training).item()
    losses, whole = [], []
    for row, aim in zip(rows, targets or labels, strict=True):
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([row])).logits[0, -1]
        said = aim * logits[ANSWERS[0]] + (1 - aim) * logits[ANSWERS[1]]
        losses.append(float(torch.logsumexp(logits[list(ANSWERS)], 0) - said))
        whole.append(float(torch.logsumexp(logits, 0) - said))
    assert packed == pytest.approx(np.mean(losses) + 0.5 * np.mean(whole), abs=1e-5)


def test_a_disliked_item_of_one_question_is_seen_by_no_other():
    """With `history: positives` a later question's prompt tells liked items alone: its answer must not move with the other's target."""
    model = MODELS["grouped queries"]
    liked, disliked, other = [1, 2, 3, 5], [8, 9], [20, 21]
    scores = [score_packs(model, [pack([liked + wanted, [*liked, 30]], [0, 1])], ANSWERS) for wanted in (disliked, other)]
    assert scores[0][0] != scores[1][0] and scores[0][1] == pytest.approx(scores[1][1], abs=1e-5)


def test_tokens_that_questions_share_stand_once():
    history = list(range(10, 30))
    rows = [[*history[: 4 * n], 5] for n in range(1, 6)]
    assert len(pack(rows, [0] * 5)) == 20 + 5
    assert sum(map(len, rows)) == 65


def test_a_group_is_cut_where_its_tree_would_be_too_long_and_nothing_is_lost():
    rows = [[number, number + 1, number + 2] for number in range(0, 30, 3)]
    packs = pack_all([(rows, [1, 0] * 5, [0.75, 0.25] * 5), ([[0] * 50], [1], [1])], most=10)
    assert [len(one) for one in packs] == [9, 9, 9, 3, 50]
    assert np.concatenate([one.labels for one in packs]).tolist() == [1, 0] * 5 + [1]
    assert np.concatenate([one.targets for one in packs]).tolist() == [0.75, 0.25] * 5 + [1]


def test_batches_hold_each_pack_once_and_like_lengths_together():
    packs = [pack([list(range(length))], [1]) for length in [3, 70, 5, 80, 4, 75]]
    found = batches_of(packs, 3, np.random.default_rng(0))
    assert sorted(len(one) for batch in found for one in batch) == sorted(map(len, packs))
    assert sorted(sorted(len(one) for one in batch) for batch in found) == [[3, 4, 5], [70, 75, 80]]
