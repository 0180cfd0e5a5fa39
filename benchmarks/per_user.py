"""What it costs to choose other users once for all candidates of a user, and not anew for each item (the paper's way).

    python benchmarks/per_user.py sample [--rows 2000] [--split valid]

Needs a finished run whose predictor's prompt tells of other users. Per item: those found for the item in question, reranked with it.
Per user: those most like the user, reranked by the history alone, so that all candidates of a user share them. Nobody: a floor. Prints AUC,
UAUC and log-loss, and what per user differs from per item by, with 95 % intervals over users; then the cross-encoder's pairs of a
ranking of fifty.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from score_rag.context.examples import sample_events
from score_rag.context.finder import RetrievedContext
from score_rag.context.question import Question
from score_rag.metrics.bootstrap import Bootstrap
from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.run import Run

CANDIDATES = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipeline")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--split", default="valid")
    given = parser.parse_args()
    run = Run.open(load_pipeline(given.pipeline, overrides=given.overrides), stages=("predictor",))
    assert run.writer.builder.tells_neighbours, "this prompt tells of no other users"
    events = sample_events(run.histories, given.split, given.rows, seed=run.pipeline.seed)
    questions, liked = run.finder.questions(events), np.array([int(event.liked) for event in events])
    choices = {
        "per item": run.finder.find(questions),
        "per user": once_a_user(run, questions),
        "nobody": [RetrievedContext() for _ in questions],
    }
    said = {}
    for name, contexts in choices.items():
        texts = [told.text for told in run.writer.write(questions, contexts)]
        said[name] = np.array([answer.probability for answer in run.predictor.score(texts)])
    users = [event.user_id for event in events]
    bootstrap, found = Bootstrap(users, liked), {}
    same = [
        len({hit.user_id for hit, _ in a.kept} & {hit.user_id for hit, _ in b.kept})
        for a, b in zip(*list(choices.values())[:2], strict=True)
    ]
    print(f"{len(events):,} events of {len(set(users))} users; {np.mean(same):.2f} of {run.pipeline.reranker.top_n} users chosen by both")
    for name, p in said.items():
        loss = -np.log(np.clip(np.where(liked == 1, p, 1 - p), 1e-12, 1)).mean()
        found[name] = bootstrap.auc(p), bootstrap.uauc(p)
        print(f"{name:<10} AUC {found[name][0][0]:.4f}  UAUC {found[name][1][0]:.4f}  log-loss {loss:.4f}")
    for other in ("per user", "nobody"):
        for place, measure in enumerate(("AUC", "UAUC")):
            (value, draws), (own, theirs) = found[other][place], found["per item"][place]
            span = bootstrap.interval(value - own, draws - theirs)
            print(f"{other} - per item: {measure} {span.value:+.4f} ({span.low:+.4f} to {span.high:+.4f})")
    ke = run.pipeline.retriever.similarity_top_k
    print(f"pairs that the cross-encoder reads for a ranking of {CANDIDATES}: {CANDIDATES * ke} per item, {ke} per user")


def once_a_user(run: Run, questions: Sequence[Question]) -> list[RetrievedContext]:
    """The choice that depends on the user and the time alone."""
    finder, scorer = run.make_finder(None), run.scorer
    finder.choice, finder.judges = "any", None
    hits = [found[: finder.similarity_top_k] for found in finder.retrieve(questions)]
    queries = [scorer.texts.ask(finder.query(question), None) for question, found in zip(questions, hits, strict=True) for _ in found]
    scores = scorer.score_pairs(queries, [scorer.texts.tell(hit.text) for found in hits for hit in found])
    out = []
    for found, own in zip(hits, np.split(scores, np.cumsum([len(found) for found in hits])[:-1]), strict=True):
        best = np.argsort(-own, kind="stable")[: finder.top_n].tolist()
        out.append(RetrievedContext(tuple(found), tuple((found[place], float(own[place])) for place in best)))
    return out


if __name__ == "__main__":
    main()
