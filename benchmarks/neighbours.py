"""Neighbours of all users against the bare matrix product in the same blocks: `python benchmarks/neighbours.py [--users 1000000]`."""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from score_rag.crm.neighbours import nearest


def bare(matrix: np.ndarray, block: int) -> None:
    """All products, in blocks, and nothing done with them."""
    for start in range(0, len(matrix), block):
        for other in range(0, len(matrix), block):
            _ = matrix[start : start + block] @ matrix[other : other + block].T


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--block", type=int, default=1024)
    parser.add_argument("--bare-users", type=int, default=100_000, help="measure the bare product on so many, and scale by the square")
    given = parser.parse_args()
    generator = np.random.default_rng(0)
    # Users of a few tastes, as recommenders see them, not white noise.
    tastes = generator.normal(size=(200, given.dim))
    matrix = (tastes[generator.integers(0, 200, given.users)] + generator.normal(size=(given.users, given.dim))).astype(np.float32)
    few = min(given.users, given.bare_users)
    started = time.perf_counter()
    bare(matrix[:few], given.block)
    product = (time.perf_counter() - started) * (given.users / few) ** 2
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    _, values = nearest(matrix, given.k, block=given.block)
    seconds = time.perf_counter() - started
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{given.users:,} users × {given.dim}, top-{given.k}, blocks of {given.block}")
    print(f"nearest / bare product of all pairs: {seconds / product:.2f} ({seconds:.1f} s / {product:.1f} s); memory on top: {more:.0f} MB")
    for place in generator.integers(0, given.users, 5):
        scores = matrix @ matrix[place]
        scores[place] = -np.inf
        np.testing.assert_allclose(np.sort(scores)[::-1][: given.k], values[place], rtol=1e-5)
    print("checked against brute force: 5 users")


if __name__ == "__main__":
    main()
