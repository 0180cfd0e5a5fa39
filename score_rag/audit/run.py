"""A run, audited: documents, vectors, neighbours, assessments, and answers with later events flipped or removed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from score_rag.audit.check import Audit, Check, compared, draw, moment
from score_rag.data.interactions import Interactions, event_rows
from score_rag.data.log import Event
from score_rag.pipeline.run import Run
from score_rag.predictor.predictor import Answer
from score_rag.progress import Report, silent
from score_rag.prompts import find_prompt

__all__ = ["audit_run"]

_MOMENTS = 5
"""Whole worlds are made again for so many moments: each takes about as long as reading the data."""
_ASSESSED = 25
"""Assessments made again, each from a world that ends at its question."""
_BY_STORE = 30
"""Questions put to the store too, one by one."""


def audit_run(run: Run, finished: Sequence[str], *, sample: int = 300, report: Report = silent) -> Audit:
    """Audit a run's artefacts.

    Args:
        run: The run; its data stage is finished.
        finished: Names of the stages that may be looked at.
        sample: How many documents and questions to look at.
    """
    seed = run.pipeline.seed
    asked = list(event_rows(draw(run.interactions.events, sample, seed)))
    looks: dict[str, Callable[[], Check | str]] = {
        "documents": lambda: _documents(run, sample),
        "crm": lambda: _vectors(run),
        "retriever": lambda: _neighbours(run, asked),
        "reranker": lambda: _assessments(run),
        "predictor": lambda: _answers(run, asked),
    }
    checks: list[Check] = []
    notes: list[str] = []
    for done, (stage, look) in enumerate(looks.items(), start=1):
        if stage in finished:
            found = look()
            if isinstance(found, str):
                notes.append(found)
            else:
                checks.append(found)
        report("auditing the run", done, len(looks))
    return Audit(tuple(checks), tuple(notes))


def _documents(run: Run, sample: int) -> Check:
    """A document says what describing exactly its user's training judgements up to its time says."""
    frame = pl.read_parquet(run.folder("documents") / "documents.parquet")
    count = min(sample, len(frame))
    some = frame[np.sort(np.random.default_rng(run.pipeline.seed).choice(len(frame), count, replace=False))]
    told = _by_user(run.interactions.learned.filter(~pl.col("sampled")), some["user_id"])
    wrong = []
    for row in some.to_dicts():
        known = [event for event in told.get(row["user_id"], ()) if event.timestamp <= row["known_until"]]
        if (len(known), run.describer.describe(known)) != (row["events"], row["text"]):
            wrong.append(f"document {row['document_id']}: does not describe exactly the training events up to {moment(row['known_until'])}")
    return compared("documents", count, "documents, each describing exactly the training events up to its time", wrong)


def _vectors(run: Run) -> Check:
    """The recommender's vectors of users come from training judgements alone."""
    from score_rag.crm.artefacts import read_vectors
    from score_rag.crm.registry import read_model

    users, stored = read_vectors(run.folder("crm"), "users")
    vectors = read_model(run.folder("crm")).bind(run.interactions.train_log).user_vectors(users)
    # Another machine may add in another order; an event more or less moves a vector far more than that.
    off = np.abs(vectors - stored["vectors"]).max(axis=1) > 1e-4
    wrong = [f"user {users[place]}: the vector does not come from the training events alone" for place in np.flatnonzero(off)]
    return compared("vectors", len(users), "user vectors of the recommender, from training events alone", wrong)


