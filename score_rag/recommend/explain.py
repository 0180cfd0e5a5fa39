"""The answer with its evidence: what the model was told, what neighbours share with the user, and what weakens the answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from score_rag.context.levels import Fact
from score_rag.context.neighbours import Neighbour, Witnesses
from score_rag.context.variables import Facts
from score_rag.context.writer import Told
from score_rag.data.log import Event, Item
from score_rag.predictor.predictor import LOW_MASS, Answer
from score_rag.recommend.question import FoundQuestion
from score_rag.recommend.recommendation import Recommendation

__all__ = ["explain"]


def explain(
    asked: FoundQuestion,
    told: Told,
    answer: Answer,
    *,
    witnesses: Witnesses,
    parts: Mapping[str, str],
    warnings: Sequence[str] = (),
) -> Recommendation:
    """One answer as a `Recommendation`.

    Args:
        asked: The question.
        told: What the model read.
        answer: What the model said.
        witnesses: Other users' judgements.
        parts: Stage to what ran there.
        warnings: What else a reader should know.
    """
    return Recommendation(
        user_id=asked.question.user_id,
        item=asked.item,
        probability=answer.probability,
        verdict="Yes" if answer.probability >= 0.5 else "No",
        mass=answer.mass,
        neighbours=[_with_common(other, asked, witnesses) for other in told.neighbours],
        prompt=told.text,
        parts=dict(parts),
        evidence=_flat(told.facts or {}),
        left_out=str(told.left_out),
        warnings=[*asked.notes, *warnings, *_warnings(asked, told, answer)],
    )


def _with_common(other: Neighbour, asked: FoundQuestion, witnesses: Witnesses) -> Neighbour:
    question = asked.question
    other = witnesses.complete(other, item_id=question.item_id, as_of=question.as_of, history=question.history)
    theirs = witnesses.log.before(other.user_id, asked.question.as_of)
    return replace(other, in_common=tuple(_in_common(other.shared, asked.question.history, theirs, witnesses.catalogue)))


def _flat(facts: Facts) -> dict[str, Fact]:
    out: dict[str, Fact] = {}
    for kind, fact in facts.items():
        out |= {f"{kind}.{name}": one for name, one in fact.items()} if isinstance(fact, dict) else {kind: fact}
    return out


def _warnings(asked: FoundQuestion, told: Told, answer: Answer) -> list[str]:
    warnings = []
    if answer.mass < LOW_MASS:
        warnings.append(f"the model gave Yes and No together only {answer.mass:.2f} of its probability: the answer is unreliable")
    if answer.warning:
        warnings.append(answer.warning)
    if told.left_out:
        warnings.append(f"the prompt was shortened to the model's context; left out: {told.left_out}")
    if not asked.question.history:
        warnings.append("no history is known at that time: the answer rests on the item alone")
    return warnings


def _in_common(shared: Sequence[Item], mine: Sequence[Event], theirs: Sequence[Event], catalogue: Mapping[str, Item]) -> list[str]:
    """What two users have in common, in plain words."""
    said = []
    if shared:
        said.append("both liked " + ", ".join(item.name for item in shared[:4]))
    # Of several judgements of one item the last counts.
    verdicts = [{event.item_id: event.liked for event in events} for events in (mine, theirs)]
    disliked = {item_id for item_id, liked in verdicts[0].items() if not liked and verdicts[1].get(item_id) is False}
    if disliked:
        said.append("both disliked " + ", ".join(catalogue[item_id].name for item_id in sorted(disliked)[:2]))
    genres = [Counter(genre for item_id, liked in found.items() if liked for genre in catalogue[item_id].genres) for found in verdicts]
    # Once is not often.
    top = [{genre for genre, count in found.most_common(4) if count > 1} for found in genres]
    both = sorted(top[0] & top[1], key=lambda genre: (-genres[0][genre], genre))
    if both:
        said.append("both often like " + ", ".join(both[:3]))
    return said
