"""One probability, whichever engine computes it: a model in memory, or a server of any of three kinds with its traps."""

from __future__ import annotations

import asyncio
import json
import shutil
import warnings
from copy import deepcopy as copy_of

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from score_rag.errors import InputError, ModelError
from score_rag.predictor.answer import calibrated, from_logits
from score_rag.predictor.base import fit_tokenizer
from score_rag.predictor.engines import Engine
from score_rag.predictor.engines.openai import OpenAIEngine
from score_rag.predictor.engines.prefix import plan_prefixes
from score_rag.predictor.engines.torch import TorchEngine, score_tokens
from score_rag.predictor.load import base_digest
from score_rag.predictor.predictor import Predictor
from score_rag.predictor.settings import EngineSettings
from score_rag.predictor.tokens import answer_ids, chat_encoder, plain_encoder
from score_rag.testing import ScoringServer

TEXTS = [
    "".join(f"Film {n * user % 17}, {'Yes' if n % user else 'No'}\n" for n in range(1, 9)) + f"Film {item}:"
    for user in (2, 3)
    for item in range(6)
]
SERVED = [
    EngineSettings(engine="vllm", url="http://x"),
    EngineSettings(engine="sglang", url="http://x"),
    EngineSettings(engine="openai", url="http://x"),
    EngineSettings(engine="openai", url="http://x", api="chat"),
]
# LiteLLM's own types make pydantic warn when they are first used.
pytestmark = pytest.mark.filterwarnings("ignore:Item .* on TypedDict class:UserWarning")
BY_KIND = {"argvalues": SERVED, "ids": [f"{one.engine}-{one.api}" if one.engine == "openai" else one.engine for one in SERVED]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A predictor's folder: a tiny random Llama that writes Yes or No, and a random adapter."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("predictor")
    tokenizer = fit_tokenizer([f"{text} {answer}" for text in TEXTS for answer in ("Yes", "No")], folder / "base", vocabulary=320)
    yes, no = answer_ids(lambda text: tokenizer.encode(text).ids, "Film 1:")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    model = LlamaForCausalLM(
        LlamaConfig(vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=512, initializer_range=0.5, **sizes)
    )
    lora = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
    with warnings.catch_warnings():
        # peft asks transformers for a name that transformers has since renamed.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        tuned = get_peft_model(copy_of(model), lora).eval()
    with torch.no_grad():
        # Yes and No are written where the texts' last states point together; which of them, by where they differ most.
        rows = [torch.tensor([tokenizer.encode(text).ids]) for text in TEXTS]
        states = torch.cat([tuned.base_model.model.model(input_ids=row).last_hidden_state[:, -1] for row in rows])
        mean = states.mean(0)
        apart = torch.linalg.svd(states - mean - ((states - mean) @ mean)[:, None] * mean / (mean @ mean)).Vh[0]
        apart = apart / ((states - mean) @ apart).std()
        model.lm_head.weight[yes] = 16 * mean / (mean @ mean) + apart
        model.lm_head.weight[no] = 16 * mean / (mean @ mean) - apart
    model.save_pretrained(folder / "base")
    tuned.save_pretrained(str(folder / "adapter"))
    facts = {"base": "bundled", "bundled": True, "dtype": "float32", "max_tokens": 256, "yes": yes, "no": no}
    (folder / "predictor.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def local(folder):
    return Predictor.from_pretrained(folder, engine="torch")


@pytest.fixture(scope="module")
def answers(local):
    """What the model says, one prompt at a time."""
    found = [local.score([text])[0] for text in TEXTS]
    assert np.std([answer.probability for answer in found]) > 0.01 and min(answer.mass for answer in found) > 0.2
    return found


@pytest.fixture
def serve(folder, local):
    """Makes servers of the very model."""
    import torch
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "base" / "tokenizer.json"))

    def next_logits(ids):
        with torch.inference_mode():
            return local.engine.model(input_ids=torch.tensor([list(ids)])).logits[0, -1].numpy()

    servers = []

    def make(**more):
        server = ScoringServer(next_logits, encode=plain_encoder(folder / "base"), decode=lambda token: tokenizer.decode([token]), **more)
        servers.append(server.__enter__())
        return server

    yield make
    for server in servers:
        server.__exit__()


