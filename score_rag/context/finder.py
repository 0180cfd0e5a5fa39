"""For many questions at once, what the one-question workflow finds for one: retrieved users, reranked users, the prompt.

Training, evaluation and ranking go through here in batches (each text embedded once, exact search over all documents); the workflow
answers single questions through the very same parts. Tests hold the two to the same prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from score_rag.context.prompt import Behaviour, HistoryKind, PromptBuilder, visible_history
from score_rag.data.interactions import Interactions
from score_rag.data.log import Event
from score_rag.documents.describer import Describer, describe_item
from score_rag.progress import Report, silent

if TYPE_CHECKING:
    from score_rag.encoders.encoder import Encoder
    from score_rag.index.reader import BehaviourIndex, Hit
    from score_rag.reranker.scorer import PairScorer

__all__ = ["ContextFinder", "Question", "RetrievedContext", "prompts"]


@dataclass(frozen=True)
class Question:
    """Will this user like this item?

    Attributes:
        user_id: A user of the data, or None for somebody who is not in it.
        item_id: The item in question.
        history: The user's events strictly before `as_of`, oldest first.
        as_of: Time of the question, seconds; None means now: everything that the index holds is known.
    """

    user_id: str | None
    item_id: str
    history: Sequence[Event]
    as_of: int | None = None


@dataclass(frozen=True)
class RetrievedContext:
    """What was found for one question.

    Attributes:
        retrieved: All retrieved users (CAR), most similar first: the crowd.
        kept: The reranked few (SARE), best first, each with its reranker score.
    """

    retrieved: tuple[Hit, ...] = ()
    kept: tuple[tuple[Hit, float], ...] = ()

    @property
    def neighbours(self) -> list[Behaviour]:
        return [Behaviour(hit.user_id, hit.text) for hit, _ in self.kept]

    @property
    def retrieved_ids(self) -> list[str]:
        return [hit.user_id for hit in self.retrieved]


class ContextFinder:
    """Finds contexts for questions.

    Args:
        interactions: Where the histories of `questions` come from.
        describer: Tells a history in words: the query.
        index: Documents of the users to find.
        encoder: Embeds queries; the one that embedded the documents.
        scorer: The reranker's, to pick the few; None keeps the most similar ones.
        similarity_top_k: Ke, users to rerank.
        crowd: Users to retrieve, if more than Ke: how all of them judged the item is told as counts.
        top_n: Ks, users to keep.
        kind: What of a history is told.
    """

    def __init__(
        self,
        interactions: Interactions,
        describer: Describer,
        index: BehaviourIndex,
        encoder: Encoder,
        scorer: PairScorer | None = None,
        *,
        similarity_top_k: int = 10,
        crowd: int = 0,
        top_n: int = 2,
        kind: HistoryKind = "all",
    ) -> None:
        self.interactions = interactions
        self.describer = describer
        self.index = index
        self.encoder = encoder
        self.scorer = scorer
        self.similarity_top_k = similarity_top_k
        self.crowd = max(crowd, similarity_top_k)
        self.top_n = top_n
        self.kind = kind

    def questions(self, events: Sequence[Event]) -> list[Question]:
        """The question behind each event: asked at its time, with what the user did strictly earlier."""
        log = self.interactions.log
        return [Question(e.user_id, e.item_id, log.earlier(e), e.timestamp) for e in events]

    def query(self, question: Question) -> str:
        """The history in words, as the retriever reads it."""
        return self.describer.describe(visible_history(question.history, self.kind))

    def retrieve(self, questions: Sequence[Question], *, stored: bool = False, report: Report = silent) -> list[list[Hit]]:
        """The most similar users for each question, as known at its time; none where the history is empty.

        Args:
            stored: Use the user's own stored document of that time as the query. It may be some events older than the history, and costs
                nothing; for text that only has to look like the real thing (the embedded base's).
        """
        vectors: list[np.ndarray | None]
        if stored:
            vectors = [self.index.vector_of(asked.user_id, asked.as_of) if asked.user_id else None for asked in questions]
        else:
            texts = [self.query(question) for question in questions]
            unique = list(dict.fromkeys(text for text in texts if text))
            found = dict(zip(unique, self.encoder.encode(unique, report=report), strict=True)) if unique else {}
            vectors = [found.get(text) for text in texts]
        places = [place for place, vector in enumerate(vectors) if vector is not None]
        hits: list[list[Hit]] = [[] for _ in questions]
        if places:
            answers = self.index.search(
                np.stack([vector for vector in vectors if vector is not None]),
                self.crowd,
                as_of=[questions[place].as_of for place in places],
                exclude=[questions[place].user_id for place in places],
            )
            for place, answer in zip(places, answers, strict=True):
                hits[place] = list(answer)
        return hits

    def find(self, questions: Sequence[Question], *, stored: bool = False, report: Report = silent) -> list[RetrievedContext]:
        """Retrieve and rerank for each question."""
        hits = self.retrieve(questions, stored=stored, report=report)
        if self.scorer is None:
            return [RetrievedContext(tuple(found), tuple((hit, hit.score) for hit in found[: self.top_n])) for found in hits]
        from score_rag.reranker.scorer import rerank_text

        queries: list[str] = []
        behaviours: list[str] = []
        for question, found in zip(questions, hits, strict=True):
            asked = rerank_text(self.query(question), describe_item(self.interactions.item(question.item_id))) if found else ""
            near = found[: self.similarity_top_k]
            queries += [asked] * len(near)
            behaviours += [hit.text for hit in near]
        scores = iter(self.scorer.score_pairs(queries, behaviours, report=report) if queries else ())
        contexts = []
        for found in hits:
            scored = [(hit, float(next(scores))) for hit in found[: self.similarity_top_k]]
            # Sorting is stable: of equal scores, the more similar user stands first.
            scored.sort(key=lambda pair: -pair[1])
            contexts.append(RetrievedContext(tuple(found), tuple(scored[: self.top_n])))
        return contexts


def prompts(builder: PromptBuilder, questions: Sequence[Question], contexts: Sequence[RetrievedContext] | None) -> list[str]:
    """The text of each question; without `contexts`, without any collaborative information."""
    return [
        builder.build(
            question.history,
            question.item_id,
            neighbours=contexts[place].neighbours if contexts else (),
            retrieved=contexts[place].retrieved_ids if contexts else (),
            as_of=question.as_of,
        )
        for place, question in enumerate(questions)
    ]
