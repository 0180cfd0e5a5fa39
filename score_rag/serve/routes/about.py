"""What every answer says of itself, and how a request becomes one: looked up, asked within its time, kept for the report."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from fastapi import Request

from score_rag.pipeline.routes import ROUTES, Known, OrderedBy
from score_rag.pipeline.serving_run import ServingRun
from score_rag.recommend.answering import Answered, warnings_of
from score_rag.serve.asking import Person, item_route
from score_rag.serve.refusals import Refusal
from score_rag.serve.service import Service

__all__ = ["Asking", "result_of"]

T = TypeVar("T")
DEADLINE = "x-deadline-ms"
_log = logging.getLogger("score_rag.serve")


class Asking:
    """One request on its way.

    Args:
        service: Who answers.
        request: What FastAPI gives.
    """

    def __init__(self, service: Service, request: Request) -> None:
        self.service = service
        self.request = request
        self.id: str = request.scope["state"]["request_id"]
        self.seconds: dict[str, float] = {}
        self._started = time.perf_counter()

    async def within(self, work: Awaitable[T]) -> T:
        """Some work, while somebody waits for it and there is time: the server's, or less where the header `X-Deadline-Ms` says so."""
        given = self.request.headers.get(DEADLINE, "")
        most = self.service.settings.deadline
        # Ten digits are months; what is no such number says nothing.
        deadline = min(most, int(given) / 1000) if re.fullmatch("[0-9]{1,10}", given) else most
        return await self.service.within(self._disconnected, work, deadline)

    async def _disconnected(self) -> None:
        while (await self.request.receive())["type"] != "http.disconnect":
            pass

    async def look_up(self, act: Callable[[ServingRun], T]) -> T:
        """A look-up, its time taken."""
        started = time.perf_counter()
        try:
            return await self.service.looked_up(act)
        finally:
            self.seconds["look-up"] = self.seconds.get("look-up", 0.0) + time.perf_counter() - started

    def about(
        self, run: ServingRun, person: Person | None, *, empty: bool = False, route: Known | None = None, why: str | None = None
    ) -> Any:
        """Route and why, status, generation, models, time by stage, warnings.

        Args:
            person: Who asked; None where nobody was.
            empty: Whether there is nothing to answer with.
            route: In place of the person's, as that of an item.
            why: Likewise; by default what `ROUTES` says.
        """
        status = "empty" if empty else "not_indexed" if person is not None and person.indexed is False else "ok"
        told = {
            "request_id": self.id,
            "status": status,
            "index_generation": run.generation,
            "models": self.service.models,
            "seconds": {name: round(value, 6) for name, value in {**self.seconds, "all": time.perf_counter() - self._started}.items()},
            "warnings": list(warnings_of(run)),
        }
        if route is not None and (person is None or route != person.route):
            told |= {"route": route, "why": why or ROUTES[route]}
        elif person is not None:
            told |= {"route": person.route, "why": why or person.why}
        return told

    def keep(self, run: ServingRun, path: str, route: str, items: Sequence[tuple[str, float]]) -> None:
        """Let the report know of this answer."""
        if self.service.requests is not None and items:
            try:
                self.service.requests.write(self.id, path, route, run.generation, items)
            except OSError as error:
                # A full disk takes the report, not the answer.
                _log.error("%s is not kept for the report: %s", self.id, error)


def result_of(run: ServingRun, person: Person, one: Answered, by: OrderedBy = "predictor") -> dict[str, Any]:
    """One item's answer; `by` is whose order its place is in."""
    item = one.asked.item
    return {
        "item_id": item.item_id,
        "name": item.name,
        "probability": one.answer.probability,
        "verdict": "Yes" if one.answer.probability >= 0.5 else "No",
        "mass": one.answer.mass,
        "route": item_route(run, person, item.item_id),
        "answered_by": by,
        "as_of": person.as_of,
        "left_out": str(one.told.left_out),
        "neighbours": [other.user_id for other in one.told.neighbours],
    }


def require(found: Any, what: str) -> Any:
    """Something that must be there.

    Raises:
        Refusal: It is not.
    """
    if found is None:
        raise Refusal(404, f"unknown_{what}", f"there is no such {what}")
    return found
