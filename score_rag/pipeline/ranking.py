"""Ranking by the predictor: the recommender proposes candidates, the predictor orders them; measured beside the recommender's own order.

Both orders are of the same users and judged by the definitions of full ranking (`RankingTask`): an item that is no candidate is not found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from score_rag.context.question import Question
from score_rag.crm.interface import UserHistory
from score_rag.crm.ranking import RankingTask
from score_rag.metrics.ranking import Ranked, ndcg_and_recall
from score_rag.progress import Report, silent

if TYPE_CHECKING:
    from score_rag.context.writer import QuestionWriter
    from score_rag.pipeline.run import Run

__all__ = ["CANDIDATES", "Orders", "compare_orders", "rank_by_predictor"]

CANDIDATES = 50
"""Items of the recommender that the predictor orders."""
Score = Callable[[Sequence[str]], np.ndarray]
"""From prompts to scores [n], higher is better."""


@dataclass(frozen=True)
class Orders:
    """NDCG and Recall of two orders of the recommender's candidates, one value a user.

    Attributes:
        predictor: Of the predictor's order.
        recommender: Of the recommender's own.
        k: Cutoff.
        candidates: How many items were ordered.
    """

    predictor: Ranked
    recommender: Ranked
    k: int = 10
    candidates: int = CANDIDATES

    @property
    def ndcg(self) -> tuple[float, float] | None:
        """(predictor, recommender) means over users, as `guard.compare` takes them; None without users."""
        return (float(self.predictor.ndcg.mean()), float(self.recommender.ndcg.mean())) if len(self.predictor.ndcg) else None


def compare_orders(
    run: Run,
    split: str,
    *,
    most: int | None = 100,
    k: int = 10,
    candidates: int = CANDIDATES,
    writer: QuestionWriter | None = None,
    score: Score | None = None,
    report: Report = silent,
) -> Orders:
    """Rank for at most `most` users who went on to like something new in `split`.

    Args:
        run: Its recommender proposes.
        writer: As in `rank_by_predictor`.
        score: As in `rank_by_predictor`.
    """
    task = RankingTask(run.histories, split, most=most)
    proposed = _propose(run, task.asked, candidates)
    ordered = _order(run, task.asked, proposed, writer, score, report)
    place = {item_id: number for number, item_id in enumerate(run.histories.catalogue)}
    tops = [[np.array([place[item] for item in items[:k]], dtype=np.int64) for items in order] for order in (ordered, proposed)]
    by_predictor, by_recommender = (ndcg_and_recall(top, task.relevant, k) for top in tops)
    return Orders(by_predictor, by_recommender, k, candidates)


def rank_by_predictor(
    run: Run,
    users: Sequence[UserHistory],
    k: int = 10,
    *,
    candidates: int = CANDIDATES,
    writer: QuestionWriter | None = None,
    score: Score | None = None,
    report: Report = silent,
) -> list[list[str]]:
    """For each user the `k` items that the predictor puts first among the recommender's best candidates.

    Other users are the most alike ones and not reranked, so that fifty questions a user stay cheap.

    Args:
        run: A finished run; while its predictor is being trained, give `writer` and `score`.
        users: What is known of each; items of the history are no candidates.
        k: How many to return, best first.
        candidates: How many items of the recommender are ordered.
        writer: Writes the prompts; the finished predictor's by default.
        score: Scores prompts; the finished predictor by default.
    """
    return [items[:k] for items in _order(run, users, _propose(run, users, candidates), writer, score, report)]


def _propose(run: Run, users: Sequence[UserHistory], count: int) -> list[list[str]]:
    """The recommender's best items for each user, best first, without those of the history."""
    model = run.crm
    every = np.arange(len(model.item_ids))
    out = []
    for user in users:
        (scores,) = model.score_places([user], [every])
        known = {event.item_id for event in user.history}
        order = (model.item_ids[place] for place in np.argsort(-scores, kind="stable").tolist())
        out.append([item for item in order if item not in known][:count])
    return out


def _order(
    run: Run,
    users: Sequence[UserHistory],
    proposed: Sequence[Sequence[str]],
    writer: QuestionWriter | None,
    score: Score | None,
    report: Report,
) -> list[list[str]]:
    """Candidates by the predictor, best first; of equal scores the recommender's order decides."""
    writer = writer or run.writer
    questions = [Question(user.user_id, item, user.history) for user, items in zip(users, proposed, strict=True) for item in items]
    # As `Recommender.top` asks.
    contexts = run.finder.find(questions, reranked=False, report=report) if writer.builder.tells_neighbours else None
    texts = [told.text for told in writer.write(questions, contexts)]
    if score is None:
        scores = np.array([answer.probability for answer in run.predictor.score(texts, report=report)])
    else:
        scores = np.asarray(score(texts))
    out, start = [], 0
    for items in proposed:
        own = scores[start : start + len(items)]
        out.append([items[place] for place in np.argsort(-own, kind="stable").tolist()])
        start += len(items)
    return out
