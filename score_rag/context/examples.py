"""Which training events become questions, and the groups of them that are packed into one sequence."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from score_rag.context.evidence import KINDS
from score_rag.context.finder import ContextFinder, RetrievedContext
from score_rag.context.writer import QuestionWriter
from score_rag.data.interactions import Interactions, event_rows
from score_rag.data.log import Event
from score_rag.predictor.packing import PromptGroup
from score_rag.predictor.settings import BaseTraining
from score_rag.progress import Report, silent

__all__ = ["group_questions", "sample_events", "spread_out"]

_GROUPED = 16
"""Questions of a sequence whose prompts tell no history: they share the instructions alone."""


def sample_events(
    interactions: Interactions, split: str, count: int | None, *, seed: int, least: int = 3, among: pl.DataFrame | None = None
) -> list[Event]:
    """At most `count` events of a split, in time order, whose users had at least `least` strictly earlier events.

    Random sampling is by event, uniform without replacement.

    Args:
        among: `user_id`, `item_id`, `timestamp` of those that may be drawn; without, all may.
    """
    frame = interactions.events.filter(pl.col("split") == split)
    if among is not None:
        kinds = {name: frame.schema[name] for name in ("user_id", "item_id", "timestamp")}
        keys = among.select(pl.col(name).cast(kind) for name, kind in kinds.items())
        frame = frame.join(keys, on=list(kinds), how="semi", maintain_order="left")
    fit = frame.filter(pl.Series(interactions.log.count_earlier(frame) >= least, dtype=pl.Boolean()))
    return list(event_rows(fit[_spread(len(fit), count, seed)]))


def spread_out(events: Sequence[Event], count: int | None, *, seed: int) -> list[Event]:
    """At most `count` of some events, in their order, sampled uniformly."""
    return [events[place] for place in _spread(len(events), count, seed)]


def _spread(rows: int, count: int | None, seed: int) -> np.ndarray:
    """int [at most count]: places among so many rows, ascending, sampled uniformly."""
    if count is None or rows <= count:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, count, replace=False))


def group_questions(
    events: Sequence[Event],
    finder: ContextFinder,
    writer: QuestionWriter,
    settings: BaseTraining,
    *,
    generator: np.random.Generator,
    hide: Collection[str] = (),
    contexts: Mapping[Event, RetrievedContext] | None = None,
    targets: Mapping[Event, float] | None = None,
    report: Report = silent,
) -> list[PromptGroup]:
    """Write training events as groups of questions that begin alike.

    Events of one user that follow each other are one group: where the prompt tells the history, each question's history is that of the one
    before and one event more, so that their prompts share nearly all tokens. Cuts between groups and the length of the first history are
    random, so that another call gives other sequences. Evidence is hidden at random, the same for a whole group: the model learns to use
    what is there and to do without what is not. Other users are found by stored documents here, which is cheap; the adapter later learns
    from the real thing. Of those found, whom a question is told is drawn: whoever chooses them later (CAR's likeness, SARE), the model has
    learned what any of them is worth.

    Args:
        events: In time order.
        settings: How many questions a group has, and how often what is hidden.
        hide: What is never told.
        contexts: Other users found for each event, where that was done already.
        targets: P(Yes) that training aims at, of each event; without, its answer.
    """
    most = writer.builder.history if "history" in writer.builder.prompt.variables else 0
    grouped = _groups(events, settings.questions if most else _GROUPED, generator, by_user=most > 0)
    flat = [event for group in grouped for event in group]
    asked = finder.questions(flat)
    users = None
    if writer.builder.tells_neighbours:
        near = finder.find(asked, stored=True, report=report) if contexts is None else [contexts[event] for event in flat]
        users = _drawn(near, generator)
    told: list[str] = [""] * len(flat)
    hides: list[frozenset[str]] = []
    lasts: list[int] = []
    for group in grouped:
        hidden = frozenset(hide) | _dropped(settings, generator)
        first = int(generator.integers(0, most + 1)) if most else 0
        start = len(hides)
        told_before = [len(writer.builder.shown(question.history, 10**9)) for question in asked[start : start + len(group)]]
        for number in range(len(group)):
            hides.append(hidden)
            # The window's beginning stays where it is while the group goes on.
            lasts.append(first + told_before[number] - told_before[0])
    for last in sorted(set(lasts)):
        rows = [row for row, found in enumerate(lasts) if found == last]
        found = [users[row] for row in rows] if users is not None else None
        written = writer.write([asked[row] for row in rows], found, last=last, hide=[hides[row] for row in rows])
        for row, one in zip(rows, written, strict=True):
            told[row] = one.text
    out, start = [], 0
    for group in grouped:
        end = start + len(group)
        aims = None if targets is None else [targets[event] for event in group]
        out.append(PromptGroup(told[start:end], [int(event.liked) for event in group], aims))
        start = end
    report("writing questions", 1, 1)
    return out


def _drawn(contexts: Sequence[RetrievedContext], generator: np.random.Generator) -> list[RetrievedContext]:
    """As many users of each context, at random among those retrieved, most alike first."""
    out = []
    for context in contexts:
        places = np.sort(generator.permutation(len(context.retrieved))[: len(context.kept)]).tolist()
        out.append(replace(context, kept=tuple((context.retrieved[place], context.retrieved[place].score) for place in places)))
    return out


def _dropped(settings: BaseTraining, generator: np.random.Generator) -> frozenset[str]:
    """What a group is not told."""
    chances = {**dict.fromkeys(KINDS, settings.evidence_dropout), "neighbours": settings.neighbour_dropout, "name": settings.name_dropout}
    return frozenset(what for what, chance in chances.items() if generator.random() < chance)


def _groups(events: Sequence[Event], most: int, generator: np.random.Generator, *, by_user: bool) -> list[list[Event]]:
    runs: list[list[Event]] = [list(events)]
    if by_user:
        of_user: dict[str, list[Event]] = {}
        for event in events:
            of_user.setdefault(event.user_id, []).append(event)
        runs = list(of_user.values())
    else:
        runs = [[events[place] for place in generator.permutation(len(events))]]
    out = []
    for run in runs:
        first = int(generator.integers(1, most + 1))
        cuts = [0, *range(first, len(run), most), len(run)]
        out += [run[start:end] for start, end in itertools.pairwise(cuts) if end > start]
    return out
