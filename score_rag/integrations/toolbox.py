"""What an agent may ask a finished run: five questions with typed answers. MCP, LlamaIndex and LangChain offer the same five.

toolbox = Toolbox(open_recommender(load_pipeline("sample")))
ranking = await toolbox.recommend(user_id="42", n=5)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from pydantic import Field

from score_rag.arguments import read_count, read_id, read_text, read_time
from score_rag.context.neighbours import Witnesses
from score_rag.context.question import Question
from score_rag.data.log import Event
from score_rag.errors import InputError
from score_rag.integrations.answers import Explanation, ItemFacts, Items, OtherUser, OtherUsers, PromptPart, Ranking, Score, Scores
from score_rag.recommend.answering import find_alike
from score_rag.recommend.question import find_history
from score_rag.recommend.recommender import Recommender
from score_rag.recommend.search import search_items

__all__ = ["QUESTIONS", "Toolbox"]

UserId = Annotated[str | None, Field(description="Id of a user of the data. Either this or a history is needed.")]
History = Annotated[
    list[str] | None,
    Field(
        description='What somebody outside the data judged: names or ids of items; a minus before what was disliked, as "-Grease (1978)".'
    ),
]
AsOf = Annotated[str | None, Field(description="A date such as 2021-06-30: only what was known before is used. Null means now.")]
Item = Annotated[str, Field(description="An item's id, or its whole name such as Heat (1995).")]

MOST = 100
"""Most items or users that one question may ask for."""


class Toolbox:
    """Five questions to a recommender. All are coroutines: models run in threads of the recommender's own, and calls that wait together are
    answered together.

    Args:
        recommender: Of a finished run.
    """

    def __init__(self, recommender: Recommender) -> None:
        self.recommender = recommender

    async def recommend(
        self,
        user_id: UserId = None,
        n: Annotated[int, Field(ge=1, le=MOST, description="How many items.")] = 10,
        history: History = None,
        as_of: AsOf = None,
    ) -> Ranking:
        """The items that a user will most likely like, best first, of those that they have not judged yet."""
        _asker(user_id, history)
        found = await self.recommender.atop(user_id, _few(n, "n"), history=history, as_of=as_of)
        route = found[0].route if found else self.recommender.run.guard.route
        return Ranking(user_id=user_id, route=route, items=[Score.of(one) for one in found])

    async def score(
        self,
        items: Annotated[list[str], Field(min_length=1, max_length=MOST, description="Ids or whole names of items.")],
        user_id: UserId = None,
        history: History = None,
        as_of: AsOf = None,
    ) -> Scores:
        """How probably a user likes each of some items, in the order given."""
        _asker(user_id, history)
        _few(len(items), "items")
        ask = self.recommender.arecommend
        found = await asyncio.gather(*(ask(user_id, item, history=history, as_of=as_of) for item in items))
        return Scores(user_id=user_id, scores=[Score.of(one) for one in found])

    async def explain(
        self,
        item: Item,
        user_id: UserId = None,
        history: History = None,
        as_of: AsOf = None,
        with_prompt: Annotated[bool, Field(description="Whether to give the exact prompt too.")] = False,
        with_parts: Annotated[bool, Field(description="Whether to measure what each part of the prompt changes; takes seconds.")] = False,
    ) -> Explanation:
        """Why: the answer for one item with its evidence, the similar users behind it and what they share with the user."""
        _asker(user_id, history)
        if not with_parts:
            return Explanation.told(await self.recommender.arecommend(user_id, item, history=history, as_of=as_of), prompt=with_prompt)
        from score_rag.explain.explainer import explain_question

        found = await asyncio.to_thread(lambda: explain_question(self.recommender.run, user_id, item, history=history, as_of=as_of))
        told = Explanation.told(found.recommendation, prompt=with_prompt)
        return told.model_copy(update={"prompt_parts": PromptPart.of(found.look)})

    async def neighbours(
        self,
        user_id: UserId = None,
        n: Annotated[int, Field(ge=1, le=MOST, description="How many users.")] = 10,
        history: History = None,
        as_of: AsOf = None,
    ) -> OtherUsers:
        """Users whose behaviour is most like the asker's, most alike first, and what they did in words."""
        _asker(user_id, history)
        return await asyncio.to_thread(self._neighbours, user_id, _few(n, "n"), history, as_of)

    async def search_items(
        self,
        words: Annotated[str, Field(description="An id, a name, a part of a name, a genre or a maker.")],
        n: Annotated[int, Field(ge=1, le=MOST, description="How many items.")] = 10,
    ) -> Items:
        """Items of the catalogue that are called or told of so, best match first. The other tools want ids or whole names."""
        asked, most = read_text(words, where="words"), _few(n, "n")
        catalogue = await asyncio.to_thread(lambda: self.recommender.run.histories.catalogue)
        return Items(items=[ItemFacts.of(item) for item in search_items(catalogue, asked, most=most)])

    def _neighbours(self, user_id: str | None, n: int, history: list[str] | None, as_of: str | None) -> OtherUsers:
        run, when = self.recommender.run, read_time(as_of)
        user = None if user_id is None else read_id(user_id, where="user_id")
        events = find_history(run.histories, user, history, when)
        if not events:
            raise InputError("nothing is known of this user by then: they are like nobody", hint='give a history, as ["Heat (1995)"]')
        return OtherUsers(
            users=[
                OtherUser(
                    user_id=hit.user_id,
                    similarity=hit.score,
                    behaviour=hit.text,
                    in_common=_both_liked(run.writer.witnesses, events, hit.user_id, when),
                )
                for hit in find_alike(run, Question(user, "", events, when), n)
            ]
        )

    def questions(self) -> dict[str, Callable[..., Coroutine[Any, Any, Any]]]:
        """The five by name, as frameworks take functions: types and descriptions stand in their signatures."""
        return {name: getattr(self, name) for name in QUESTIONS}


QUESTIONS = ("recommend", "score", "explain", "neighbours", "search_items")


def _both_liked(witnesses: Witnesses, events: list[Event], other: str, when: int | None) -> list[str]:
    """Names of what both liked, the other's most recent first; of training events, as documents are."""
    mine = {event.item_id for event in events if event.liked}
    theirs = [event.item_id for event in witnesses.log.before(other, when) if event.liked and event.item_id in mine]
    return [witnesses.catalogue[item_id].name for item_id in list(dict.fromkeys(reversed(theirs)))[:5]]


def _asker(user_id: str | None, history: list[str] | None) -> None:
    """Raises: InputError: Neither a user nor a history, or both."""
    if user_id is not None and history is not None:
        raise InputError("a user of the data brings a history; another one cannot be added", expected="user_id or history")
    if user_id is None and not history:
        raise InputError("neither a user nor a history is given", expected="one of them", hint='user_id "42", or history ["Heat (1995)"]')


def _few(n: int, where: str) -> int:
    n = read_count(n, where=where)
    if n > MOST:
        raise InputError("so many are not answered at once", where=where, expected=f"at most {MOST}", found=n)
    return n
