"""What the tests of engines share."""

from __future__ import annotations

import json
import warnings
from copy import deepcopy as copy_of

import numpy as np
import pytest

from score_rag.predictor.base import fit_tokenizer
from score_rag.predictor.predictor import Predictor
from score_rag.predictor.settings import EngineSettings
from score_rag.predictor.tokens import answer_ids, plain_encoder
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
