"""`/v1/feedback`: judgements, on the disk before they are acknowledged, known to every answer that is asked for afterwards; and forgotten.

What the log waits for is bounded in number and time, as answers are. What is late and not begun is never written; what was begun may be
written and not acknowledged, which sending it again finds out: it is `known`.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request

from score_rag.arguments import read_time
from score_rag.data.log import Item
from score_rag.data.plain import plain_item
from score_rag.feedback.record import Feedback, natural_id
from score_rag.serve import forms
from score_rag.serve.refusals import Refusal
from score_rag.serve.routes.about import Asking
from score_rag.serve.service import Service

__all__ = ["feedback"]

IdPath = Annotated[str, Path(min_length=1, max_length=512)]

_AHEAD = 300
"""Seconds that a client's clock may be ahead."""


def feedback(service: Service) -> APIRouter:
    """The router."""
    router = APIRouter(prefix="/v1", tags=["feedback"])

    async def take(body: forms.FeedbackIn | list[forms.FeedbackIn], request: Request, *, overwrite: bool) -> Any:
        asking = Asking(service, request)
        given = body if isinstance(body, list) else [body]
        wanted = [_read(service, one, place) for place, one in enumerate(given)]
        done = await asking.within(service.write(lambda: service.feedback.append(wanted, overwrite=overwrite)))
        for result, ids in (("added", done.added), ("replaced", done.replaced), ("known", done.known)):
            service.metrics.feedback.labels(result).inc(len(ids))
        told = {"added": done.added, "replaced": done.replaced, "known": done.known}
        return {**told, "request_id": asking.id}

    @router.post("/feedback")
    async def post(body: forms.FeedbackIn | forms.FeedbackList, request: Request) -> Any:
        """One judgement or up to 1,000. An `event_id` that is known already stays as it is, so a request can be sent again."""
        return await take(body, request, overwrite=False)

    @router.put("/feedback")
    async def put(body: forms.FeedbackIn | forms.FeedbackList, request: Request) -> Any:
        """The same; an `event_id` that is known already is overwritten."""
        return await take(body, request, overwrite=True)

    @router.delete("/feedback/{event_id:path}")
    async def forget(event_id: IdPath, request: Request) -> Any:
        """Forget one judgement, for good; `forgotten` is empty where there is none of that id, so a request can be sent again."""
        return await forgotten(Asking(service, request), [event_id], None)

    @router.delete("/users/{user:path}/feedback")
    async def forget_user(user: IdPath, request: Request) -> Any:
        """Forget all judgements that a user sent; the data's own stay. Can be sent again."""
        return await forgotten(Asking(service, request), [], user)

    async def forgotten(asking: Asking, event_ids: list[str], user: str | None) -> Any:
        done = await asking.within(service.write(lambda: service.feedback.forget(event_ids, user_id=user)))
        service.metrics.feedback.labels("forgotten").inc(len(done))
        return {"forgotten": done, "request_id": asking.id}

    return router


def _read(service: Service, one: forms.FeedbackIn, place: int) -> Feedback:
    where = f"[{place}]"
    if (one.liked is None) == (one.rating is None):
        raise Refusal(422, "invalid", "say whether it was liked, or how it was rated", where=where, expected="liked or rating, one of them")
    liked = one.liked if one.liked is not None else bool(one.rating >= service.pipeline.data.threshold)  # type: ignore[operator]
    now = int(time.time())
    when = read_time(one.timestamp)
    if when is not None and not 0 <= when <= now + _AHEAD:
        raise Refusal(
            422, "invalid", "a judgement cannot be of the future", where=f"{where}.timestamp", expected=f"at most {now}", found=when
        )
    item = None
    if one.item is not None:
        facts = one.item
        lists = tuple(facts.genres), tuple(facts.creators), tuple(facts.keywords)
        item = plain_item(Item(one.item_id, facts.title, facts.year, *lists))
    at = now if when is None else when
    name = one.event_id or natural_id(one.user_id, one.item_id, at)
    return Feedback(name, one.user_id, one.item_id, liked, at, one.request_id, item)
