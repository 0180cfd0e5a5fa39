"""`/v1/rerank` in Jina's form, so that whoever speaks it (Gorse's ranker, vector stores, agents) can let this run order items."""

from __future__ import annotations

import re
from typing import Any

from score_rag.data.log import Item
from score_rag.errors import InputError
from score_rag.pipeline.serving_run import ServingRun
from score_rag.recommend.names import find_user, item_names
from score_rag.recommend.question import FoundQuestion
from score_rag.serve import forms
from score_rag.serve.asking import Person, find_person, questions_of
from score_rag.serve.refusals import Refusal
from score_rag.serve.routes.about import Asking
from score_rag.serve.service import Service

__all__ = ["find_asker", "rerank"]

_USER = re.compile(r"\s*(?:user[:= ]\s*)?(\S.*?)\s*", re.IGNORECASE)


def find_asker(run: ServingRun, query: str) -> Person:
    """Who a query speaks of: a user's id (`42`, `user: 42`), otherwise a history in names.

    Raises:
        Refusal: It is neither.
    """
    match = _USER.fullmatch(query)
    name = find_user(run.histories.log, match[1]) if match else ""
    if name in run.histories.log:
        return find_person(run, name, None, None)
    try:
        return find_person(run, None, query, None)
    except InputError as error:
        raise Refusal(
            404,
            "unknown_user",
            "the query is no user's id, and no history in names",
            expected='42, or "Heat (1995); -Grease (1978)"',
            found=error.found,
            hint=error.hint,
        ) from error


async def rerank(service: Service, asking: Asking, form: forms.Rerank) -> Any:
    """Documents by P(like), best first. One that names no item of the catalogue comes last, with relevance 0, and in `unknown`."""
    texts = [one if isinstance(one, str) else one.text for one in form.documents]

    def look(run: ServingRun) -> tuple[ServingRun, Person, list[Item | None], list[FoundQuestion]]:
        person = find_asker(run, form.query)
        names = item_names(run.histories.catalogue)
        # Whoever renders an item as a text puts its name into the first line.
        items = [names.find(text).item or names.find(text.partition("\n")[0].strip()).item for text in texts]
        return run, person, items, questions_of(person, [item for item in items if item is not None])

    async def work() -> Any:
        run, person, items, asked = await asking.look_up(look)
        found = iter(await service.answers(run, asked, reranked=False, seconds=asking.seconds))
        scores = [next(found).answer.probability if item is not None else None for item in items]
        order = sorted(range(len(items)), key=lambda place: (scores[place] is None, -(scores[place] or 0.0)))
        results = [
            {
                "index": place,
                "relevance_score": scores[place] or 0.0,
                **({"document": {"text": texts[place]}} if form.return_documents else {}),
            }
            for place in order[: form.top_n]
        ]
        kept = [(item.item_id, score) for item, score in zip(items, scores, strict=True) if item is not None and score is not None]
        asking.keep(run, "/v1/rerank", person.route, kept)
        unknown = [place for place, item in enumerate(items) if item is None]
        about = asking.about(run, person, empty=len(unknown) == len(items))
        return {"model": run.pipeline.name, "results": results, "usage": {"total_tokens": 0}, "unknown": unknown, "about": about}

    return await asking.within(work())
