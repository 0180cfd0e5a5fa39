"""Who is told, chosen otherwise than by CAR: by the untuned encoder, by the recommender's own vectors, by words (BM25), or at random.

The candidates are the same: documents visible at the question's time, of the item's judges where the run tells judges.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from score_rag.context.finder import ContextFinder
from score_rag.crm.interface import UserHistory
from score_rag.extras import names_extras
from score_rag.progress import Report, silent

if TYPE_CHECKING:
    from score_rag.context.question import Question
    from score_rag.index.reader import Hit
    from score_rag.pipeline.run import Run

__all__ = ["Likeness", "OtherFinder", "Retrieval", "likeness_of"]

Retrieval = Literal["random", "semantic", "collaborative", "bm25"]
Scorer = Callable[[int, np.ndarray], np.ndarray]
"""(Row of a question, places of documents [n]) to scores [n]."""
Likeness = Callable[[Sequence["Question"], ContextFinder, Report], Scorer]
"""What scores documents for questions, made ready for some questions at once."""


class OtherFinder(ContextFinder):
    """A finder whose candidates are those of another, ordered by another likeness; nothing is reranked.

    Args:
        like: The run's own finder.
        likeness: What orders.
        own_score: Whether a prompt tells the new likeness of a user (a predictor trained for it), or CAR's, whose levels the trained
            predictor knows.
    """

    def __init__(self, like: ContextFinder, likeness: Likeness, *, own_score: bool) -> None:
        super().__init__(
            like.interactions,
            like.describer,
            like.index,
            like.encoder,
            None,
            judges=like.judges,
            similarity_top_k=like.similarity_top_k,
            top_n=like.top_n,
            choice=like.choice,
            kind=like.kind,
        )
        self.likeness = likeness
        self.own_score = own_score

    def retrieve(self, questions: Sequence[Question], *, stored: bool = False, report: Report = silent) -> list[list[Hit]]:
        """As the class says; nobody for those of whom CAR knows nothing."""
        vectors = self._vectors(questions, stored, report)
        score = self.likeness(questions, self, report)
        out = []
        for row, (question, vector) in enumerate(zip(questions, vectors, strict=True)):
            hits: list[Hit] = []
            for places in self._candidates(question) if vector is not None else ():
                values = score(row, places)
                best = np.argsort(-values, kind="stable")[: self.similarity_top_k - len(hits)]
                told = values[best] if self.own_score else np.asarray(self.index.vectors[places[best]]) @ vector
                hits += [self.index.hit_at(place, value) for place, value in zip(places[best].tolist(), told.tolist(), strict=True)]
                if len(hits) == self.similarity_top_k:
                    break
            out.append(hits)
        return out

    def _candidates(self, question: Question) -> Iterator[np.ndarray]:
        if self.choice == "judges" and self.judges is not None:
            yield from self.judges.candidates(question)
            return
        places = self.index.visible_places(question.as_of)
        own = self.index.visible_place(question.user_id, question.as_of) if question.user_id else None
        yield places if own is None else places[places != own]


def likeness_of(run: Run, kind: Retrieval) -> Likeness:
    """A likeness by its name.

    Raises:
        InputError: A package is missing.
        ModelError: The untuned encoder is not there.
    """
    return {"random": _random, "semantic": _semantic, "collaborative": _collaborative, "bm25": _bm25}[kind](run)


def _random(run: Run) -> Likeness:
    def ready(questions: Sequence[Question], finder: ContextFinder, report: Report) -> Scorer:
        def score(row: int, places: np.ndarray) -> np.ndarray:
            # By the question alone, so that it is told the same users whenever it is asked.
            said = repr((run.pipeline.seed, questions[row].user_id, questions[row].item_id, questions[row].as_of))
            seed = int.from_bytes(hashlib.sha256(said.encode()).digest()[:8], "big")
            return np.random.default_rng(seed).random(len(places))

        return score

    return ready


def _semantic(run: Run) -> Likeness:
    from score_rag.encoders.encoder import TextEncoder

    settings = run.pipeline.retriever
    encoder = TextEncoder.untrained(settings.encoder, max_tokens=settings.max_tokens)
    documents = encoder.encode(run.index.documents["text"].to_list())

    def ready(questions: Sequence[Question], finder: ContextFinder, report: Report) -> Scorer:
        texts, of_row = _queries(questions, finder)
        vectors = encoder.encode(texts, report=report)
        return lambda row, places: documents[places] @ vectors[of_row[row]]

    return ready


def _collaborative(run: Run) -> Likeness:
    from score_rag.crm.artefacts import read_vectors

    users, stored = read_vectors(run.folder("crm"), "users")
    row_of = {user: row for row, user in enumerate(users)}
    rows = np.array([row_of.get(user, -1) for user in run.index.documents["user_id"].to_list()])
    documents = np.where(rows[:, None] >= 0, stored["vectors"][rows], 0.0).astype(np.float32)

    def ready(questions: Sequence[Question], finder: ContextFinder, report: Report) -> Scorer:
        vectors = run.crm.asked_vectors([UserHistory(q.history, q.user_id, q.as_of) for q in questions])
        return lambda row, places: documents[places] @ vectors[row]

    return ready


def _bm25(run: Run) -> Likeness:
    with names_extras():
        import bm25s

    def words(texts: Sequence[str]) -> Any:
        return bm25s.tokenize(list(texts), stopwords="en", return_ids=False, show_progress=False)

    index = bm25s.BM25()
    index.index(words(run.index.documents["text"].to_list()), show_progress=False)

    def ready(questions: Sequence[Question], finder: ContextFinder, report: Report) -> Scorer:
        texts, of_row = _queries(questions, finder)
        asked = words(texts)
        kept: dict[int, np.ndarray] = {}

        def score(row: int, places: np.ndarray) -> np.ndarray:
            text = of_row[row]
            if text not in kept:
                kept.clear()
                # Words that no document has leave nothing to look for.
                kept[text] = index.get_scores(asked[text]) if asked[text] else np.zeros(len(run.index.documents))
            found: np.ndarray = kept[text][places]
            return found

        return score

    return ready


def _queries(questions: Sequence[Question], finder: ContextFinder) -> tuple[list[str], list[int]]:
    """(Different texts, the text of each question): the history in words, as CAR reads it."""
    places: dict[str, int] = {}
    known: dict[int, int] = {}
    for question in questions:
        key = id(question.history)
        if key not in known:
            known[key] = places.setdefault(finder.query(question), len(places))
    return list(places), [known[id(question.history)] for question in questions]
