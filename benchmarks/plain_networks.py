"""Scoring by a finished recommender in numpy against the same in torch: the time of ranking the whole catalogue for some users, as a
ratio (below 1: numpy is faster), and the largest difference of a score.

    python benchmarks/plain_networks.py RUN_FOLDER [--users 200]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from score_rag.crm.learned import LearnedModel
from score_rag.crm.registry import read_model
from score_rag.data.interactions import Interactions


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("run", type=Path)
    asked.add_argument("--users", type=int, default=200)
    given = asked.parse_args()
    interactions = Interactions.read(given.run / "data")
    users = list(interactions.log.users)[: given.users]
    folders = [given.run / "crm", *sorted((given.run / "crm" / "experts").glob("*"))]
    for folder in folders:
        plain = read_model(folder).bind(interactions.log)
        if not isinstance(plain, LearnedModel):
            continue
        whole = read_model(folder).bind(interactions.log)
        assert isinstance(whole, LearnedModel)
        whole._network = whole._rebuilt({name: tensor for name, tensor in plain._tensors().items() if name != "edges"})
        seconds: dict[str, list[float]] = {"numpy": [], "torch": []}
        found = {}
        for _ in range(3):
            for name, model in (("numpy", plain), ("torch", whole)):
                start = time.perf_counter()
                found[name] = model.score_catalogue(users)
                seconds[name].append(time.perf_counter() - start)
        ratio = min(seconds["numpy"]) / min(seconds["torch"])
        apart = float(np.abs(found["numpy"] - found["torch"]).max())
        print(f"{plain.name}: {len(users)} users, {len(plain.item_ids)} items: numpy / torch {ratio:.2f}; scores at most {apart:.1e} apart")


if __name__ == "__main__":
    main()
