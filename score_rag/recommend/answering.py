"""From questions that were looked up to answers: the one place where prompts are written and scored, for single questions and rankings."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from score_rag.arguments import Time
from score_rag.context.finder import RetrievedContext
from score_rag.context.question import Question
from score_rag.context.writer import Told
from score_rag.index.reader import Hit
from score_rag.pipeline.run import Run
from score_rag.pipeline.serving_run import ServingRun
from score_rag.predictor.predictor import Answer
from score_rag.recommend.candidates import find_candidates
from score_rag.recommend.explain import explain
from score_rag.recommend.question import FoundQuestion, History, find_asker
from score_rag.recommend.recommendation import Recommendation

__all__ = ["Answered", "answer_questions", "explain_answer", "fewer", "find_alike", "find_ranking", "rank", "warnings_of"]


class Answered(NamedTuple):
    """A question, what the model was told, and what it said."""

    asked: FoundQuestion
    told: Told
    answer: Answer


def answer_questions(
    run: Run, asked: Sequence[FoundQuestion], *, reranked: bool = True, seconds: dict[str, float] | None = None
) -> list[Answered]:
    """One answer a question.

    Args:
        reranked: Without, the most alike users are told, which takes a tenth of the time.
        seconds: Takes the time that each part took: `neighbours`, `prompt`, `predictor`.
    """
    if not asked:
        return []
    spent = {} if seconds is None else seconds
    questions = [one.question for one in asked]
    started = time.perf_counter()
    tells = run.writer.builder.tells_neighbours
    contexts = run.finder.find(questions, reranked=reranked) if tells else [RetrievedContext()] * len(questions)
    found = time.perf_counter()
    told = run.writer.write(questions, contexts)
    written = time.perf_counter()
    answers = run.predictor.score([one.text for one in told])
    spent |= {"neighbours": found - started, "prompt": written - found, "predictor": time.perf_counter() - written}
    return [Answered(*row) for row in zip(asked, told, answers, strict=True)]


def find_alike(run: Run, question: Question, count: int) -> Sequence[Hit]:
    """The users most like who asks, by the history as the retriever reads it; none where that is empty."""
    text = run.finder.query(question)
    if not text:
        return []
    return run.index.query(run.encoder.encode([text])[0], count, as_of=question.as_of, exclude_user=question.user_id)


def explain_answer(run: Run, answered: Answered) -> Recommendation:
    """An answer with its evidence."""
    asked, told, answer = answered
    return explain(asked, told, answer, witnesses=run.writer.witnesses, parts=run.provenance, warnings=warnings_of(run))


def warnings_of(run: Run) -> tuple[str, ...]:
    """What everybody who reads an answer of this run should know."""
    return (*run.guard.warnings, *(run.notes if isinstance(run, ServingRun) else ()))


def find_ranking(
    run: Run,
    user_id: str | int | None,
    k: int,
    *,
    history: History | None = None,
    candidates: int | Sequence[str],
    as_of: Time | None = None,
) -> list[FoundQuestion]:
    """The questions of a ranking, in the recommender's order.

    Args:
        k: How many are wanted; where fewer come, the questions' notes say why.
        candidates: How many to take from the recommender, or ids of the items to rank.

    Raises:
        InputError: There is no history to start from.
    """
    interactions = run.histories
    user, events, when = find_asker(interactions, user_id, history, as_of)
    if isinstance(candidates, int):
        # A user's stored vector knows all that they did; a time in the past must not.
        item_ids = find_candidates(run, user if history is None and when is None else None, events, candidates)
        notes = fewer(k, candidates, len(item_ids))
    else:
        item_ids, notes = list(candidates), ()
    return [
        FoundQuestion(Question(user, item_id, events, when, history is not None), interactions.catalogue[item_id], notes)
        for item_id in item_ids
    ]


def rank(run: Run, asked: Sequence[FoundQuestion], k: int) -> list[Recommendation]:
    """The best `k`, best first: by the predictor, or in the recommender's order where that was found to order better."""
    if run.guard.route == "recommender":
        # The recommender orders better: its order stands, and only what is shown is asked about.
        answered = answer_questions(run, asked[:k], reranked=False)
        return [replace(explain_answer(run, one), route="recommender") for one in answered]
    # Sorting is stable: of equal probabilities, the recommender's order decides.
    best = sorted(answer_questions(run, asked, reranked=False), key=lambda one: -one.answer.probability)[:k]
    return [explain_answer(run, one) for one in best]


def fewer(wanted: int, candidates: int, came: int) -> tuple[str, ...]:
    """What to say where fewer items come than were asked for."""
    if came >= wanted:
        return ()
    why = f"only {candidates} candidates were asked for" if candidates < wanted else "this history has judged all others of the catalogue"
    return (f"{wanted} items were asked for, {came} came: {why}",)