def close(found, expected):
    np.testing.assert_allclose([a.probability for a in found], [a.probability for a in expected], atol=1e-5)
    np.testing.assert_allclose([a.mass for a in found], [a.mass for a in expected], atol=1e-5)


def through(folder, server, **more):
    return Predictor.from_pretrained(folder, engine=EngineSettings(url=server.url, **more))


@pytest.mark.parametrize("kind", **BY_KIND)
async def test_a_server_gives_the_same_probability_and_mass(kind, folder, local, answers, serve):
    server = serve()
    remote = Predictor.from_pretrained(folder, engine=kind.model_copy(update={"url": server.url + "/v1", "batch_tokens": 300}))
    assert isinstance(remote.engine, Engine) and isinstance(local.engine, Engine)
    told = []
    found = remote.score(TEXTS, report=lambda what, done, total: told.append((done, total)))
    close(found, answers)
    close(await remote.ascore(TEXTS), answers)
    assert told[-1] == (len(TEXTS), len(TEXTS)) and not any(answer.warning for answer in found)
    assert remote.count_tokens(TEXTS[0]) == local.count_tokens(TEXTS[0])
    assert remote.score([]) == [] == await remote.ascore([])


async def test_the_event_loop_goes_on_while_a_server_thinks(folder, answers, serve):
    remote = through(folder, serve(delay=0.3), engine="sglang")
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            await asyncio.sleep(0.02)
            ticks += 1

    ticking = asyncio.create_task(tick())
    close(await remote.ascore(TEXTS[:2]), answers[:2])
    ticking.cancel()
    assert ticks > 3


def test_vllm_is_asked_twice_for_true_probabilities_with_our_token_ids(folder, local, serve):
    server = serve()
    through(folder, server, engine="vllm").score(TEXTS[:3])
    (_, first), (_, second) = server.requests
    assert first["label_token_ids"] == [*local.engine.answers] == second["label_token_ids"][::-1]
    assert first["apply_softmax"] is False is first["add_special_tokens"]
    assert [first["query"] + item for item in first["items"]] == sorted(local.engine.rows(TEXTS[:3])) and len(first["query"]) > 20


@pytest.mark.parametrize("kind", **BY_KIND)
def test_a_prompt_longer_than_the_server_reads_is_never_sent(kind, folder, serve):
    server = serve(max_model_len=64)
    engine = Predictor.from_pretrained(folder, engine=kind.model_copy(update={"url": server.url})).engine
    assert engine.max_tokens == 63
    long = TEXTS[0] * 4
    with pytest.raises(InputError, match="longer than the engine reads") as caught:
        engine.score(["Film 1:", long])
    assert caught.value.found == f"{engine.count_tokens(long)} tokens" and caught.value.expected == "at most 63 tokens"
    assert not server.requests
    if kind.engine == "vllm":
        row = engine.encode(long)
        body = {"query": row[:63], "items": [row[63:]], "label_token_ids": [*engine.answers]}
        cut = {**body, "query": row[:60], "items": [row[60:63]]}
        said = [httpx.post(server.url + "/generative_scoring", json=one).json()["data"][0]["score"] for one in (body, cut)]
        assert said[0] == said[1], "the fake has vLLM's trap: it drops the question and answers all the same"


def test_a_prompt_that_is_too_long_or_empty_is_refused(local):
    with pytest.raises(InputError, match="longer"):
        local.score(["Film " * 400])
    with pytest.raises(InputError, match="empty"):
        local.score([" "])


@pytest.mark.parametrize("kind", **BY_KIND)
def test_a_server_that_fails_for_a_moment_is_asked_again(kind, folder, answers, serve):
    server = serve()
    remote = Predictor.from_pretrained(folder, engine=kind.model_copy(update={"url": server.url, "concurrency": 1}))
    server.failures = [503, 429]
    close(remote.score(TEXTS[:1]), answers[:1])
    asked = len(server.requests)
    assert asked == (4 if kind.engine == "vllm" else 3)
    server.failures = [503] * 9
    with pytest.raises(ModelError, match="does not answer") as caught:
        remote.score(TEXTS[:1])
    assert "3 attempts" in caught.value.found and len(server.requests) == asked + 3
    server.failures = [400]
    with pytest.raises(ModelError, match="refused") as caught:
        remote.score(TEXTS[:1])
    assert "made to fail" in caught.value.found and len(server.requests) == asked + 4


