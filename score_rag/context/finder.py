"""For many questions at once, which other users are told: retrieved (CAR), then reranked (SARE).

Training, evaluation, ranking and single questions all go through here; each text is embedded once, each pair is scored once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from score_rag.context.judges import Judges
from score_rag.context.prompt import visible_history
from score_rag.context.question import Question
from score_rag.data.choices import History
from score_rag.data.interactions import Interactions
from score_rag.data.log import Event
from score_rag.documents.describer import Describer, describe_item
from score_rag.predictor.settings import NeighbourChoice
from score_rag.progress import Report, silent
from score_rag.reranker.settings import RerankerSettings
from score_rag.retriever.settings import RetrieverSettings

if TYPE_CHECKING:
    from score_rag.encoders.encoder import Encoder
    from score_rag.index.reader import BehaviourIndex, Hit
    from score_rag.reranker.scorer import Scorer

__all__ = ["ContextFinder", "RetrievedContext"]

_TOP_K, _TOP_N = RetrieverSettings().similarity_top_k, RerankerSettings().top_n


@dataclass(frozen=True)
class RetrievedContext:
    """Who was found for one question.

    Attributes:
        retrieved: The retrieved users (CAR), most alike first.
        kept: The reranked few (SARE), best first, each with its reranker score; without reranking the most alike, with the cosine.
        reranked: Whether they were.
    """

    retrieved: tuple[Hit, ...] = ()
    kept: tuple[tuple[Hit, float], ...] = ()
    reranked: bool = True

    @property
    def retrieved_ids(self) -> list[str]:
        return [hit.user_id for hit in self.retrieved]

    @property
    def kept_ids(self) -> list[str]:
        return [hit.user_id for hit, _ in self.kept]


class ContextFinder:
    """Finds contexts for questions.

    Args:
        interactions: Where the histories of `questions` come from.
        describer: Tells a history in words: the query.
        index: Documents of the users to find.
        encoder: Embeds queries; the one that embedded the documents.
        scorer: The reranker's, to pick the few; None keeps the most similar ones.
        judges: Finds an item's judges; needed where `choice` is `judges`.
        similarity_top_k: Ke, users to rerank.
        top_n: Ks, users to keep.
        choice: Who may be retrieved.
        kind: What of a history is told.
    """

    def __init__(
        self,
        interactions: Interactions,
        describer: Describer,
        index: BehaviourIndex,
        encoder: Encoder,
        scorer: Scorer | None = None,
        *,
        judges: Judges | None = None,
        similarity_top_k: int = _TOP_K,
        top_n: int = _TOP_N,
        choice: NeighbourChoice = "any",
        kind: History = "all",
    ) -> None:
        self.interactions = interactions
        self.describer = describer
        self.index = index
        self.encoder = encoder
        self.scorer = scorer
        self.judges = judges
        self.similarity_top_k = similarity_top_k
        self.top_n = top_n
        self.choice = choice
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
                nothing; for text that only has to look like the real thing (the bundled base's).
        """
        vectors = self._vectors(questions, stored, report)
        if self.choice == "judges" and self.judges is not None:
            return self.judges.nearest(questions, vectors, self.similarity_top_k)
        rows = [row for row, vector in enumerate(vectors) if vector is not None]
        hits: list[list[Hit]] = [[] for _ in questions]
        if rows:
            answers = self.index.search(
                np.stack([vector for vector in vectors if vector is not None]),
                self.similarity_top_k,
                as_of=[questions[row].as_of for row in rows],
                exclude=[questions[row].user_id for row in rows],
            )
            for row, answer in zip(rows, answers, strict=True):
                hits[row] = list(answer)
        return hits

    def _vectors(self, questions: Sequence[Question], stored: bool, report: Report) -> list[np.ndarray | None]:
        if stored:
            return [self.index.vector_of(question.user_id, question.as_of) if question.user_id else None for question in questions]
        # All candidates of a user share one history: it is told once.
        told: dict[int, str] = {}
        for question in questions:
            if id(question.history) not in told:
                told[id(question.history)] = self.query(question)
        texts = [told[id(question.history)] for question in questions]
        unique = list(dict.fromkeys(text for text in texts if text))
        found = dict(zip(unique, self.encoder.encode(unique, report=report), strict=True)) if unique else {}
        return [found.get(text) for text in texts]

    def find(
        self, questions: Sequence[Question], *, stored: bool = False, reranked: bool = True, report: Report = silent
    ) -> list[RetrievedContext]:
        """Retrieve and rerank for each question.

        Args:
            stored: As `retrieve` takes it; nothing is reranked then.
            reranked: Without, the most alike are kept, which costs a tenth.
        """
        hits = self.retrieve(questions, stored=stored, report=report)
        return self.keep(questions, hits, reranked=reranked and not stored, report=report)

    def keep(
        self, questions: Sequence[Question], hits: Sequence[Sequence[Hit]], *, reranked: bool = True, report: Report = silent
    ) -> list[RetrievedContext]:
        """The few of each question's retrieved users that SARE keeps; without a reranker the most similar ones."""
        if self.scorer is None or not reranked or not self.top_n:
            return [RetrievedContext(tuple(found), tuple((hit, hit.score) for hit in found[: self.top_n]), False) for found in hits]
        log, texts = self.interactions.train_log, self.scorer.texts
        queries: list[str] = []
        behaviours: list[str] = []
        told: dict[int, str] = {}
        for question, found in zip(questions, hits, strict=True):
            if not found:
                continue
            key = id(question.history)
            if key not in told:
                told[key] = self.query(question)
            target = describe_item(self.interactions.item(question.item_id))
            queries += [texts.ask(told[key], target)] * len(found)
            behaviours += [
                texts.tell(hit.text, verdict=log.verdict(hit.user_id, question.item_id, question.as_of), target=target) for hit in found
            ]
        scores = iter(self.scorer.score_pairs(queries, behaviours, report=report) if queries else ())
        contexts = []
        for found in hits:
            rated = [(hit, float(next(scores))) for hit in found]
            best = sorted(rated, key=lambda pair: -pair[1])[: self.top_n]
            contexts.append(RetrievedContext(tuple(found), tuple(best)))
        return contexts
