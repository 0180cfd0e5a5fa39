"""The examples of the pages in docs/ run as they stand, and say what they should."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from score_rag.integrations.llama_index import TrainedEmbedding
from score_rag.testing import WordEncoder

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = re.findall(r"## ([^\n]*)\n\n```python\n(.*?)```", (ROOT / "docs" / "retriever.md").read_text(encoding="utf-8"), re.S)
SAID = {
    "From texts alone": ["ann", "bob"],
    "An index on disk, kept up to date": [
        "Written(generation=2, documents=2, users=2, embedded=1, deleted=1)",
        "['ann', 'cat']",
    ],
    "Over a collection that others fill": ["ann"],
    "LangChain": ["bob Liked: Grease (1978)."],
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize(("title", "code"), EXAMPLES, ids=[title for title, _ in EXAMPLES])
def test_the_examples_of_the_retriever_s_page_run(title, code, cache, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.chdir(tmp_path)
    exec(compile(code, title, "exec"), {})
    assert capsys.readouterr().out.strip().splitlines() == SAID[title]


def test_the_page_has_these_examples():
    assert [title for title, _ in EXAMPLES] == list(SAID)


async def test_an_encoder_of_ours_is_an_embedding_model_of_llama_index():
    encoder = WordEncoder()
    model = TrainedEmbedding(encoder)
    expected = encoder.encode(["Heat"])[0].tolist()
    assert model.get_text_embedding("Heat") == model.get_query_embedding("Heat") == expected
    assert await model.aget_text_embedding("Heat") == await model.aget_query_embedding("Heat") == expected
    assert model.get_text_embedding_batch(["Heat", "Ronin"])[0] == expected and encoder.fingerprint in model.model_name
