"""What assessments are like: how long, how many failed, and whether they say something of their user or only of the item.

An assessment that would be written for anybody cannot help to choose among users. So each is compared, by the words that both use, with
those written for other users about the same item, and with those about other items.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from score_rag.reranker.assessment import Assessment, AssessmentRequest

__all__ = ["ReportRow", "likeness", "report_assessments"]

_OTHERS = 20
"""Assessments that one is compared with, at most."""


@dataclass(frozen=True)
class ReportRow:
    """Assessments of one group of questions; means over its answered ones, None where there is nothing to average.

    Attributes:
        group: How many judgements their users had made before, or `all`.
        failed: Questions that failed, by outcome.
        characteristics: Named in an assessment.
        words: In an assessment.
        same_item: Likeness to assessments for other users about the same item, 0 to 1.
        other_items: Likeness to assessments for other users about other items.
    """

    group: str
    questions: int
    answered: int
    failed: dict[str, int]
    characteristics: float | None
    words: float | None
    same_item: float | None
    other_items: float | None

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
) -> list[ReportRow]:
    """A row for all questions, and one for each third of them by activity.

    Args:
        requests: [n].
        answers: [n], None where there is none.
        outcomes: [n], what failed without an answer brought.
        activity: [n], how many judgements each user had made before.
    """
    words = {place: _words(answer) for place, answer in enumerate(answers) if answer is not None}
    alike = _alikeness(requests, words)
    known = np.asarray(activity)
    groups: dict[str, Sequence[int]] = {"all": range(len(requests))}
    if len(requests) >= 3:
        low, high = (int(edge) for edge in np.quantile(known, [1 / 3, 2 / 3]))
        cuts = {f"up to {low}": known <= low, f"{low + 1} to {high}": (known > low) & (known <= high), f"over {high}": known > high}
        groups |= {name: np.flatnonzero(chosen).tolist() for name, chosen in cuts.items() if chosen.any()}
    return [_row(name, places, answers, outcomes, alike) for name, places in groups.items()]


def likeness(first: Collection[str], second: Collection[str]) -> float:
    """Words that both have, of all that either has (Jaccard).

    >>> likeness({"likes", "heist"}, {"likes", "noir"})
    0.3333333333333333
    """
    union = len({*first, *second})
    return len(set(first) & set(second)) / union if union else 1.0


def _row(
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