def _neighbours(run: Run, asked: Sequence[Event]) -> Check:
    """Every retrieved document is another user's and current at the question's time; some questions go to the store too."""
    from score_rag.retriever.retriever import UserQuery

    finder = run.make_finder(None)
    questions = finder.questions(asked)
    facts = {row["document_id"]: row for row in run.index.documents.to_dicts()}
    found = [(event, hit.document_id) for event, hits in zip(asked, finder.retrieve(questions), strict=True) for hit in hits]
    for event, question in list(zip(asked, questions, strict=True))[:: max(1, len(asked) // _BY_STORE)]:
        if text := finder.query(question):
            nodes = run.retriever.retrieve(UserQuery(text, user_id=event.user_id, as_of=event.timestamp))
            found += [(event, node.node.node_id) for node in nodes]
    wrong = []
    for event, name in found:
        row = facts[name]
        if row["user_id"] == event.user_id:
            wrong.append(f"user {event.user_id} is their own neighbour")
        elif not row["known_until"] < event.timestamp <= row["superseded_at"]:
            wrong.append(
                f"user {event.user_id} asked at {moment(event.timestamp)}: document {name} of {moment(row['known_until'])} was not current"
            )
    return compared(
        "neighbours", len(found), f"documents retrieved for {len(asked):,} questions, each of another user and current at that time", wrong
    )


def _assessments(run: Run) -> Check | str:
    """A kept assessment of the offline assessor is what it says in a world that ends before the question."""
    from score_rag.reranker.assess import assess, planned_calls
    from score_rag.reranker.examples import sample_requests
    from score_rag.reranker.offline import OFFLINE_MODEL, OfflineAssessor

    pipeline, world = run.pipeline, run.interactions
    settings = pipeline.reranker
    if settings.supervision == "measured":
        return "not checked: assessments, because the reranker was taught without any"
    if settings.assessor != OFFLINE_MODEL:
        return f"not checked: assessments of {settings.assessor}, because that needs new calls"
    requests = sample_requests(world, run.describer, settings.pairs, history=pipeline.data.history, seed=pipeline.seed)
    out, prompt = run.folder("reranker") / "assessments.jsonl", find_prompt(settings.assess_prompt)
    of = "assessments, each reproduced without any event from its question on"
    lost = planned_calls(requests, settings, prompt=prompt, out=out)
    if lost:
        return compared("assessments", len(requests), of, [f"{lost} questions of this run have no stored answer"], lost)
    kept = assess(requests, settings, prompt=prompt, out=out)
    some = list(zip(requests, kept, strict=True))[:: max(1, len(requests) // _ASSESSED)]
    wrong = []
    for request, answer in some:
        assert answer is not None, "none is lost"
        past = world.with_events(world.events.filter(pl.col("timestamp") < request.as_of))
        if answer.characteristics != OfflineAssessor(past).characteristics(request.user_id, request.item_id, request.as_of):
            wrong.append(
                f"user {request.user_id}, item {request.item_id} at {moment(request.as_of)}: the assessment changes without later events"
            )
    return compared("assessments", len(some), of, wrong)


class _Elsewhere(Run):
    """The same trained run over other events."""

    def __init__(self, run: Run, interactions: Interactions) -> None:
        super().__init__(run.pipeline, run.folder)
        # Cached properties look here first, so nothing trained is opened twice.
        vars(self).update(interactions=interactions, index=run.index, encoder=run.encoder, scorer=run.scorer, predictor=run.predictor)


def _answers(run: Run, asked: Sequence[Event]) -> Check:
    """Prompts and probabilities are bit-equal where all labels from the question's second on are flipped, or all those events removed."""
    events = run.interactions.events
    # The sampled rows are asked a few moments at a time: the moment of one of them, together with rows that are moved there.
    groups = [list(group) for group in np.array_split(np.arange(len(asked)), min(_MOMENTS, len(asked)))]
    wrong, told = [], 0
    for group in groups:
        now = asked[group[len(group) // 2]].timestamp
        first = int(events["timestamp"].search_sorted(now, side="left"))
        # Moved to the first row of that second, so that no policy of ties makes anything within it earlier.
        moved = [asked[place]._replace(timestamp=now, row=first) for place in group]
        later = pl.col("timestamp") >= now
        others = {
            "labels flipped": events.with_columns(label=pl.when(later).then(1 - pl.col("label")).otherwise(pl.col("label"))),
            "events removed": events.filter(~later),
        }
        texts, answers = _ask(run, moved)
        for name, frame in others.items():
            if not len(frame):
                continue
            there, given = _ask(_Elsewhere(run, run.interactions.with_events(frame)), moved)
            told += len(moved)
            for event, *pair in zip(moved, texts, there, answers, given, strict=True):
                if pair[0] != pair[1] or pair[2] != pair[3]:
                    what = "prompt" if pair[0] != pair[1] else "probability"
                    wrong.append(f"user {event.user_id}, item {event.item_id} at {moment(now)}: the {what} changes with later {name}")
    return compared("answers", told, "prompts and probabilities, each with later labels flipped or events removed", wrong)


def _ask(run: Run, events: Sequence[Event]) -> tuple[list[str], list[Answer]]:
    _, told = run.write(run.finder.questions(events))
    texts = [one.text for one in told]
    return texts, run.predictor.score(texts)


def _by_user(events: pl.DataFrame, users: pl.Series) -> dict[str, list[Event]]:
    own: dict[str, list[Event]] = {}
    wanted = set(users.to_list())
    for event in event_rows(events.filter(pl.col("user_id").cast(pl.String()).is_in(list(wanted)))):
        own.setdefault(event.user_id, []).append(event)
    return own
