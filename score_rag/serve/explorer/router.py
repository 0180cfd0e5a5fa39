"""The explorer's addresses."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError

from score_rag.errors import InputError
from score_rag.pipeline.serving_run import ServingRun
from score_rag.serve import forms
from score_rag.serve.asking import find_items, item_route
from score_rag.serve.explorer.ask import Ask, find_look
from score_rag.serve.explorer.evidence import explained, history_rows, of_explanation
from score_rag.serve.explorer.login import login
from score_rag.serve.explorer.measured import Measuring, near
from score_rag.serve.explorer.page import page, page_route
from score_rag.serve.explorer.static import static
from score_rag.serve.explorer.suggest import some_users, suggested_items, suggested_users
from score_rag.serve.refusals import Refusal
from score_rag.serve.routes.about import Asking
from score_rag.serve.routes.ranking import ranked
from score_rag.serve.service import Service

__all__ = ["explorer"]

Asked = Annotated[Ask, Query()]


def explorer(service: Service) -> APIRouter:
    """The router."""
    router = APIRouter(include_in_schema=False, route_class=page_route(service))
    measuring = Measuring(service.pipeline)

    @router.get("/")
    async def start(request: Request) -> Response:
        asking = Asking(service, request)

        def look(run: ServingRun) -> Any:
            return {
                "users": some_users(run),
                "items": suggested_items(run, ""),
                "counts": (len(run.histories.log), len(run.histories.catalogue)),
            }

        return page(request, "start.html", ask=Ask(), **await asking.within(asking.look_up(look)))

    @router.get("/ranking")
    async def ranking(request: Request, ask: Asked) -> Response:
        asking = Asking(service, request)
        form = forms.Recommend(user_id=ask.user_id, history=None if ask.user else ask.history or None, n=ask.n)

        async def work() -> Response:
            run, person, found, by = await ranked(asking, form)
            bins = await asking.look_up(lambda _: measuring.bins())
            rows: list[dict[str, Any]] = [
                {
                    "item": one.asked.item,
                    "probability": one.answer.probability,
                    "near": near(bins, one.answer.probability),
                    "route": item_route(run, person, one.asked.item.item_id),
                    "address": ask.query(path="/why", item=one.asked.item.item_id),
                }
                for one in found
            ]
            about = asking.about(run, person, empty=not rows)
            asking.keep(run, "/ranking", person.route, [(row["item"].item_id, row["probability"]) for row in rows])
            history = history_rows(run, person.history, ask)
            total, liked = len(person.history), sum(event.liked for event in person.history)
            told: dict[str, Any] = {"history": history, "judgements": total, "liked": liked}
            return page(request, "ranking.html", ask=ask, rows=rows, about=about, by=by, **told)

        return await asking.within(work())

    @router.get("/why")
    async def why(request: Request, ask: Asked) -> Response:
        if not ask.item:
            raise InputError("no item is named", where="item", expected="an item's id or name")
        asking = Asking(service, request)

        def act(run: ServingRun) -> dict[str, Any]:
            look, found, before = explained(run, ask)
            bins = measuring.bins()
            return {**of_explanation(run, ask, look, found, before), "near": near(bins, found.look.answer.probability)}

        async def work() -> Response:
            # Names before models: what is unknown is said at once.
            await asking.look_up(lambda run: find_look(run, ask))
            return page(request, "why.html", **await service.slowly(act))

        return await asking.within(work())

    @router.post("/prompt")
    async def prompt(request: Request) -> Response:
        fields = parse_qs((await request.body()).decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=300)
        given = {name: values if name == "without" else values[0] for name, values in fields.items()}
        text = str(given.pop("prompt", "")).replace("\r\n", "\n")
        try:
            ask = Ask.model_validate(given)
        except ValidationError as error:
            raise InputError("a field of the form is of another form", found=error.errors()[0]["msg"]) from error
        asking = Asking(service, request)

        def act(run: ServingRun) -> dict[str, Any]:
            (item,) = find_items(run, [ask.item])
            room, size = run.predictor.max_tokens, run.predictor.count_tokens(text)
            if not text.strip() or size > room:
                raise InputError("the prompt is empty or too long", where="prompt", expected=f"1 to {room:,} tokens", found=f"{size:,}")
            (answer,) = run.predictor.score([text])
            return {"item": item, "probability": answer.probability, "mass": answer.mass}

        return page(request, "prompt.html", ask=ask, prompt=text, **await asking.within(service.slowly(act)))

    @router.get("/run")
    async def run_page(request: Request) -> Response:
        found = await Asking(service, request).within(service.slowly(lambda _: measuring.sections()))
        return page(request, "run.html", about=service.pipeline.description, sections=found)

    @router.get("/chart")
    async def chart(name: Annotated[str, Query(max_length=64)] = "") -> Response:
        """A picture that stands in a chart of the page before."""
        if name not in measuring.images:
            # Another worker made the page.
            await service.slowly(lambda _: measuring.sections())
        found = measuring.images.get(name)
        if found is None:
            raise Refusal(404, "unknown_path", "there is no such picture")
        return Response(found, media_type="image/png")

    @router.get("/suggest/users")
    async def users(request: Request, ask: Asked) -> Response:
        found = await Asking(service, request).look_up(lambda run: suggested_users(run, ask.user))
        return page(request, "options.html", options=found)

    @router.get("/suggest/items")
    async def items(request: Request, ask: Asked) -> Response:
        typed = ask.item or ask.add
        found = await Asking(service, request).look_up(lambda run: suggested_items(run, typed))
        begun, _, _ = ask.add.rpartition(";")
        before = f"{begun}; " if begun and not ask.item else ""
        return page(request, "options.html", options=[before + item.name for item in found])

    # Side by side: each keeps its own way with errors.
    router.routes += [*login(service).routes, *static().routes]
    return router
