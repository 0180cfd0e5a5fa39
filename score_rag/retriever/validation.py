"""How well an encoder finds the teacher's neighbours of users it never trained on, and which epoch's weights are kept by that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from score_rag.metrics.ranking import Ranked, ndcg_and_recall
from score_rag.retriever.examples import Neighbourhood
from score_rag.training.checkpoints import BestOfEpochs

__all__ = ["BestEpoch", "Examination"]


@dataclass(frozen=True)
class Examination:
    """Held-out users in two halves, one to choose by and one only to report, and the users among whom their neighbours are looked for.

    Attributes:
        texts: The newest document of each user who may be found.
        neighbours: int [texts, Kc], places in `texts`, -1 where there are fewer.
        choosing: Places of the users by whom the epoch is chosen.
        reported: Places of the users of whom metrics are told.
    """

    texts: list[str]
    neighbours: np.ndarray
    choosing: np.ndarray
    reported: np.ndarray

    @classmethod
    def of(cls, world: Neighbourhood, held: np.ndarray, *, seed: int, most: int = 2000) -> Examination:
        """Among all users; where those are more than `most`, fewer are asked, and looked for among their neighbours and sampled others.

        Held-out users without any neighbour have no right answer and are not asked.
        """
        generator = np.random.default_rng(seed)
        order = generator.permutation(np.flatnonzero(held & (world.neighbours >= 0).any(axis=1)))
        choosing, reported = order[: len(order) // 2], order[len(order) // 2 :]
        pool = np.arange(len(held))
        if len(pool) > most:
            each = max(1, most // (2 * (1 + world.neighbours.shape[1])))
            choosing, reported = choosing[:each], reported[:each]
            asked = np.concatenate([choosing, reported])
            wanted = np.unique(np.concatenate([asked, world.neighbours[asked].ravel()]))
            wanted = wanted[wanted >= 0]
            rest = np.setdiff1d(pool, wanted)
            pool = np.sort(np.concatenate([wanted, generator.choice(rest, max(0, most - len(wanted)), replace=False)]))
        place = np.full(len(held) + 1, -1)  # the last is the place of -1, nobody
        place[pool] = np.arange(len(pool))
        return cls([world.texts[user][-1] for user in pool], place[world.neighbours[pool]], place[choosing], place[reported])

    def ask(self, vectors: np.ndarray, places: np.ndarray, *, k: int = 10) -> Ranked:
        """NDCG@k and recall@k of each asked user's neighbours, all other users ranked by cosine.

        Args:
            vectors: [texts, dim], unit length.
            places: Who is asked.
        """
        scores = vectors[places] @ vectors.T
        scores[np.arange(len(places)), places] = -np.inf
        tops = np.argsort(-scores, axis=1, kind="stable")[:, : min(k, len(vectors) - 1)]
        return ndcg_and_recall(list(tops), [row[row >= 0] for row in self.neighbours[places]], k)


class BestEpoch(BestOfEpochs):
    """The weights of the epoch that finds most of the choosing half's neighbours, by recall@10; of equals the later.

    Where nobody is held out to choose by, the last.

    Args:
        network: Whose trained weights are kept.
        examination: The held-out users.
        encode: The network's vectors of texts, of unit length.
        patience: Epochs without gain after which it is enough; None: never.
        folder: Where what is known so far is kept, for a killed training; None keeps it in memory alone.
    """

    def __init__(
        self,
        network: Any,
        examination: Examination,
        encode: Callable[[list[str]], np.ndarray],
        *,
        patience: int | None,
        folder: Path | None = None,
    ) -> None:
        super().__init__(network, folder)
        self.examination = examination
        self.encode = encode
        self.patience = patience

    @property
    def recalls(self) -> list[float]:
        """Of the choosing half, one an epoch; none where nobody chooses."""
        return self.scores if len(self.examination.choosing) else []

    def examine(self) -> tuple[list[float], dict[str, float]]:
        """The weights as they are: (recall of the choosing half, metrics of the reported half), both empty where nobody is to be asked."""
        exam = self.examination
        if not len(exam.reported):
            return [], {}
        vectors = self.encode(exam.texts)
        told = exam.ask(vectors, exam.reported)
        metrics = {"recall_at_10": float(told.recall.mean()), "ndcg_at_10": float(told.ndcg.mean())}
        return [float(exam.ask(vectors, exam.choosing).recall.mean())] if len(exam.choosing) else [], metrics

    def end_epoch(self, step: int) -> bool:
        """Examine, keep what is best so far, and say whether to go on."""
        found, reported = self.examine()
        self.keep(step, found[0] if found else 0.0, reported)
        recalls = self.recalls
        return self.patience is None or not recalls or len(recalls) - 1 - recalls.index(max(recalls)) < self.patience
