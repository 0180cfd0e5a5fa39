"""The best items for somebody, for programs and for pages."""

from __future__ import annotations

from typing import NamedTuple

from score_rag.pipeline.routes import OrderedBy
from score_rag.pipeline.serving_run import ServingRun
from score_rag.recommend.answering import Answered
from score_rag.recommend.question import FoundQuestion
from score_rag.serve import forms
from score_rag.serve.asking import Person, find_person, propose, questions_of
from score_rag.serve.routes.about import Asking

__all__ = ["Ranked", "ranked"]


class Ranked(NamedTuple):
    """What was asked of, who asked, the answers best first, and whose order it is: `predictor` or `recommender`."""

    run: ServingRun
    person: Person
    found: list[Answered]
    by: OrderedBy


async def ranked(asking: Asking, form: forms.Recommend) -> Ranked:
    """The part of a ranking that a form asks for."""

    def look(run: ServingRun) -> tuple[ServingRun, Person, list[FoundQuestion]]:
        person = find_person(run, form.user_id, form.history, form.as_of)
        wanted = form.offset + form.n
        told = {"candidates": form.candidates, "categories": form.categories, "exclude_seen": form.exclude_seen}
        return run, person, questions_of(person, propose(run, person, wanted, **told))  # type: ignore[arg-type]  # by name

    run, person, asked = await asking.look_up(look)
    by = run.guard.route
    if by == "recommender":
        # Its order stands, and only what is shown is asked about.
        asked = asked[form.offset : form.offset + form.n]
    found = await asking.service.answers(run, asked, reranked=False, seconds=asking.seconds)
    if by == "predictor":
        # Sorting is stable: of equal probabilities, the recommender's order decides.
        found = sorted(found, key=lambda one: -one.answer.probability)[form.offset : form.offset + form.n]
    return Ranked(run, person, found, by)
