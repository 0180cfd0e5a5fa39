"""Hard negatives for CAR: users whose documents read alike although the conventional recommender holds them far apart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from score_rag.crm.neighbours import nearest
from score_rag.retriever.examples import Neighbourhood

__all__ = ["collaboratively_near", "hard_negatives"]


def collaboratively_near(
    world: Neighbourhood, teacher: np.ndarray | None = None, *, near: int = 50
) -> tuple[np.ndarray, Callable[[int], np.ndarray]]:
    """Who can be said to be far from whom.

    Args:
        world: Users and the teacher's neighbours.
        teacher: [users, dim], the conventional recommender's vectors, zeros for somebody of whom it knows nothing; None where only the
            neighbours are known.
        near: With vectors, the top so many by inner product are near (at most half of the users). Without, neighbours and their neighbours
            are, and those whose neighbour somebody is.

    Returns:
        (bool [users]: of whom the teacher knows something, and a function from a user's number to the numbers of all who are near).
        The teacher's neighbours are always among them.
    """
    table = world.neighbours
    if teacher is None:
        known = np.asarray((table >= 0).any(axis=1))
        order = np.argsort(table.ravel(), kind="stable")
        ends = np.searchsorted(table.ravel()[order], np.arange(len(table) + 1))

        def steps(user: int) -> np.ndarray:
            theirs = table[user][table[user] >= 0]
            ours = order[ends[user] : ends[user + 1]] // table.shape[1]
            return np.concatenate([theirs, table[theirs].ravel(), ours])

        return known, steps
    known = np.asarray(teacher.any(axis=1))
    numbers = np.flatnonzero(known)
    count = max(0, min(near, len(numbers) // 2, len(numbers) - 1))
    top, _ = nearest(np.ascontiguousarray(teacher[numbers], dtype=np.float32), count)
    row = np.full(len(known), -1)
    row[numbers] = np.arange(len(numbers))
    return known, lambda user: np.concatenate([table[user], numbers[top[row[user]]] if known[user] else table[user]])


def hard_negatives(
    vectors: np.ndarray,
    world: Neighbourhood,
    held: np.ndarray,
    count: int,
    *,
    teacher: np.ndarray | None = None,
    near: int = 50,
    cells: int = 2**23,
) -> np.ndarray:
    """For each trained user the `count` other trained users whose documents are most like theirs, of those who are collaboratively far.

    Exact: every pair is compared, a block of users at a time. Documents that say the very same are passed over: no encoder can part them.

    Args:
        vectors: [users, dim], unit length: each user's newest document under the encoder before training.
        held: bool [users]; neither asked nor found.
        teacher: As `collaboratively_near` takes it, as `near`.
        cells: Products (float32) in memory at once, or one user's if that is more.

    Returns:
        int [users, count] numbers, most alike first (ties to the earlier user), -1 where there are fewer.
    """
    known, near_to = collaboratively_near(world, teacher, near=near)
    pool = np.flatnonzero(known & ~held)
    place = np.full(len(held), -1)
    place[pool] = np.arange(len(pool))
    found = np.full((len(held), count), -1, dtype=np.int64)
    inside = np.ascontiguousarray(vectors[pool], dtype=np.float32)
    block = max(1, cells // max(len(pool), 1))
    for start in range(0, len(pool), block):
        asked = pool[start : start + block]
        scores = inside[start : start + block] @ inside.T
        scores[scores > 1 - 1e-5] = -np.inf
        for line, user in enumerate(asked):
            others = near_to(int(user))
            others = place[others[others >= 0]]
            scores[line, others[others >= 0]] = -np.inf
            scores[line, start + line] = -np.inf
        lines = np.arange(len(asked))
        # As many times as are wanted, the first of the largest: ties go to the earlier user, nothing is sorted.
        for column in range(min(count, len(pool))):
            best = scores.argmax(axis=1)
            found[asked, column] = np.where(scores[lines, best] > -np.inf, pool[best], -1)
            scores[lines, best] = -np.inf
    return found
