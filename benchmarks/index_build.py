"""Documents a second into an index, beside LlamaIndex's own parts on the same texts and weights: `python benchmarks/index_build.py`.

After `score-rag run sample`. Theirs: `VectorStoreIndex` + `HuggingFaceEmbedding` + `ChromaVectorStore`, texts as nodes whose metadata is
neither embedded nor split off. Ours writes its array beside the store. Both embed every text once. Run it alone on the machine.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import chromadb
import numpy as np
import polars as pl
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.schema import TextNode
from llama_index.embeddings.huggingface import HuggingFaceEmbedding
from llama_index.vector_stores.chroma import ChromaVectorStore
from transformers.utils import logging as transformers_logging

from score_rag.documents.versions import FOREVER
from score_rag.encoders.encoder import Encoder, TextEncoder
from score_rag.encoders.torch_encoder import BulkEncoder
from score_rag.index.reader import BehaviourIndex, documents_of
from score_rag.index.writer import build_index, update_index


def theirs(texts: dict[str, str], model: HuggingFaceEmbedding, folder: Path) -> None:
    """Their index, as their documentation builds it; the model is open already, as ours are."""
    client = chromadb.PersistentClient(path=str(folder), settings=chromadb.Settings(anonymized_telemetry=False))
    collection = client.create_collection("theirs", embedding_function=None, configuration={"hnsw": {"space": "cosine"}})
    hidden = ["user_id"]
    nodes = [
        TextNode(id_=user, text=text, metadata={"user_id": user}, excluded_embed_metadata_keys=hidden, excluded_llm_metadata_keys=hidden)
        for user, text in texts.items()
    ]
    context = StorageContext.from_defaults(vector_store=ChromaVectorStore(chroma_collection=collection))
    VectorStoreIndex(nodes, storage_context=context, embed_model=model)
    assert collection.count() == len(texts)


def seconds(work: Callable[[Path], object], times: int) -> float:
    """The least of several, each in a folder of its own."""
    found = []
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            work(Path(folder) / "index")
            found.append(time.perf_counter() - started)
    return min(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("runs/sample"))
    parser.add_argument("--documents", type=int, default=600)
    parser.add_argument("--times", type=int, default=3)
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    transformers_logging.disable_progress_bar()
    place = given.run / "retriever" / "encoder"
    serving = TextEncoder(place)
    frame = pl.read_parquet(given.run / "documents" / "documents.parquet").unique("text", maintain_order=True)
    texts = {str(number): text for number, text in enumerate(frame["text"].shuffle(seed=1).head(given.documents))}
    tokens = [len(encoding.ids) for encoding in serving._tokenizer.encode(list(texts.values()))]
    print(f"{len(texts):,} distinct documents of {np.mean(tokens):.0f} tokens (most {max(tokens)})")

    def ours(encoder: Encoder) -> Callable[[Path], object]:
        return lambda folder: build_index(documents_of(texts), encoder, folder)

    # Once to warm up: whoever comes first pays for imports.
    few = dict(list(texts.items())[:50])
    floor = {}
    for batch in (10, 32):
        model = HuggingFaceEmbedding(model_name=str(place), max_length=serving.max_tokens, device="cpu", embed_batch_size=batch)
        seconds(lambda folder, model=model: theirs(few, model, folder), 1)
        floor[batch] = seconds(lambda folder, model=model: theirs(texts, model, folder), given.times)
    half = BulkEncoder(place, dtype="bfloat16")
    for encoder in (serving, half):
        encoder.encode(list(few.values()))
    full = seconds(ours(serving), given.times)
    fast = seconds(ours(half), given.times)
    for batch, took in floor.items():
        name = "their default" if batch == 10 else "32"
        print(f"documents/s, ours / theirs (batch {name}): float32 {took / full:.2f}, bfloat16 {took / fast:.2f}")
    sample = list(texts.values())[:200]
    by_torch, by_onnx = BulkEncoder(place).encode(sample), serving.encode(sample)
    print(f"float32 vectors equal to torch's within {np.abs(by_torch - by_onnx).max():.0e}")
    print(f"bfloat16: least cosine to float32 {(half.encode(sample) * by_onnx).sum(axis=1).min():.5f}")
    with tempfile.TemporaryDirectory() as folder:
        build_index(documents_of(texts), serving, folder)
        changed = {**texts, **{user: f"{text} And one more." for user, text in list(texts.items())[: len(texts) // 100]}}
        started = time.perf_counter()
        done = update_index(folder, serving, documents_of(changed), whole=True)
        took = time.perf_counter() - started
        assert (BehaviourIndex.open(folder, serving).documents["superseded_at"] == FOREVER).all()
    print(f"an update of 1 % of users embeds {done.embedded} texts and takes {took / full:.3f} of a build")


if __name__ == "__main__":
    main()
