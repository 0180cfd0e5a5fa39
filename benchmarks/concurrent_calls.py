"""Concurrent `arecommend` calls against the same calls one after another, warm, in one process.

    score-rag run sample
    python benchmarks/concurrent_calls.py sample [--calls 50] [--request-seconds 0.5] [--set ...]

Prints the ratio of the throughputs (the least times of several rounds), the largest difference of the probabilities, and the same ratio
for the parts that a question is made of. `--request-seconds` stands for a language model behind a network: each request to the predictor
takes so much longer, however many prompts it brings.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from score_rag.pipeline.config import load_pipeline
from score_rag.predictor.predictor import Answer
from score_rag.recommend.question import find_question
from score_rag.recommend.recommendation import Recommendation
from score_rag.recommend.recommender import Recommender, open_recommender


def best(act: Callable[[], object], rounds: int) -> float:
    """Least seconds of several rounds."""
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def questions(recommender: Recommender, count: int) -> list[tuple[str, str]]:
    """Users with items that they have not judged, each user once as long as there are enough."""
    histories = recommender.run.histories
    users, items = histories.log.users, list(histories.catalogue)
    out = []
    for number in range(count):
        user = users[number * 7 % len(users)]
        judged = {event.item_id for event in histories.log.of(user)}
        out.append((user, next(item for item in items[number:] + items if item not in judged)))
    return out


async def together(recommender: Recommender, asked: list[tuple[str, str]]) -> list[Recommendation]:
    """All at once."""
    return await asyncio.gather(*(recommender.arecommend(user, item) for user, item in asked))


async def in_turn(recommender: Recommender, asked: list[tuple[str, str]]) -> list[Recommendation]:
    """One after another."""
    return [await recommender.arecommend(user, item) for user, item in asked]


def parts(recommender: Recommender, asked: list[tuple[str, str]], rounds: int) -> None:
    """Where the time of a question goes, alone and in a batch."""
    run = recommender.run
    found = [find_question(run.histories, user, item).question for user, item in asked]
    hits = run.finder.retrieve(found)
    contexts = run.finder.keep(found, hits)
    texts = [told.text for told in run.writer.write(found, contexts)]
    every = range(len(found))
    steps: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "retrieve": (lambda: [run.finder.retrieve([one]) for one in found], lambda: run.finder.retrieve(found)),
        "rerank": (lambda: [run.finder.keep([found[n]], [hits[n]]) for n in every], lambda: run.finder.keep(found, hits)),
        "write": (lambda: [run.writer.write([found[n]], [contexts[n]]) for n in every], lambda: run.writer.write(found, contexts)),
        "score": (lambda: [run.predictor.score([text]) for text in texts], lambda: run.predictor.score(texts)),
    }
    whole = 0.0
    shown = []
    for name, (alone, batch) in steps.items():
        slow, fast = best(alone, rounds), best(batch, rounds)
        whole += slow
        shown.append((name, slow, slow / fast))
    for name, slow, ratio in shown:
        print(f"  {name}: {slow / whole:.0%} of the time one after another, {ratio:.2f} x in a batch")


def delay(recommender: Recommender, seconds: float) -> None:
    """Let each request to the predictor take longer."""
    plain = recommender.run.predictor.score

    def score(prompts: Sequence[str], **more: Any) -> list[Answer]:
        time.sleep(seconds)
        return plain(prompts, **more)

    recommender.run.predictor.score = score  # type: ignore[method-assign]  # for this benchmark


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipeline")
    parser.add_argument("--calls", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--request-seconds", type=float, default=0.0)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    given = parser.parse_args()
    recommender = open_recommender(load_pipeline(given.pipeline, overrides=given.overrides))
    if given.request_seconds:
        delay(recommender, given.request_seconds)
    asked = questions(recommender, given.calls)
    pairs = zip(asyncio.run(together(recommender, asked)), asyncio.run(in_turn(recommender, asked)), strict=True)
    apart = max(abs(one.probability - other.probability) for one, other in pairs)
    slow = best(lambda: asyncio.run(in_turn(recommender, asked)), given.rounds)
    fast = best(lambda: asyncio.run(together(recommender, asked)), given.rounds)
    print(f"{given.calls} arecommend at once: {slow / fast:.2f} x the throughput of one after another; P differs by {apart:.1e} at most")
    parts(recommender, asked, given.rounds)


if __name__ == "__main__":
    main()
