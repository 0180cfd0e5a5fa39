"""Batches for the contrastive training of CAR: users together with some of their neighbours, each told as of some moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from score_rag.documents import FOREVER

__all__ = ["Neighbourhood", "contrastive_batches", "neighbour_recall"]


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

    def hold_out(self, share: float, seed: int) -> np.ndarray:
        """bool [users]: who is kept out of training altogether, as a query and as a neighbour."""
        out = np.zeros(len(self.users), dtype=bool)
        count = round(share * len(self.users))
        if count:
            out[np.random.default_rng(seed).choice(len(self.users), count, replace=False)] = True
        return out


def contrastive_batches(world: Neighbourhood, held: np.ndarray, *, batch_size: int, seed: int) -> list[list[tuple[str, int]]]:
    """One epoch: every trained user is in some batch, always with neighbours beside it.

    A batch is filled with a user not met yet, then that user's neighbours, and so on; of a user's documents any may be told (the newest as
    often as all older ones together), so that the encoder knows short histories too.
    """
    generator = np.random.default_rng(seed)
    waiting = [int(user) for user in generator.permutation(np.flatnonzero(~held))]
    met: set[int] = set()
    batches: list[list[tuple[str, int]]] = []
    batch: dict[int, str] = {}
    for user in waiting:
        if user in met:
            continue
        family = [user, *(int(other) for other in world.neighbours[user] if other >= 0 and not held[other])]
        for member in family:
            if member not in batch:
                batch[member] = _some_text(world.texts[member], generator)
                met.add(member)
        if len(batch) >= batch_size:
            batches.append([(text, number) for number, text in batch.items()][:batch_size])
            batch = {}
    if len(batch) > 1:
        batches.append([(text, number) for number, text in batch.items()])
    return batches


def _some_text(texts: list[str], generator: np.random.Generator) -> str:
    if len(texts) == 1 or generator.random() < 0.5:
        return texts[-1]
    return texts[int(generator.integers(0, len(texts) - 1))]


def neighbour_recall(vectors: np.ndarray, world: Neighbourhood, asked: np.ndarray, *, k: int = 10) -> float:
    """Share of the asked users' CRM neighbours among their `k` nearest users by cosine.

    Args:
        vectors: [users, dim], unit length: each user's newest document.
        asked: bool [users].
    """
    places = np.flatnonzero(asked)
    scores = vectors[places] @ vectors.T
    scores[np.arange(len(places)), places] = -np.inf
    nearest = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    found, wanted = 0, 0
    for row, user in enumerate(places):
        theirs = {int(other) for other in world.neighbours[user] if other >= 0}
        found += len(theirs & set(nearest[row].tolist()))
        wanted += len(theirs)
    return found / wanted if wanted else float("nan")


def newest_texts(documents: pl.DataFrame) -> dict[str, str]:
    """Each user's newest document."""
    newest = documents.filter(pl.col("superseded_at") == FOREVER)
    return dict(newest.select("user_id", "text").iter_rows())
