"""One probability, whichever server computes it: three kinds with their traps, and the doctor that compares them."""

from __future__ import annotations

import asyncio
import json

import httpx
import numpy as np
import pytest
from engine_world import BY_KIND, TEXTS, answers, close, folder, local, serve, through  # noqa: F401

from score_rag.errors import InputError, ModelError
from score_rag.predictor.engines import Engine
from score_rag.predictor.engines.openai import OpenAIEngine
from score_rag.predictor.engines.torch import TorchEngine
from score_rag.predictor.predictor import Predictor
from score_rag.testing import ScoringServer

# LiteLLM's own types make pydantic warn when they are first used.
pytestmark = pytest.mark.filterwarnings("ignore:Item .* on TypedDict class:UserWarning")


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


def test_prefix_cache_hits_are_counted_where_the_server_says_them(folder, local, serve):
    remote = through(folder, serve(), engine="openai", concurrency=1)
    remote.score(TEXTS[:6])
    rows = local.engine.rows(TEXTS[:6])
    assert isinstance(remote.engine, OpenAIEngine) and remote.engine.usage.prompt == sum(map(len, rows))
    assert remote.engine.usage.cached >= 5 * 16
    silent = through(folder, serve(), engine="sglang")
    silent.score(TEXTS[:1])
    assert silent.engine.usage.cached is None


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