@pytest.mark.parametrize("kind", **BY_KIND)
def test_a_server_that_is_too_slow_is_given_up(kind, folder, serve):
    server = serve()
    remote = Predictor.from_pretrained(folder, engine=kind.model_copy(update={"url": server.url, "timeout": 0.3, "retries": 0}))
    server.delay = 1.5
    with pytest.raises(ModelError, match="does not answer") as caught:
        remote.score(TEXTS[:1])
    assert "1 attempts" in caught.value.found and ("timed out" in caught.value.found or "no answer in 0.3 s" in caught.value.found)


@pytest.mark.parametrize("kind", **BY_KIND)
def test_a_server_that_is_not_there_or_lacks_the_model_is_named(kind, folder, serve):
    with pytest.raises(ModelError, match="does not answer") as caught:
        Predictor.from_pretrained(folder, engine=kind.model_copy(update={"url": "http://127.0.0.1:9", "retries": 0}))
    assert "127.0.0.1:9" in caught.value.where
    server = serve(models={"base": 512, "tuned": None})
    with pytest.raises(ModelError, match="does not serve the model 'tunedd'") as caught:
        Predictor.from_pretrained(folder, engine=kind.engine, engine_url=server.url, engine_model="tunedd")
    assert "tuned" in caught.value.hint
    with pytest.raises(ModelError, match="serves several models"):
        Predictor.from_pretrained(folder, engine=kind.engine, engine_url=server.url)
    remote = Predictor.from_pretrained(folder, engine=kind.model_copy(update={"url": server.url, "model": "tuned"}))
    remote.score(TEXTS[:1])
    assert {body["model"] for _, body in server.requests} == {"tuned"}
    del server.models["tuned"]
    with pytest.raises(ModelError, match="refused") as caught:
        remote.score(TEXTS[:1])
    assert "does not exist" in caught.value.found


def test_a_key_is_read_from_the_environment(folder, answers, serve, monkeypatch):
    server = serve(key="secret")
    with pytest.raises(ModelError, match="refused") as caught:
        through(folder, server, engine="sglang")
    assert "401" in caught.value.found and "api_key_env" in caught.value.hint
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(ModelError, match="MY_KEY is not set"):
        through(folder, server, engine="sglang", api_key_env="MY_KEY")
    monkeypatch.setenv("MY_KEY", "secret")
    for engine in ("vllm", "sglang", "openai"):
        close(through(folder, server, engine=engine, api_key_env="MY_KEY").score(TEXTS[:1]), answers[:1])


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("vllm", {"data": [{"index": 0, "score": 0.5}]}),
        ("vllm", {"data": [{"index": 0, "score": 0.5}, {"index": 1, "score": 1.5}]}),
        ("sglang", {"scores": [[0.5, 0.1]]}),
        ("sglang", {"scores": [[0.5], [0.5]]}),
        ("sglang", {"results": []}),
    ],
)
def test_an_answer_out_of_form_is_refused(engine, said, folder, serve, monkeypatch):
    server = serve()
    remote = through(folder, server, engine=engine)
    monkeypatch.setattr(server, "answer", lambda path, body, key: (200, said))
    with pytest.raises(ModelError, match="another form than its API promises"):
        remote.score(TEXTS[:2])


@pytest.mark.parametrize("api", ["completions", "chat"])
def test_an_answer_missing_from_the_likeliest_tokens_is_bounded_and_said(api, folder, local, answers, serve):
    remote = through(folder, serve(), engine="openai", api=api)
    engine = remote.engine
    # As if Yes were not on the list: the list's least likely token, and what the list leaves over, bound it.
    engine._names = (("never written",), engine._names[1])
    for found, true in zip(remote.score(TEXTS), answers, strict=True):
        assert found.warning.startswith("Yes is not among the ") and found.warning.endswith(" at most")
        no = (1 - true.probability) * true.mass
        assert no - 1e-5 <= found.mass <= no + (1 - true.mass) + 1e-5 and found.probability < 0.5
    engine._names = (("never written",), ("nor this",))
    with pytest.raises(ModelError, match="neither Yes nor No"):
        remote.score(TEXTS[:1])


