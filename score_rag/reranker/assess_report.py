"""What assessments are like: how long, how many failed, and whether they say something of their user or only of the item.

An assessment that would be written for anybody cannot help to choose among users. So each is compared, by the words that both use, with
those written for other users about the same item, and with those about other items. Where it was measured how much each retrieved user
helps, it is told how well likeness to the assessment foresees that (`score_rag.reranker.usefulness`).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from score_rag.metrics.bootstrap import Interval, mean_over_users
from score_rag.reranker.assessment import Assessment, AssessmentRequest

__all__ = ["ReportRow", "likeness", "report_assessments"]

_OTHERS = 20
"""Assessments that one is compared with, at most."""


@dataclass(frozen=True)
class ReportRow:
    """Assessments of one group of questions; means over its answered ones, None where there is nothing to average.

    Attributes:
        by: What the groups are made by: `activity` (judgements that the user had made before), `strength` (of the user's preference among
            items like this one, 0 to 1: see `score_rag.reranker.strength`), or nothing.
        group: Such as `up to 8`, or `all`.
        failed: Questions that failed, by outcome.
        characteristics: Named in an assessment.
        words: In an assessment.
        same_item: Likeness to assessments for other users about the same item, 0 to 1.
        other_items: Likeness to assessments for other users about other items.
        agreement: Mean rank correlation, within a question, of likeness to the assessment with measured usefulness; with the interval over
            users. None where it was not measured.
    """

    by: str
    group: str
    questions: int
    answered: int
    failed: dict[str, int]
    characteristics: float | None
    words: float | None
    same_item: float | None
    other_items: float | None
    agreement: Interval | None = None

    @property
    def distinctness(self) -> float | None:
        """1 where other users' assessments of the same item share no word, 0 where they are the same."""
        return None if self.same_item is None else 1 - self.same_item

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "distinctness": self.distinctness}


def report_assessments(
    requests: Sequence[AssessmentRequest],
    answers: Sequence[Assessment | None],
    *,
    outcomes: Sequence[str | None],
    activity: Sequence[int],
    strength: Sequence[float] | None = None,
    agreement: np.ndarray | None = None,
) -> list[ReportRow]:
    """A row for all questions, and one for each third of them by activity and by strength of preference.

    Args:
        requests: [n].
        answers: [n], None where there is none.
        outcomes: [n], what failed without an answer brought.
        activity: [n], how many judgements each user had made before.
        strength: [n], 0 to 1.
        agreement: [n], each question's rank correlation; NaN where there is none.
    """
    words = {place: _words(answer) for place, answer in enumerate(answers) if answer is not None}
    alike = _alikeness(requests, words)
    groups: list[tuple[str, str, Sequence[int]]] = [("", "all", range(len(requests)))]
    groups += _thirds("activity", np.asarray(activity), "{:.0f}")
    groups += _thirds("strength", np.asarray([] if strength is None else strength), "{:.2f}")
    rows = [_row(by, name, places, answers, outcomes, alike) for by, name, places in groups]
    if agreement is None:
        return rows
    users = [request.user_id for request in requests]
    return [replace(row, agreement=_agreement(agreement, users, places)) for row, (_, _, places) in zip(rows, groups, strict=True)]


def _agreement(agreement: np.ndarray, users: Sequence[str], places: Sequence[int]) -> Interval | None:
    """The mean of those that are there; None where fewer than two users have one."""
    there = [place for place in places if not np.isnan(agreement[place])]
    whose = [users[place] for place in there]
    return mean_over_users(agreement[there], whose) if len(set(whose)) > 1 else None


def _thirds(by: str, values: np.ndarray, form: str) -> list[tuple[str, str, list[int]]]:
    """(by, the group's name, its places) for each third of the values; equal ones stay together."""
    if len(values) < 3:
        return []
    low, high = np.quantile(values, [1 / 3, 2 / 3], method="lower")
    cuts = {f"up to {form.format(low)}": values <= low, f"over {form.format(high)}": values > high}
    if high > low:
        between = f"over {form.format(low)} to {form.format(high)}"
        first, last = cuts
        cuts = {first: cuts[first], between: (values > low) & (values <= high), last: cuts[last]}
    return [(by, name, np.flatnonzero(chosen).tolist()) for name, chosen in cuts.items() if chosen.any()]


def likeness(first: Collection[str], second: Collection[str]) -> float:
    """Words that both have, of all that either has (Jaccard).

    >>> likeness({"likes", "heist"}, {"likes", "noir"})
    0.3333333333333333
    """
    union = len({*first, *second})
    return len(set(first) & set(second)) / union if union else 1.0


def _row(
    by: str,
    name: str,
    places: Sequence[int],
    answers: Sequence[Assessment | None],
    outcomes: Sequence[str | None],
    alike: Mapping[int, tuple[float | None, float | None]],
) -> ReportRow:
    found = [answer for place in places if (answer := answers[place]) is not None]
    failed = Counter(outcome for place in places if answers[place] is None and (outcome := outcomes[place]))
    same, other = zip(*(alike[place] for place in places if place in alike), strict=True) if found else ((), ())
    return ReportRow(
        by,
        name,
        len(places),
        len(found),
        dict(sorted(failed.items())),
        _mean([len(answer.characteristics) for answer in found]),
        _mean([len(answer.text().split()) for answer in found]),
        _mean(same),
        _mean(other),
    )


def _alikeness(requests: Sequence[AssessmentRequest], words: Mapping[int, set[str]]) -> dict[int, tuple[float | None, float | None]]:
    """Of each answered question: mean likeness to other users' answers on the same item, and on other items."""
    by_item: dict[str, list[int]] = defaultdict(list)
    for place in words:
        by_item[requests[place].item_id].append(place)
    everyone = np.random.default_rng(0).permutation(list(words)).tolist()
    out: dict[int, tuple[float | None, float | None]] = {}
    for turn, place in enumerate(words):
        mine = requests[place]
        same = [other for other in by_item[mine.item_id] if requests[other].user_id != mine.user_id]
        # Begun elsewhere for each, so that no few answers are what all are compared with.
        around = [everyone[(turn + step) % len(everyone)] for step in range(min(3 * _OTHERS, len(everyone)))]
        others = [other for other in around if requests[other].user_id != mine.user_id and requests[other].item_id != mine.item_id]
        out[place] = (
            _mean([likeness(words[place], words[other]) for other in same[:_OTHERS]]),
            _mean([likeness(words[place], words[other]) for other in others[:_OTHERS]]),
        )
    return out


def _words(answer: Assessment) -> set[str]:
    return set(re.findall(r"\w{3,}", answer.text().lower()))


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there else None
