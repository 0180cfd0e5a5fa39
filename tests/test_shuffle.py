"""Whose evidence is told instead: permutations across users, other users' contexts, users drawn at random."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from score_rag.context.finder import RetrievedContext
from score_rag.context.question import Question
from score_rag.evaluation.shuffle import others_contexts, permute_across_users, random_contexts
from score_rag.index.reader import BehaviourIndex, Hit

FINDER = SimpleNamespace(query=lambda question: "")
"""The query of somebody without a document is nothing."""


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=40), st.integers(0, 3))
def test_a_permutation_keeps_as_few_rows_with_their_own_user_as_can_be(users, seed):
    places = permute_across_users(users, seed=seed)
    assert sorted(places.tolist()) == list(range(len(users)))
    kept = sum(users[place] == user for place, user in zip(places, users, strict=True))
    assert kept == max(0, 2 * max(map(users.count, users)) - len(users))
    assert places.tolist() == permute_across_users(users, seed=seed).tolist()


def test_another_seed_gives_another_permutation():
    users = [str(row % 10) for row in range(100)]
    assert permute_across_users(users, seed=0).tolist() != permute_across_users(users, seed=1).tolist()


def _hit(user: str, until: int = 0, score: float = 0.5) -> Hit:
    return Hit(user, f"{user}@1", f"Liked: {user}.", score, until, 1)


def _kept(*hits: Hit) -> RetrievedContext:
    return RetrievedContext(hits, tuple((hit, hit.score) for hit in hits))


def test_nobody_is_told_of_themselves_or_of_what_is_not_known_yet_by_anothers_context():
    questions = [Question("a", "1", (), 10), Question("b", "1", (), 100)]
    contexts = [_kept(_hit("b"), _hit("c", 5)), _kept(_hit("a"), _hit("c", 50), _hit("d", 9))]
    first, second = others_contexts(questions, contexts, np.array([1, 0]))
    assert first.kept_ids == ["d"] and second.kept_ids == ["c"]


def _index() -> BehaviourIndex:
    """Users `u0` to `u9`, each with a document of second 10 that one of second 20 supersedes; every vector is its own direction."""
    rows = []
    for user in range(10):
        rows.append((f"u{user}@1", f"u{user}", f"early {user}", 1, 10, 20))
        rows.append((f"u{user}@2", f"u{user}", f"late {user}", 2, 20, 2**53 - 1))
    frame = pl.DataFrame(rows, schema=["document_id", "user_id", "text", "events", "known_until", "superseded_at"], orient="row")
    return BehaviourIndex(frame, np.eye(20, dtype=np.float32))


def test_random_users_are_visible_then_and_never_the_one_who_asks_and_as_many_as_were_kept():
    questions = [Question(f"u{row % 10}", "1", (), 15 if row < 50 else 25) for row in range(100)]
    contexts = [_kept(_hit("x"), _hit("y"))] * 99 + [RetrievedContext()]
    found = random_contexts(questions, contexts, _index(), FINDER, seed=0)
    drawn = {hit.user_id for context in found for hit, _ in context.kept}
    assert len(drawn) == 10 and found[-1].kept == () and all(len(context.kept) == 2 for context in found[:-1])
    for question, context in zip(questions, found, strict=True):
        assert question.user_id not in context.kept_ids and len(set(context.kept_ids)) == len(context.kept)
        assert all(hit.text.startswith("early" if question.as_of == 15 else "late") for hit, _ in context.kept)
    again = random_contexts(questions, contexts, _index(), FINDER, seed=0)
    assert [context.kept_ids for context in again] == [context.kept_ids for context in found]
    before = random_contexts([Question("u0", "1", (), 5)], contexts[:1], _index(), FINDER, seed=0)
    assert before[0].kept == (), "nobody had a document then"


def test_a_random_user_brings_their_true_likeness():
    index = _index()
    index.vectors = np.ones((20, 1), dtype=np.float32)
    (found,) = random_contexts([Question("u0", "1", (), 15)], [_kept(_hit("x", score=0.1))], index, FINDER, seed=0)
    assert [score for _, score in found.kept] == [1.0]
