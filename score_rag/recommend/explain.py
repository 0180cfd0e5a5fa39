"""The answer with its evidence: the neighbours whose behaviour was told, what they share with the user, and what weakens the answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from score_rag.context.evidence import Witnesses
from score_rag.context.finder import RetrievedContext
from score_rag.data.log import Event, Item
from score_rag.predictor.predictor import LOW_MASS, Answer
from score_rag.recommend.question import FoundQuestion
from score_rag.recommend.recommendation import Neighbour, Recommendation

__all__ = ["explain"]


def explain(
    asked: FoundQuestion, context: RetrievedContext, answer: Answer, *, prompt: str, witnesses: Witnesses, parts: Mapping[str, str]
) -> Recommendation:
    """One answer as a `Recommendation`.

    Args:
        asked: The question.
        context: What was retrieved for it.
        answer: What the model said.
        prompt: What the model read.
        witnesses: Other users' judgements.
        parts: Stage to what ran there.
    """
    return Recommendation(
        user_id=asked.question.user_id,
        item=asked.item,
        probability=answer.probability,
        verdict="Yes" if answer.probability >= 0.5 else "No",
        mass=answer.mass,
        neighbours=_neighbours(asked, context, witnesses),
        prompt=prompt,
        parts=dict(parts),
        warnings=[*asked.notes, *_warnings(asked, answer)],
    )


def _neighbours(asked: FoundQuestion, context: RetrievedContext, witnesses: Witnesses) -> list[Neighbour]:
    question, found = asked.question, []
    for hit, score in context.kept:
        view = witnesses.view(hit.user_id, hit.text, item_id=question.item_id, as_of=question.as_of, history=question.history)
        theirs = witnesses.log.before(hit.user_id, question.as_of)
        found.append(
            Neighbour(
                user_id=hit.user_id,
                retriever_score=float(hit.score),
                reranker_score=float(score),
                behaviour=hit.text,
                in_common=_in_common(view.shared, question.history, theirs, witnesses.catalogue),
                verdict_on_item=view.verdict or None,
            )
        )
    return found


def _warnings(asked: FoundQuestion, answer: Answer) -> list[str]:
    warnings = []
    if answer.mass < LOW_MASS:
        warnings.append(f"the model gave Yes and No together only {answer.mass:.2f} of its probability: the answer says little")
    if answer.cut:
        warnings.append(f"the prompt was too long for the model: {answer.cut} tokens of its beginning were dropped")
    if not asked.question.history:
        warnings.append("no history is known at that time: the answer rests on the item alone")
    return warnings


def _in_common(shared: Sequence[Item], mine: Sequence[Event], theirs: Sequence[Event], catalogue: Mapping[str, Item]) -> list[str]:
    """What two users have in common, in plain words."""
    said = []
    if shared:
        said.append("both liked " + ", ".join(item.name for item in shared[:4]))
    disliked = {event.item_id for event in mine if not event.liked} & {event.item_id for event in theirs if not event.liked}
    if disliked:
        said.append("both disliked " + ", ".join(catalogue[item_id].name for item_id in sorted(disliked)[:2]))
    genres = [Counter(genre for event in events if event.liked for genre in catalogue[event.item_id].genres) for events in (mine, theirs)]
    top = [{genre for genre, _ in found.most_common(4)} for found in genres]
    both = sorted(top[0] & top[1], key=lambda genre: (-genres[0][genre], genre))
    if both:
        said.append("both often like " + ", ".join(both[:3]))
    return said
