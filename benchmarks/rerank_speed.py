"""Reranking 15 documents, against LlamaIndex's `SentenceTransformerRerank` with the same weights, one question at a time and in batches.

    python benchmarks/rerank_speed.py sample [--questions 12] [--documents 15]

Needs a run whose reranker is finished. Both read the same pairs of texts by the same weights; scores must be equal within 1e-4. Their
turns alternate, and the medians of five rounds are compared. LlamaIndex's has no batches of questions: it is asked for one after the other.
Two sets of documents: those that the run retrieves for each question, and the same ones for every question.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
from llama_index.core.postprocessor import SentenceTransformerRerank
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from score_rag import SelfAssessingReranker
from score_rag.context.examples import sample_events
from score_rag.documents.describer import describe_item
from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.run import Run
from score_rag.retriever.query import UserQuery


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipeline")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--questions", type=int, default=12)
    parser.add_argument("--documents", type=int, default=15)
    given = parser.parse_args()
    run = Run.open(load_pipeline(given.pipeline, overrides=given.overrides), stages=("reranker",))
    finder = run.make_finder(None)
    finder.similarity_top_k = given.documents
    asked = finder.questions(sample_events(run.histories, "valid", given.questions, seed=run.pipeline.seed))
    hits = [found[: given.documents] for found in finder.retrieve(asked)]
    ours = SelfAssessingReranker(run.scorer, top_n=given.documents)
    theirs = SentenceTransformerRerank(model=str(run.scorer.folder), top_n=given.documents, device="cpu", keep_retrieval_score=True)
    theirs._model.max_length = run.scorer.max_tokens
    queries = [UserQuery(finder.query(one), target=describe_item(run.interactions.item(one.item_id))) for one in asked]
    nodes = [[NodeWithScore(node=TextNode(id_=h.user_id, text=h.text), score=h.score) for h in found] for found in hits]
    # What ours makes of question and item by its prompts, theirs is given ready.
    told = [QueryBundle(run.scorer.texts.ask(one.query_str, one.target)) for one in queries]

    def mine() -> list[list[NodeWithScore]]:
        return [ours.postprocess_nodes(own, query_bundle=one) for own, one in zip(nodes, queries, strict=True)]

    def peer() -> list[list[NodeWithScore]]:
        return [theirs.postprocess_nodes(own, query_bundle=one) for own, one in zip(nodes, told, strict=True)]

    def batched() -> list[list[NodeWithScore]]:
        return ours.postprocess_many(nodes, queries)

    scores = [_scores(found) for found in (mine(), peer(), batched())]
    off = max(float(np.abs(scores[0][key] - one[key]).max()) for one in scores[1:] for key in scores[0])
    assert off < 1e-4, off
    times = _times({"theirs": peer, "ours, one question at a time": mine, "ours, all questions at once": batched})
    print(f"{len(queries)} questions of {given.documents} documents; scores equal within {off:.0e}")
    for name, seconds in times.items():
        print(f"{name:<30} {1000 * seconds / len(queries):7.1f} ms a question, {times['theirs'] / seconds:.2f} x theirs")


def _scores(found: Sequence[Sequence[NodeWithScore]]) -> dict[int, np.ndarray]:
    return {row: np.array([float(one.score) for one in sorted(kept, key=lambda n: n.node_id)]) for row, kept in enumerate(found)}


def _times(works: dict[str, Callable[[], object]], rounds: int = 5) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            taken[name].append(time.perf_counter() - began)
    return {name: float(np.median(all_)) for name, all_ in taken.items()}


if __name__ == "__main__":
    main()
