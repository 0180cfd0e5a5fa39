"""How likely somebody likes items: `/v1/score`, `/v1/recommend`, `/v1/explain`, `/v1/neighbours`, and `/v1/rerank` in Jina's form."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request

from score_rag.context.question import Question
from score_rag.explain.explainer import Explainer
from score_rag.pipeline.serving_run import ServingRun
from score_rag.recommend.answering import explain_answer, find_alike
from score_rag.recommend.question import FoundQuestion
from score_rag.serve import forms
from score_rag.serve.asking import Person, at_its_time, find_asked, find_items, find_person, item_route, questions_of
from score_rag.serve.refusals import Refusal
from score_rag.serve.routes.about import Asking, result_of
from score_rag.serve.routes.ranking import ranked
from score_rag.serve.routes.rerank import rerank
from score_rag.serve.service import Service

__all__ = ["answers"]

UserPath = Annotated[str, Path(min_length=1, max_length=512)]


def answers(service: Service) -> APIRouter:
    """The router."""
    router = APIRouter(prefix="/v1", tags=["answers"])

    @router.post("/score")
    async def score(form: forms.Score, request: Request) -> Any:
        """P(like) of each of 1 to 1,000 items, in the order asked."""
        asking = Asking(service, request)

        def look(run: ServingRun) -> tuple[ServingRun, Person, list[Person], list[FoundQuestion]]:
            person = find_person(run, form.user_id, form.history, form.as_of)
            items = find_items(run, form.items)
            persons = [at_its_time(run, person, item) for item in items]
            return run, person, persons, [questions_of(then, [item])[0] for then, item in zip(persons, items, strict=True)]

        async def work() -> Any:
            run, person, persons, asked = await asking.look_up(look)
            found = await service.answers(run, asked, reranked=form.reranked, seconds=asking.seconds)
            results = [result_of(run, then, one) for then, one in zip(persons, found, strict=True)]
            asking.keep(run, "/v1/score", person.route, [(one["item_id"], one["probability"]) for one in results])
            return {"results": results, "reranked": form.reranked, "about": asking.about(run, person)}

        return await asking.within(work())

    async def ranking(form: forms.Recommend, request: Request) -> Any:
        asking = Asking(service, request)

        async def work() -> Any:
            run, person, found, by = await ranked(asking, form)
            results = [{"rank": form.offset + place, **result_of(run, person, one, by)} for place, one in enumerate(found, start=1)]
            asking.keep(run, "/v1/recommend", person.route, [(one["item_id"], one["probability"]) for one in results])
            return {"results": results, "ordered_by": by, "about": asking.about(run, person, empty=not results)}

        return await asking.within(work())

    @router.get("/recommend/{user:path}")
    async def recommend_user(
        user: UserPath,
        request: Request,
        n: Annotated[int, Query(ge=1, le=100)] = 10,
        offset: Annotated[int, Query(ge=0, le=1000)] = 0,
        category: Annotated[list[forms.Text] | None, Query(max_length=50)] = None,
        exclude_seen: bool = True,
        as_of: Annotated[str | None, Query(max_length=64)] = None,
    ) -> Any:
        """The best items for a user of the data."""
        form = forms.Recommend(user_id=user, n=n, offset=offset, categories=category, exclude_seen=exclude_seen, as_of=as_of)
        return await ranking(form, request)

    @router.post("/recommend")
    async def recommend(form: forms.Recommend, request: Request) -> Any:
        """The best items for a user, for a history, or (where nothing is known) for anybody."""
        return await ranking(form, request)

    @router.post("/explain")
    async def explain(form: forms.Explain, request: Request) -> Any:
        """One answer with its evidence, its prompt and its users, as `score-rag recommend` shows it; with `parts`, taken apart."""
        asking = Asking(service, request)
        if form.parts and not form.rerank:
            raise Refusal(422, "invalid", "parts are those of the reranked prompt", where="rerank", expected="true, or no parts")

        def look(run: ServingRun) -> tuple[ServingRun, Person, list[FoundQuestion]]:
            person, item = find_asked(run, form.user_id, form.history, form.as_of, form.item)
            return run, person, questions_of(person, [item])

        async def work() -> Any:
            run, person, asked = await asking.look_up(look)
            out: dict[str, Any] = {"as_of": person.as_of}
            if form.parts:
                explanation = await service.slowly(lambda _: Explainer(run).explain_found(asked[0]))
                told = explanation.recommendation
                out["explanation"] = explanation.parts()
            else:
                (found,) = await service.answers(run, asked, reranked=form.rerank, seconds=asking.seconds)
                told = await asking.look_up(lambda _: explain_answer(run, found))
            route = item_route(run, person, told.item.item_id)
            out["result"] = {**told.to_dict(), "route": route, "answered_by": told.route}
            asking.keep(run, "/v1/explain", route, [(told.item.item_id, told.probability)])
            return {**out, "about": asking.about(run, person, route=route)}

        return await asking.within(work())

    @router.get("/neighbours/{user:path}")
    async def neighbours(
        user: UserPath,
        request: Request,
        n: Annotated[int, Query(ge=1, le=100)] = 10,
        as_of: Annotated[str | None, Query(max_length=64)] = None,
    ) -> Any:
        """The users whose behaviour is most like this one's (CAR), from their history as it is now."""
        asking = Asking(service, request)

        def look(run: ServingRun) -> Any:
            person = find_person(run, user, None, as_of)
            return run, person, find_alike(run, Question(person.user_id, "", person.history, person.as_of), n)

        async def work() -> Any:
            run, person, found = await asking.look_up(look)
            results = [
                {
                    "user_id": hit.user_id,
                    "similarity": hit.score,
                    "behaviour": hit.text,
                    "known_until": hit.known_until,
                    "judgements": hit.events,
                }
                for hit in found
            ]
            return {"results": results, "about": asking.about(run, person, empty=not results)}

        return await asking.within(work())

    @router.post("/rerank")
    async def rerank_(form: forms.Rerank, request: Request) -> Any:
        """Jina's form. Items (ids, names) for a user's id or a history in names: P(like). Any other texts: the cross-encoder's scores."""
        return await rerank(service, Asking(service, request), form)

    return router