def test_the_bound_holds(folder, answers, serve):
    """With fewer tokens listed, an answer stays the same or turns into a bound on the right side of it."""
    server = serve()
    seen = set()
    for top in (2, 3, 8):
        for found, true in zip(through(folder, server, engine="openai", top_logprobs=top).score(TEXTS), answers, strict=True):
            seen.add(found.warning.split(" ")[0])
            if not found.warning:
                assert found.probability == pytest.approx(true.probability, abs=1e-5)
            elif found.warning.startswith("Yes"):
                assert found.probability >= true.probability - 1e-6
            else:
                assert found.probability <= true.probability + 1e-6
            assert found.mass >= true.mass - 1e-6
    assert "" in seen


def test_a_server_without_log_probabilities_is_named(folder, serve, monkeypatch):
    server = serve()
    remote = through(folder, server, engine="openai")
    answer = {"id": "1", "object": "text_completion", "created": 0, "model": "llama"}
    answer["choices"] = [{"index": 0, "text": "Yes", "finish_reason": "length", "logprobs": None}]
    monkeypatch.setattr(server, "answer", lambda path, body, key: (200, answer))
    with pytest.raises(ModelError, match="gave no log-probabilities"):
        remote.score(TEXTS[:1])


def test_prefix_cache_hits_are_counted_where_the_server_says_them(folder, local, serve):
    remote = through(folder, serve(), engine="openai", concurrency=1)
    remote.score(TEXTS[:6])
    rows = local.engine.rows(TEXTS[:6])
    assert isinstance(remote.engine, OpenAIEngine) and remote.engine.usage.prompt == sum(map(len, rows))
    assert remote.engine.usage.cached >= 5 * 16
    silent = through(folder, serve(), engine="sglang")
    silent.score(TEXTS[:1])
    assert silent.engine.usage.cached is None


def test_settings_say_what_an_engine_lacks(folder):
    for wrong in (
        {"engine": "vllm"},
        {"engine": "openai", "model": "gpt"},
        {"engine": "torch", "url": "http://x"},
        {"engine": "vllm", "url": "x"},
        {"engine": "vlm"},
        {"strange": 1},
    ):
        with pytest.raises(ValidationError):
            EngineSettings(**wrong)
    assert EngineSettings(engine="openai", model="gpt", api="chat").url is None
    with pytest.raises(InputError, match="do not fit"):
        Predictor.from_pretrained(folder, engine="vllm")
    with pytest.raises(ModelError, match="no ONNX file"):
        Predictor.from_pretrained(folder, engine="onnx")


# --- what is loaded


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "predictor")


def change_adapter(copy, change):
    from safetensors.torch import load_file, save_file

    file = copy / "adapter" / "adapter_model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


def test_an_adapter_that_is_not_whole_is_refused(copy):
    change_adapter(copy, lambda tensors: tensors.pop(sorted(tensors)[0]))
    with pytest.raises(ModelError, match="does not fit") as caught:
        Predictor.from_pretrained(copy, engine="torch")
    assert "1 missing" in caught.value.found


def test_an_adapter_with_tensors_that_have_no_place_is_refused(copy):
    def rename(tensors):
        name = sorted(tensors)[0]
        tensors[name.replace("layers.0", "layers.7")] = tensors[name].clone()

    change_adapter(copy, rename)
    with pytest.raises(ModelError, match="does not fit") as caught:
        Predictor.from_pretrained(copy, engine="torch")
    assert "1 unused" in caught.value.found and "layers.7" in caught.value.found


def test_an_adapter_of_another_shape_or_without_weights_is_refused(copy):
    def cut(tensors):
        name = next(name for name in tensors if "lora_A" in name)
        tensors[name] = tensors[name][:, :16].clone()

    change_adapter(copy, cut)
    with pytest.raises(ModelError, match="does not fit"):
        Predictor.from_pretrained(copy, engine="torch")
    (copy / "adapter" / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelError, match="no weights"):
        Predictor.from_pretrained(copy, engine="torch")


