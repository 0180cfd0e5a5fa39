"""One recommendation with its evidence: which users were found, what they have in common with this one, what the model answered."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

from score_rag.context.finder import Question, RetrievedContext, prompts
from score_rag.data.log import Event, Item
from score_rag.errors import InputError, did_you_mean
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.run import Run
from score_rag.pipeline.runner import STAGES
from score_rag.predictor.predictor import LOW_MASS, Answer
from score_rag.recommend.history import parse_history
from score_rag.recommend.recommendation import NeighbourView, Recommendation

__all__ = ["Recommender", "open_recommender"]


def open_recommender(pipeline: Pipeline) -> Recommender:
    """A recommender over a finished run.

    Raises:
        StageError: A stage of the run is not finished.
    """
    return Recommender(Run.open(pipeline, stages=STAGES))


_CANDIDATES = 50
"""Candidates of the conventional recommender that `top` ranks at least."""


class Recommender:
    """Answers single questions, and ranks candidates; `RecommendWorkflow` gives the same answers as a LlamaIndex workflow."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def recommend(self, user_id: str | None, item_id: str, *, history: str | None = None, as_of: int | None = None) -> Recommendation:
        """Will this user like this item?

        Args:
            user_id: A user of the data, or None together with `history`.
            item_id: An item of the catalogue, by id or by its name (`Heat (1995)`).
            history: What somebody outside the data judged, as `parse_history` reads it.
            as_of: Time of the question, seconds. By default now; for an item that this user has judged already, just before that.

        Raises:
            InputError: The user, the item or a name in the history is unknown.
        """
        run = self.run
        item = self._item(item_id)
        warnings = []
        known = None if history is not None or user_id is None else run.interactions.log.first(user_id, item.item_id)
        if known is not None and as_of is None:
            as_of = known.timestamp
            warnings.append(
                f"user {user_id} has judged this item already ({'liked' if known.liked else 'disliked'} it): answered as of just before"
            )
        question = Question(user_id, item.item_id, self._history(user_id, history, as_of), as_of)
        (context,) = run.finder.find([question])
        (text,) = prompts(run.builder, [question], [context])
        (answer,) = run.predictor.score([text])
        return self._recommendation(question, answer, text, self._views(question, context), warnings)

    async def arecommend(
        self, user_id: str | None, item_id: str, *, history: str | None = None, as_of: int | None = None
    ) -> Recommendation:
        """`recommend`, without blocking the event loop: what takes time in it leaves the interpreter's lock."""
        return await asyncio.to_thread(self.recommend, user_id, item_id, history=history, as_of=as_of)

    def top(self, user_id: str | None, k: int, *, history: str | None = None, candidates: int | None = None) -> list[Recommendation]:
        """The `k` items that this user will most likely like, among candidates of the conventional recommender.

        Args:
            user_id: A user of the data, or None together with `history`.
            k: How many to return, best first.
            history: As in `recommend`.
            candidates: How many candidates to rank; 50 by default, or twice `k` where that is more.

        Raises:
            InputError: There is no history to start from.
        """
        events = self._history(user_id, history, None)
        if not events:
            raise InputError("there is nothing to rank by for somebody without a history", hint='--history "Heat (1995); Ronin (1998)"')
        asked = self._candidates(user_id if history is None else None, events, candidates or max(_CANDIDATES, 2 * k))
        questions = [Question(user_id, item_id, events, None) for item_id in asked]
        contexts = self.run.finder.find(questions)
        texts = prompts(self.run.builder, questions, contexts)
        answers = self.run.predictor.score(texts)
        best = sorted(range(len(asked)), key=lambda place: -answers[place].probability)[:k]
        return [
            self._recommendation(questions[place], answers[place], texts[place], self._views(questions[place], contexts[place]), [])
            for place in best
        ]

    def _candidates(self, user_id: str | None, events: Sequence[Event], count: int) -> list[str]:
        from score_rag.crm.artefacts import candidates

        known = {event.item_id for event in events}
        return [item for item, _ in candidates(self.run.folder("crm"), user_id, count, history=events, exclude=known)]

    def _item(self, item_id: str) -> Item:
        catalogue = self.run.interactions.catalogue
        if item_id in catalogue:
            return catalogue[item_id]
        asked = item_id.casefold()
        found = [item for item in catalogue.values() if item.name.casefold() == asked]
        found = found or [item for item in catalogue.values() if item.title.casefold() == asked]
        if len(found) == 1:
            return found[0]
        names = [*(item.name for item in catalogue.values()), *catalogue]
        if found:
            raise InputError(
                f"several items are called {item_id!r}",
                expected="an id or a whole name",
                found=", ".join(f"{i.item_id}: {i.name}" for i in found[:5]),
            )
        part = [item.name for item in catalogue.values() if asked in item.title.casefold()]
        near = f"did you mean {part[0]!r}?" if part else did_you_mean(item_id, names, show=0)
        raise InputError(
            f"there is no item {item_id!r}",
            expected=f"the id or name of one of {len(catalogue):,} items",
            hint=f'{near}; by id or by name: --item {next(iter(catalogue))}, or --item "{names[0]}"',
        )

    def _history(self, user_id: str | None, history: str | None, as_of: int | None) -> list[Event]:
        interactions = self.run.interactions
        if history is not None:
            return parse_history(history, interactions.catalogue.values(), when=(as_of or interactions.train_end) - 1)
        if user_id is None:
            raise InputError("who is asking?", expected="a user, or a history", hint='--user 42, or --history "Heat (1995)"')
        if user_id not in interactions.log:
            raise InputError(
                f"there is no user {user_id!r} in the data",
                expected=f"one of {len(interactions.log):,} users",
                hint=did_you_mean(user_id, interactions.log.users, show=0) + '; somebody else: --history "Heat (1995); Ronin (1998)"',
            )
        return interactions.log.before(user_id, as_of)

    def _views(self, question: Question, context: RetrievedContext) -> list[NeighbourView]:
        return [self._neighbour(question, hit.user_id, hit.text, hit.score, score) for hit, score in context.kept]

    def _neighbour(self, question: Question, user_id: str, text: str, retriever_score: float, reranker_score: float) -> NeighbourView:
        witnesses = self.run.builder.witnesses
        view = witnesses.view(user_id, text, item_id=question.item_id, as_of=question.as_of, history=question.history)
        return NeighbourView(
            user_id=user_id,
            retriever_score=float(retriever_score),
            reranker_score=float(reranker_score),
            behaviour=text,
            in_common=_in_common(view.shared, question.history, witnesses.log.before(user_id, question.as_of), witnesses.catalogue),
            verdict_on_item=view.verdict or None,
        )

    def _recommendation(
        self, question: Question, answer: Answer, prompt: str, neighbours: list[NeighbourView], warnings: list[str]
    ) -> Recommendation:
        warnings = list(warnings)
        if answer.mass < LOW_MASS:
            warnings.append(f"the model gave Yes and No together only {answer.mass:.2f} of its probability: the answer says little")
        if answer.cut:
            warnings.append(f"the prompt was too long for the model: {answer.cut} tokens of its beginning were dropped")
        if not question.history:
            warnings.append("no history is known at that time: the answer rests on the item alone")
        return Recommendation(
            user_id=question.user_id,
            item=self._item(question.item_id),
            probability=answer.probability,
            verdict="Yes" if answer.probability >= 0.5 else "No",
            mass=answer.mass,
            neighbours=neighbours,
            prompt=prompt,
            parts=self.run.provenance,
            warnings=warnings,
        )


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
