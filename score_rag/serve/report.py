"""What became of answers: feedback that names a request, beside what that request said of the item."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from score_rag.feedback.log import FeedbackLog
from score_rag.metrics.auc import log_loss
from score_rag.metrics.bootstrap import Bootstrap
from score_rag.serve.requests_log import read_requests

__all__ = ["FeedbackReport", "RouteRow", "report_feedback"]


@dataclass(frozen=True)
class RouteRow:
    """Judgements of what was answered by one route.

    Attributes:
        judged: How many.
        told: Mean P(like) that the answers gave.
        liked: Share that was liked.
        log_loss: Of those probabilities.
        auc: With its 95 % interval over users; None where all was judged alike.
    """

    route: str
    judged: int
    told: float
    liked: float
    log_loss: float
    auc: tuple[float, float, float] | None


@dataclass(frozen=True)
class FeedbackReport:
    """All feedback of a run.

    Attributes:
        requests: Answers that are kept.
        feedback: Judgements.
        named: Of those, such as name a request.
        joined: Of those, such as it is known what the request said of the item.
        damaged: Lines of the log that could not be read.
        rows: One a route, and `all`.
    """

    requests: int
    feedback: int
    named: int
    joined: int
    damaged: int
    rows: list[RouteRow]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def report_feedback(folder: Path, *, seed: int = 0, resamples: int = 500) -> FeedbackReport:
    """Join a run's feedback with the answers that it names.

    Args:
        folder: The run's `feedback`.
    """
    log = FeedbackLog(folder)
    events = log.current()
    wanted = {one.request_id for one in events if one.request_id is not None}
    answers: dict[str, tuple[str, Mapping[str, float]]] = {}
    requests = 0
    for said in read_requests(folder):
        requests += 1
        if said["id"] in wanted:
            answers[said["id"]] = said.get("route", ""), dict(said["items"])
    joined = [
        (route, one.user_id, told[one.item_id], one.liked)
        for one in events
        if one.request_id in answers
        for route, told in [answers[one.request_id]]
        if one.item_id in told
    ]
    routes = sorted({route for route, *_ in joined})
    rows = [_row(route, [one for one in joined if one[0] == route], seed, resamples) for route in routes]
    rows += [_row("all", joined, seed, resamples)] if len(rows) > 1 else []
    return FeedbackReport(requests, len(events), sum(one.request_id is not None for one in events), len(joined), log.damaged, rows)


def _row(route: str, joined: Iterable[tuple[str, str, float, bool]], seed: int, resamples: int) -> RouteRow:
    _, users, told, liked = zip(*joined, strict=True)
    labels, chances = np.array(liked, dtype=np.int8), np.array(told)
    auc = None
    if 0 < labels.sum() < len(labels):
        value, draws = Bootstrap(users, labels, resamples=resamples, seed=seed).auc(chances)
        good = draws[~np.isnan(draws)]
        auc = float(value), float(np.percentile(good, 2.5)), float(np.percentile(good, 97.5))
    return RouteRow(route, len(labels), float(chances.mean()), float(labels.mean()), log_loss(labels, chances), auc)
