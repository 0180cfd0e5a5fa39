"""`/v1/rerank` in Jina's form, so that whoever speaks it (Gorse's ranker, vector stores, agents) can let this run order items, or texts.

Documents that name items of the catalogue are ordered by P(like) for the user or the history that the query names. Where none does, the
reranker's cross-encoder compares query and texts.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
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

_PART = 64
"""Texts that the cross-encoder compares in one go."""
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
            hint=error.hint or 'to have the documents compared as texts: "by": "texts"',
        ) from error


async def rerank(service: Service, asking: Asking, form: forms.Rerank) -> Any:
    """Documents best first: items by P(like), where any is named; otherwise texts, by the cross-encoder.

    Raises:
        Refusal: Items are named and the query is no user and no history; or a user is, and no document names an item.
    """
    texts = [one if isinstance(one, str) else one.text for one in form.documents]

    def look(run: ServingRun) -> tuple[ServingRun, list[Item | None]]:
        if form.by == "texts":
            return run, [None] * len(texts)
        names = item_names(run.histories.catalogue)
        # Whoever renders an item as a text puts its name into the first line.
        return run, [names.find(text).item or names.find(text.partition("\n")[0].strip()).item for text in texts]

    async def work() -> Any:
        run, items = await asking.look_up(look)
        if form.by == "items" or any(item is not None for item in items):
            told = await _items(service, asking, run, form.query, items)
        else:
            told = await _texts(service, asking, run, form, texts)
        scores = told.pop("scores")
        order = sorted(range(len(texts)), key=lambda place: (scores[place] is None, -(scores[place] or 0.0)))
        results = [
            {
                "index": place,
                "relevance_score": scores[place] or 0.0,
                **({"document": {"text": texts[place]}} if form.return_documents else {}),
            }
            for place in order[: form.top_n]
        ]
        return {"model": run.pipeline.name, "results": results, "usage": {"total_tokens": 0}, **told}

    return await asking.within(work())


async def _items(service: Service, asking: Asking, run: ServingRun, query: str, items: Sequence[Item | None]) -> dict[str, Any]:
    """By P(like). What names no item comes last, with relevance 0, and in `unknown`."""

    def look(_: ServingRun) -> tuple[Person, list[FoundQuestion]]:
        person = find_asker(run, query)
        return person, questions_of(person, [item for item in items if item is not None])

    person, asked = await asking.look_up(look)
    found = iter(await service.answers(run, asked, reranked=False, seconds=asking.seconds))
    scores = [next(found).answer.probability if item is not None else None for item in items]
    kept = [(item.item_id, score) for item, score in zip(items, scores, strict=True) if item is not None and score is not None]
    asking.keep(run, "/v1/rerank", person.route, kept)
    unknown = [place for place, item in enumerate(items) if item is None]
    about = asking.about(run, person, empty=len(unknown) == len(items))
    return {"scores": scores, "ordered_by": "predictor", "unknown": unknown, "about": about}


async def _texts(service: Service, asking: Asking, run: ServingRun, form: forms.Rerank, texts: Sequence[str]) -> dict[str, Any]:
    """By the cross-encoder: its logits as shares of one."""
    query = form.query.strip()
    if form.by is None and find_user(run.histories.log, query) in run.histories.log:
        raise Refusal(
            404,
            "unknown_item",
            "the query is a user's id, and no document names an item of the catalogue",
            expected='ids or names of items; or a query in words, or "by": "texts"',
            found=f"{len(texts)} other texts",
        )
    started = time.perf_counter()
    scores: list[float] = []
    for first in range(0, len(texts), _PART):
        # Part by part: what nobody waits for any more is not computed, and others take turns.
        part = texts[first : first + _PART]
        logits = await service.slowly(lambda run, part=part: run.scorer.score_pairs([query] * len(part), part))  # type: ignore[misc]
        scores += [1 / (1 + math.exp(-float(logit))) for logit in logits]
    asking.seconds["reranker"] = time.perf_counter() - started
    return {"scores": scores, "ordered_by": "reranker", "unknown": [], "about": asking.about(run, None, route="texts only")}
