"""Whose evidence a question is told instead of its own: permutations across users, and randomly sampled users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from score_rag.context.finder import ContextFinder, RetrievedContext
from score_rag.context.question import Question
from score_rag.index.reader import BehaviourIndex, Hit

__all__ = ["others_contexts", "permute_across_users", "random_contexts"]


def permute_across_users(user_ids: Sequence[str], *, seed: int) -> np.ndarray:
    """A permutation of rows in which as few as possible keep a row of their own user: none, unless one user has more than half of all.

    Args:
        user_ids: [n], whose each row is.

    Returns:
        int64 [n]: the row that each row is given.

    >>> permute_across_users(["a", "b", "a", "b"], seed=0).tolist() in ([1, 0, 3, 2], [1, 2, 3, 0], [3, 0, 1, 2], [3, 2, 1, 0])
    True
    """
    _, user = np.unique(np.asarray(user_ids, dtype=str), return_inverse=True)
    generator = np.random.default_rng(seed)
    out = generator.permutation(len(user))
    for row in np.flatnonzero(user[out] == user):
        if user[out[row]] != user[row]:
            continue  # an earlier swap has helped it
        # A swap must help this row and spoil none.
        fit = np.flatnonzero((user[out] != user[row]) & (user != user[out[row]]))
        if len(fit):
            other = generator.choice(fit)
            out[row], out[other] = out[other], out[row]
    return _rotated(user, generator) if (user[out] == user).any() else out


def _rotated(user: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Rows sorted by user and rotated by as many as the largest user has: the fewest that can stay with their own."""
    names = generator.permutation(user.max() + 1) if len(user) else user
    order = np.lexsort((generator.permutation(len(user)), names[user]))
    out = np.empty(len(user), dtype=np.int64)
    out[order] = np.roll(order, -int(np.bincount(user).max())) if len(user) else order
    return out


def others_contexts(questions: Sequence[Question], contexts: Sequence[RetrievedContext], places: np.ndarray) -> list[RetrievedContext]:
    """Each question with the other users that were chosen for another one.

    Nobody is told of themselves, nor of what was not yet known at their question's time.

    Args:
        places: int [n], whose context each question is given.
    """
    out = []
    for question, place in zip(questions, places.tolist(), strict=True):
        fit = [(hit, score) for hit, score in contexts[place].kept if hit.user_id != question.user_id and _known(hit.known_until, question)]
        out.append(replace(contexts[place], kept=tuple(fit)))
    return out


def random_contexts(
    questions: Sequence[Question], contexts: Sequence[RetrievedContext], index: BehaviourIndex, finder: ContextFinder, *, seed: int
) -> list[RetrievedContext]:
    """As many other users as each question keeps, sampled uniformly from those visible at its time, with their true likeness.

    Args:
        contexts: Who was kept.
        index: Documents of training users.
        finder: Tells the history of somebody without a document.
    """
    generator = np.random.default_rng(seed)
    frame = index.documents
    users, texts, ids = (frame[name].to_list() for name in ("user_id", "text", "document_id"))
    until, superseded, events = (frame[name].to_numpy() for name in ("known_until", "superseded_at", "events"))
    owner = np.asarray(users, dtype=str)
    vectors = _vectors(questions, index, finder)
    out = []
    for question, context in zip(questions, contexts, strict=True):
        count = len(context.kept)
        drawn: list[Hit] = []
        if count:
            visible = (
                superseded == superseded.max() if question.as_of is None else (until < question.as_of) & (question.as_of <= superseded)
            )
            fit = np.flatnonzero(visible & (owner != str(question.user_id)))
            chosen = generator.choice(fit, min(count, len(fit)), replace=False)
            vector = vectors[id(question)]
            for place in chosen.tolist():
                cosine = float(np.asarray(index.vectors[place]) @ vector) if vector is not None else 0.0
                drawn.append(Hit(users[place], ids[place], texts[place], cosine, int(until[place]), int(events[place])))
        drawn.sort(key=lambda hit: -hit.score)
        out.append(RetrievedContext(context.retrieved, tuple((hit, hit.score) for hit in drawn), False))
    return out


def _vectors(questions: Sequence[Question], index: BehaviourIndex, finder: ContextFinder) -> dict[int, np.ndarray | None]:
    """A vector of each question's user: of their stored document, else of their history."""
    out: dict[int, np.ndarray | None] = {}
    texts: dict[int, str] = {}
    for question in questions:
        out[id(question)] = index.vector_of(question.user_id, question.as_of) if question.user_id else None
        if out[id(question)] is None and (text := finder.query(question)):
            texts[id(question)] = text
    unique = list(dict.fromkeys(texts.values()))
    found = dict(zip(unique, finder.encoder.encode(unique), strict=True)) if unique else {}
    return out | {key: found[text] for key, text in texts.items()}


def _known(until: int, question: Question) -> bool:
    return question.as_of is None or until < question.as_of
