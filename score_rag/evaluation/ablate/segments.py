"""What a prompt tells in the place of other users' behaviour: soft tokens, binary codes, or items judged alike."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from score_rag.context.writer import QuestionWriter, Told
from score_rag.crm.interface import UserHistory, VectorModel
from score_rag.errors import InputError
from score_rag.evaluation.ablate.alike_items import AlikeItems
from score_rag.evaluation.ablate.codes import BinaryCodes
from score_rag.evaluation.ablate.placement import SLOT

if TYPE_CHECKING:
    from score_rag.context.finder import RetrievedContext
    from score_rag.context.question import Question
    from score_rag.pipeline.run import Run
    from score_rag.predictor.soft import SoftTokens

__all__ = ["Form", "Segment", "SegmentWriter", "segment_of", "soft_tokens_of"]

Form = Literal["soft", "codes", "items"]


class Segment(Protocol):
    """Tells something of each question.

    Attributes:
        longest: As long as it gets, in text, for counting tokens before it is known.
    """

    longest: str

    def tell(self, questions: Sequence[Question]) -> list[str]:
        """A text for each question; whole lines, or nothing."""
        ...


class SegmentWriter(QuestionWriter):
    """Writes prompts whose `SLOT` a segment fills; where neighbours are hidden, nothing does."""

    segment: Segment

    @classmethod
    def of(cls, writer: QuestionWriter, segment: Segment) -> SegmentWriter:
        """A writer of the run, with a segment."""
        made = cls(writer.builder, writer.evidence, writer.levels, writer.witnesses)
        made.segment = segment
        return made

    def write(
        self,
        questions: Sequence[Question],
        contexts: Sequence[RetrievedContext] | None = None,
        *,
        last: int | None = None,
        hide: Collection[str] | Sequence[Collection[str]] = (),
        shuffled: Mapping[str, np.ndarray] | None = None,
        keep_values: bool = False,
    ) -> list[Told]:
        """As `QuestionWriter.write`."""
        written = super().write(questions, None, last=last, hide=hide, shuffled=shuffled, keep_values=keep_values)
        hidden = [hide] * len(questions) if all(isinstance(kind, str) for kind in hide) else list(hide)
        out = []
        for told, segment, unknown in zip(written, self.segment.tell(questions), hidden, strict=True):
            out.append(replace(told, text=told.text.replace(SLOT, "" if "neighbours" in unknown else segment)))
        return out


class _Vectors:
    """Vectors of the question's user, as of its time, and of its item: inner products of the two are the recommender's scores."""

    def __init__(self, run: Run) -> None:
        model = run.crm
        if not isinstance(model, VectorModel):
            raise InputError(
                f"{model.name} scores by no vectors of users and items, so there are none to tell",
                where="crm.model",
                expected="a recommender whose score is an inner product, such as lightgcn",
            )
        self.model = model
        # The item's bias stands beside a one of the user's, so that nothing of the score is lost.
        self.items = np.concatenate([model.item_vectors(), model.item_biases()[:, None]], axis=1).astype(np.float32)

    def users(self, questions: Sequence[Question]) -> np.ndarray:
        """float32 [n, dim + 1]."""
        found = self.model.asked_vectors([UserHistory(q.history, q.user_id, q.as_of) for q in questions])
        return np.concatenate([found, np.ones((len(found), 1))], axis=1).astype(np.float32)

    def items_of(self, questions: Sequence[Question]) -> np.ndarray:
        """float32 [n, dim + 1]."""
        found: np.ndarray = self.items[self.model.places_of([question.item_id for question in questions])]
        return found


class _Told:
    """A segment of two parts: something of the user, something of the item."""

    def __init__(self, tell: Callable[[Sequence[Question]], tuple[list[str], list[str]]], longest: str) -> None:
        self._tell, self.longest = tell, longest

    def tell(self, questions: Sequence[Question]) -> list[str]:
        users, items = self._tell(questions)
        return [f"user {user} item {item}\n" for user, item in zip(users, items, strict=True)]


class _Items:
    def __init__(self, run: Run) -> None:
        interactions = run.histories
        log, catalogue = interactions.train_log, interactions.catalogue
        self.items = AlikeItems(run.judges, log, catalogue, top_n=run.pipeline.reranker.top_n)
        name = max((item.name for item in catalogue.values()), key=len)
        self.longest = f"alike 99 {name} disliked\n" * run.pipeline.reranker.top_n

    def tell(self, questions: Sequence[Question]) -> list[str]:
        return self.items.tell(questions)


def soft_tokens_of(run: Run) -> SoftTokens:
    """An empty table for the vectors of a run's recommender.

    Raises:
        InputError: It scores by none.
    """
    from score_rag.predictor.soft import SoftTokens

    items = _Vectors(run).items
    return SoftTokens(float(np.sqrt((items**2).mean())), items.shape[1])


def segment_of(run: Run, form: Form, soft: SoftTokens | None) -> Segment:
    """What tells a form.

    Args:
        soft: The table that soft tokens go to.

    Raises:
        InputError: The run's recommender has no vectors to tell.
    """
    if form == "items":
        return _Items(run)
    vectors = _Vectors(run)
    if form == "soft":
        assert soft is not None
        mark = soft.mark
        return _Told(lambda asked: _each(mark, vectors.users(asked), vectors.items_of(asked)), "user . item .\n")
    every = np.concatenate([run.crm.user_vectors(run.histories.train_log.users), vectors.items[:, :-1]])
    codes = BinaryCodes(every, seed=run.pipeline.seed)

    def tell(vector: np.ndarray) -> str:
        return codes.tell(vector[None, :-1])[0]

    return _Told(lambda asked: _each(tell, vectors.users(asked), vectors.items_of(asked)), "user 255.255.255.255 item 255.255.255.255\n")


def _each(tell: Callable[[np.ndarray], str], users: np.ndarray, items: np.ndarray) -> tuple[list[str], list[str]]:
    return [tell(row) for row in users], [tell(row) for row in items]
