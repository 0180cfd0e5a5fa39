"""What is known of an item or a user: `/v1/items/{id}`, `/v1/users/{id}`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request

from score_rag.pipeline.serving_run import ServingRun
from score_rag.serve.asking import find_items, find_person
from score_rag.serve.routes.about import Asking
from score_rag.serve.service import Service

__all__ = ["catalogue"]

IdPath = Annotated[str, Path(min_length=1, max_length=512)]


def catalogue(service: Service) -> APIRouter:
    """The router."""
    router = APIRouter(prefix="/v1", tags=["catalogue"])

    @router.get("/items/{item:path}")
    async def item(item: IdPath, request: Request) -> Any:
        """An item by id or name: its facts, how often it was judged and liked, whether the models were trained on it."""
        asking = Asking(service, request)

        def look(run: ServingRun) -> Any:
            (found,) = find_items(run, [item])
            liked, judged = run.writer.evidence.rates.counts(found.item_id, None)
            told = {
                "item_id": found.item_id,
                "name": found.name,
                "title": found.title,
                "year": found.year,
                "genres": found.genres,
                "creators": found.creators,
                "keywords": found.keywords,
                "judged": judged,
                "liked": liked,
                "trained": not run.is_later(found.item_id),
            }
            return {"item": told, "about": asking.about(run, None)}

        return await asking.within(asking.look_up(look))

    @router.get("/users/{user:path}")
    async def user(user: IdPath, request: Request, last: Annotated[int, Query(ge=0, le=1000)] = 20) -> Any:
        """A user: how much is known of them, their last judgements, and whether the index has a document of them."""
        asking = Asking(service, request)

        def look(run: ServingRun) -> Any:
            person = find_person(run, user, None, None)
            events = list(person.history)
            names = run.histories.catalogue
            shown = [
                {"item_id": one.item_id, "name": names[one.item_id].name, "liked": one.liked, "timestamp": one.timestamp}
                for one in (events[-last:] if last else [])
            ]
            told = {
                "user_id": person.user_id,
                "judgements": len(events),
                "liked": sum(one.liked for one in events),
                "first": events[0].timestamp,
                "last": events[-1].timestamp,
                "indexed": person.indexed,
                "trained": person.user_id in run.trained_users,
                "history": shown,
            }
            return {"user": told, "about": asking.about(run, person)}

        return await asking.within(asking.look_up(look))

    return router
