"""Servers that fail, are slow, missing or out of form: asked again, given up, named."""

from __future__ import annotations

import pytest
from engine_world import BY_KIND, TEXTS, answers, close, folder, local, serve, through  # noqa: F401
from pydantic import ValidationError

from score_rag.errors import InputError, ModelError
from score_rag.predictor.predictor import Predictor
from score_rag.predictor.settings import EngineSettings

# LiteLLM's own types make pydantic warn when they are first used.
pytestmark = pytest.mark.filterwarnings("ignore:Item .* on TypedDict class:UserWarning")


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


def test_a_server_without_log_probabilities_is_named(folder, serve, monkeypatch):
    server = serve()
    remote = through(folder, server, engine="openai")
    answer = {"id": "1", "object": "text_completion", "created": 0, "model": "llama"}
    answer["choices"] = [{"index": 0, "text": "Yes", "finish_reason": "length", "logprobs": None}]
    monkeypatch.setattr(server, "answer", lambda path, body, key: (200, answer))
    with pytest.raises(ModelError, match="gave no log-probabilities"):
        remote.score(TEXTS[:1])


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
