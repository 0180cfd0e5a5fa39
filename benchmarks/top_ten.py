"""`top(10)` over 200 candidates against one `recommend`, warm, in one process.

    score-rag run sample
    python benchmarks/top_ten.py sample [--set ...]

Prints the ratio of the least times of several rounds for both routes: the order of the predictor (200 prompts) and that of the recommender.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.guard import Guard
from score_rag.recommend.recommender import open_recommender


def best(act: Callable[[], object], rounds: int = 7) -> float:
    """Least seconds of several rounds."""
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipeline")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    given = parser.parse_args()
    recommender = open_recommender(load_pipeline(given.pipeline, overrides=given.overrides))
    user = next(iter(recommender.run.histories.log.users))
    item = recommender.top(user, 1)[0].item.item_id
    one = best(lambda: recommender.recommend(user, item))
    for route, ndcg in (("predictor", (0.2, 0.1)), ("recommender", (0.1, 0.2))):
        recommender.run.__dict__["guard"] = Guard(ndcg=ndcg)
        ten = best(lambda: recommender.top(user, 10, candidates=200))
        print(f"order of the {route}: top(10) of 200 candidates takes {ten / one:.2f} x one recommend")


if __name__ == "__main__":
    main()
