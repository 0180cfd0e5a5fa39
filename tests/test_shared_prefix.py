"""Questions that begin alike: their beginning is computed once, in bounded memory, and no probability changes."""

from __future__ import annotations

import numpy as np
import pytest
from engine_world import TEXTS, answers, close, folder, local  # noqa: F401
from hypothesis import given, settings
from hypothesis import strategies as st

from score_rag.predictor.engines.prefix import plan_prefixes
from score_rag.predictor.engines.torch import TorchEngine, score_tokens
from score_rag.predictor.predictor import Predictor
from score_rag.predictor.tokens import chat_encoder

# LiteLLM's own types make pydantic warn when they are first used.
pytestmark = pytest.mark.filterwarnings("ignore:Item .* on TypedDict class:UserWarning")


def worlds(seed: int, users: int, *, vocabulary: int = 60) -> list[list[int]]:
    """Prompts of users with candidates: some beginnings shared by all, some by a user's, some rows alone, some twice."""
    generator = np.random.default_rng(seed)
    draw = lambda low, high: generator.integers(3, vocabulary, generator.integers(low, high)).tolist()  # noqa: E731
    head, rows = draw(0, 60), []
    for _ in range(users):
        own = head + draw(0, 160)
        rows += [own + draw(1, 20) for _ in range(generator.integers(1, 9))]
    rows += [draw(1, 40), rows[0], [*head, 3]]
    return [rows[place] for place in generator.permutation(len(rows))]


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(0, 200))
@settings(max_examples=100, deadline=None)
def test_groups_hold_every_row_once_and_really_share_their_beginning(seed, users, overhead):
    rows = worlds(seed, users)
    groups = plan_prefixes(rows, overhead=overhead)
    assert sorted(row for group in groups for row in group.rows) == list(range(len(rows)))
    for group in groups:
        assert len({tuple(rows[row][: group.shared]) for row in group.rows}) == 1
        assert all(len(rows[row]) > group.shared for row in group.rows)
        assert group.shared == 0 or (len(group.rows) - 1) * group.shared > overhead


def test_a_user_s_beginning_is_preferred_to_that_of_all_where_it_saves_more():
    head, rows = list(range(100, 150)), []
    for user in range(4):
        rows += [head + [user] * 200 + [9, candidate] for candidate in range(10)]
    assert [(len(group.rows), group.shared) for group in plan_prefixes(rows)] == [(10, 251)] * 4
    assert [(len(group.rows), group.shared) for group in plan_prefixes(rows[::10])] == [(4, 50)]


ROPES = [
    {"rope_type": "default", "rope_theta": 10000.0},
    {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0},
    {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    | {"rope_theta": 500000.0},
    {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 128, "rope_theta": 10000.0},
    {"rope_type": "dynamic", "factor": 2.0, "original_max_position_embeddings": 512, "rope_theta": 10000.0},
]


@given(
    seed=st.integers(0, 10_000),
    users=st.integers(1, 4),
    heads=st.sampled_from([(4, 4), (4, 2), (4, 1), (2, 1)]),
    tied=st.booleans(),
    rope=st.sampled_from(ROPES),
    attention=st.sampled_from(["sdpa", "eager"]),
    batch_tokens=st.sampled_from([64, 300, 8192]),
)
@settings(max_examples=25, deadline=None)
def test_shared_or_not_the_probability_is_one(seed, users, heads, tied, rope, attention, batch_tokens):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    sizes = {"vocab_size": 60, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "max_position_embeddings": 512}
    config = LlamaConfig(
        **sizes,
        num_attention_heads=heads[0],
        num_key_value_heads=heads[1],
        tie_word_embeddings=tied,
        rope_parameters=dict(rope),
        initializer_range=0.2,
        attn_implementation=attention,
    )
    model = LlamaForCausalLM(config).eval()
    rows = worlds(seed, users)
    shared = score_tokens(model, rows, 5, 6, batch_tokens=batch_tokens)
    alone = np.concatenate([score_tokens(model, [row], 5, 6) for row in rows])
    np.testing.assert_allclose(shared, alone, atol=1e-5)
    assert len(rows) < 4 or alone[:, 0].std() > 1e-3


def counted(model, rows, **more):
    """Tokens of each forward pass."""
    sizes = []
    handle = model.register_forward_pre_hook(lambda module, args, given: sizes.append(given["input_ids"].numel()), with_kwargs=True)
    score_tokens(model, rows, 5, 6, **more)
    handle.remove()
    return sizes


def test_a_shared_beginning_is_computed_once_in_passes_of_bounded_size(local):
    model = local.engine.model
    generator = np.random.default_rng(0)
    head = generator.integers(3, 250, 40).tolist()
    users = [head + generator.integers(3, 250, 160).tolist() for _ in range(3)]
    rows = [user + generator.integers(3, 250, 5).tolist() for user in users for _ in range(30)]
    # The first user's 200 tokens, then what the next two do not share with the one before; then 5 tokens a candidate.
    assert sum(counted(model, rows)) == 40 + 3 * 160 + 90 * 5
    assert max(counted(model, rows, batch_tokens=100)) <= 200
    assert sum(counted(model, rows + rows)) == sum(counted(model, rows)), "equal prompts are computed once"
    assert sum(counted(model, rows, share=False)) == 90 * 205
    assert model.training is False


def test_a_model_that_cannot_be_computed_in_pieces_is_scored_whole():
    import torch
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    sizes = {"vocab_size": 60, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = MistralForCausalLM(MistralConfig(**sizes, num_key_value_heads=2, sliding_window=16, initializer_range=0.2)).eval()
    rows = worlds(1, 3)
    alone = np.concatenate([score_tokens(model, [row], 5, 6) for row in rows])
    np.testing.assert_allclose(score_tokens(model, rows, 5, 6), alone, atol=1e-5)
    assert sum(counted(model, rows)) >= sum(len(row) for row in {tuple(row) for row in rows})


@pytest.mark.parametrize("side", ["left", "right"])
def test_merged_or_beside_with_any_tokenizer_s_padding_the_probability_is_one(side, folder, local, answers):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / "base", padding_side=side)
    tokenizer.pad_token = None
    beside = Predictor.from_pretrained(folder, engine="torch").engine
    merged = beside.model.merge_and_unload()
    engine = TorchEngine(merged, chat_encoder(tokenizer), local.engine.answers, max_tokens=256)
    close(engine.score(TEXTS), answers)
    close(local.score(TEXTS), answers)
