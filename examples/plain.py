"""Ask a finished run from a program: one answer with its evidence, a ranking, somebody who is not in the data.

python examples/plain.py sample --user 42 --item 17
"""

from __future__ import annotations

import argparse

from score_rag import load_pipeline, open_recommender


def main() -> None:
    """Ask three questions and print the answers."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("pipeline")
    asked.add_argument("--user", default="42")
    asked.add_argument("--item", default="17")
    given = asked.parse_args()
    recommender = open_recommender(load_pipeline(given.pipeline))

    found = recommender.recommend(given.user, given.item)
    print(f"{found.item.name}: P(like) {found.probability:.3f}, {found.verdict}")
    for name, fact in found.evidence.items():
        print(f"  {name}: {fact.word}")
    for other in found.neighbours:
        print(f"  user {other.user_id} ({other.verdict or 'never judged it'}): {'; '.join(other.in_common)}")

    print("best:", ", ".join(one.item.name for one in recommender.top(given.user, 3)))
    stranger = recommender.recommend(None, given.item, history=[found.item.item_id])
    print(f"somebody who liked {found.item.name} alone: {stranger.probability:.3f}")


if __name__ == "__main__":
    main()