def test_another_base_than_the_adapter_s_is_refused(copy, answers):
    facts = json.loads((copy / "predictor.json").read_text())
    (copy / "predictor.json").write_text(json.dumps({**facts, "base_digest": base_digest(copy / "base")}))
    close(Predictor.from_pretrained(copy, engine="torch").score(TEXTS[:2]), answers[:2])
    with (copy / "base" / "config.json").open("a") as stream:
        stream.write("\n")
    with pytest.raises(ModelError, match="not the one that the adapter was trained on"):
        Predictor.from_pretrained(copy, engine="torch")
    with pytest.raises(ModelError, match="holds no model"):
        base_digest(copy / "adapter")


def test_a_temperature_divides_the_logit_difference_and_nothing_else(copy, answers):
    facts = json.loads((copy / "predictor.json").read_text())
    (copy / "predictor.json").write_text(json.dumps({**facts, "temperature": 2.5}))
    for found, raw in zip(Predictor.from_pretrained(copy, engine="torch").score(TEXTS), answers, strict=True):
        difference = np.log(raw.probability / (1 - raw.probability))
        assert found.probability == pytest.approx(1 / (1 + np.exp(-difference / 2.5)), abs=1e-6)
        assert found.mass == pytest.approx(raw.mass, abs=1e-5)
    assert 0 < calibrated(0.0, 2.0) < 1e-100 and calibrated(1.0, 3.0) < 1
    with pytest.raises(InputError, match="not positive"):
        Predictor(Predictor.from_pretrained(copy, engine="torch").engine, temperature=0)


def test_logits_far_apart_overflow_nothing():
    found = from_logits(np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0]]), 0, 1)
    assert [answer.probability for answer in found] == [1.0, 0.0] and [answer.mass for answer in found] == [1.0, 1.0]


# --- beginnings that are shared


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


# --- the doctor


def test_the_doctor_compares_a_server_with_the_local_engine(folder, local, serve):
    from score_rag.cli.doctor_engine import compare, prefix_cache

    server = serve()
    found = compare(through(folder, server, engine="openai").engine, local.engine, TEXTS)
    assert found["ok"] and found["prompts"] == len(TEXTS) and found["largest_difference"] < 1e-5 and found["warnings"] == 0
    # A random model is thrown off by the line that makes a prompt new: here it writes Yes or No whatever stands before.
    plain, likely = server._next_logits, np.zeros(len(server._next_logits([1])))
    likely[[*local.engine.answers]] = 30.0
    server._next_logits = lambda ids: plain(ids) + likely
    cache = prefix_cache(through(folder, server, engine="openai").engine, TEXTS)
    assert 0 < cache["cached_tokens"] <= cache["repeated_tokens"] and cache["ratio"] > 0
    assert prefix_cache(through(folder, server, engine="sglang").engine, TEXTS)["cached_tokens"] is None
    swapped = TorchEngine(local.engine.model.get_base_model(), local.engine.encode, local.engine.answers[::-1], max_tokens=256)
    assert not compare(swapped, local.engine, TEXTS)["ok"]


def test_the_command_checks_a_server_against_a_finished_run(toy_parts, toy_pipeline, monkeypatch, capsys):
    from score_rag.cli import main
    from score_rag.predictor.engines.onnx import OnnxEngine

    engine = toy_parts.predictor.engine
    assert isinstance(engine, OnnxEngine)

    def next_logits(ids):
        row = np.array([ids], dtype=np.int64)
        return engine.model.run({"input_ids": row, "attention_mask": np.ones_like(row)})[0]

    with ScoringServer(next_logits, encode=engine.encode, decode=str) as server:
        words = ["doctor", "--engine", server.url, "--engine-kind", "vllm", "--pipeline", str(toy_pipeline)]
        for more in ([], ["--json"]):
            monkeypatch.setattr("sys.argv", ["score-rag", *words, *more])
            with pytest.raises(SystemExit) as ended:
                main()
            assert not ended.value.code
            out = capsys.readouterr().out
            if more:
                found = json.loads(out)
                assert found["ok"] and found["prompts"] == 50 and found["largest_difference"] < 1e-5
            else:
                assert "the same model" in out and "prefix cache" in out
