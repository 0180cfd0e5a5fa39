"""Batches for the contrastive training of CAR: users together with some of their neighbours, each told as of some moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from score_rag.documents.versions import FOREVER

__all__ = ["Neighbourhood", "contrastive_batches", "newest_texts"]


@dataclass(frozen=True)
class Neighbourhood:
    """Users by number, their neighbours, and their documents.

    Attributes:
        users: Ids by number.
        neighbours: int [users, Kc], -1 where there are fewer.
        texts: Documents of each user, oldest first; the last is the newest.
    """

    users: list[str]
    neighbours: np.ndarray
    texts: list[list[str]]

    @classmethod
    def of(cls, documents: pl.DataFrame, neighbours: pl.DataFrame) -> Neighbourhood:
        """From the frames of the documents and the CRM stage; users without documents are left out."""
        grouped = documents.sort("known_until", maintain_order=True).group_by("user_id", maintain_order=True).agg("text")
        users = grouped["user_id"].to_list()
        number = {user: place for place, user in enumerate(users)}
        most = max(int(neighbours["rank"].max() or 1), 1) if len(neighbours) else 1  # type: ignore[arg-type]  # ranks are ints
        table = np.full((len(users), most), -1, dtype=np.int64)
        for user, other, rank in neighbours.select("user_id", "neighbour_id", "rank").iter_rows():
            if user in number and other in number:
                table[number[user], rank - 1] = number[other]
        return cls(users, table, grouped["text"].to_list())

    def vectors_of(self, user_ids: Sequence[str], vectors: np.ndarray) -> np.ndarray:
        """The rows of these users, in their order; zeros for somebody who has none."""
        out = np.zeros((len(self.users), vectors.shape[1]), dtype=np.float32)
        row = {user: place for place, user in enumerate(user_ids)}
        for number, user in enumerate(self.users):
            if user in row:
                out[number] = vectors[row[user]]
        return out

    def hold_out(self, share: float, seed: int) -> np.ndarray:
        """bool [users]: who is kept out of training altogether, as a query and as a neighbour."""
        out = np.zeros(len(self.users), dtype=bool)
        count = round(share * len(self.users))
        if count:
            out[np.random.default_rng(seed).choice(len(self.users), count, replace=False)] = True
        return out


def contrastive_batches(
    world: Neighbourhood, held: np.ndarray, *, batch_size: int, seed: int, negatives: int = 0, hard: np.ndarray | None = None
) -> list[list[tuple[str, int]]]:
    """One epoch: every trained user who has a trained neighbour is in some batch, with a neighbour beside it.

    A batch is filled with a user not met yet, then that user's neighbours, and so on; of a user's documents any may be told (the newest as
    often as all older ones together), so that the encoder knows short histories too. Then come those who are there to be told apart from
    the rest only; they ask for nothing themselves.

    Args:
        held: bool [users]; these are in no batch, in no role.
        batch_size: Users a batch, those of `negatives` and `hard` not counted.
        negatives: So many users from outside the batch, randomly sampled: nobody's neighbours there, as long as there are such.
        hard: int [users, h] of `hard_negatives`, -1 where there are fewer; those of all users of the batch are put into it.

    Returns:
        Batches of (text, number of the user); who is a negative only has `~number`.
    """
    generator = np.random.default_rng(seed)
    waiting = [int(user) for user in generator.permutation(np.flatnonzero(~held))]
    met: set[int] = set()
    batches: list[list[tuple[str, int]]] = []
    batch: dict[int, str] = {}

    def close() -> None:
        told = [(text, number) for number, text in batch.items()]
        inside = list(batch)
        near = _numbers(hard[inside], held, inside) if hard is not None else []
        told += [(world.texts[other][-1], ~other) for other in near]
        lot = _strangers(world.neighbours[inside], held, [*inside, *near], negatives, generator) if negatives else []
        told += [(_some_text(world.texts[other], generator), ~other) for other in lot]
        batches.append(told)
        batch.clear()

    for user in waiting:
        if user in met:
            continue
        family = [user, *(int(other) for other in world.neighbours[user] if other >= 0 and not held[other])]
        for member in family:
            if member not in batch and len(batch) < batch_size:
                batch[member] = _some_text(world.texts[member], generator)
                met.add(member)
        # Where one more has room, no neighbour has room beside it.
        if len(batch) >= max(batch_size - 1, 2):
            close()
    if len(batch) > 1:
        close()
    return batches


def _numbers(table: np.ndarray, held: np.ndarray, inside: list[int]) -> list[int]:
    """The users in a table, once each, in its order, without those held out or inside already."""
    there = set(inside)
    return list(dict.fromkeys(int(other) for other in table.ravel() if other >= 0 and other not in there and not held[other]))


def _strangers(neighbours: np.ndarray, held: np.ndarray, inside: list[int], count: int, generator: np.random.Generator) -> list[int]:
    """`count` trained users who are not inside, sampled; users who are neighbours there only where the others are too few."""
    outside = ~held
    outside[inside] = False
    free = outside.copy()
    free[neighbours[neighbours >= 0]] = False
    found: list[int] = []
    for pool in (np.flatnonzero(free), np.flatnonzero(outside & ~free)):
        found += generator.choice(pool, min(count - len(found), len(pool)), replace=False).tolist()
    return found


def _some_text(texts: list[str], generator: np.random.Generator) -> str:
    if len(texts) == 1 or generator.random() < 0.5:
        return texts[-1]
    return texts[int(generator.integers(0, len(texts) - 1))]


def newest_texts(documents: pl.DataFrame) -> dict[str, str]:
    """Each user's newest document."""
    newest = documents.filter(pl.col("superseded_at") == FOREVER)
    return dict(newest.select("user_id", "text").iter_rows())
