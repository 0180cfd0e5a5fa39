"""Does the predictor use its evidence? Each kind shuffled across users, hidden, or alone; fewer and more other users, and random ones.

The weights stay the same in all rows: nothing is trained here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from score_rag.data.interactions import event_rows
from score_rag.evaluation.asked import NEIGHBOURS, AskedQuestions, cut_contexts
from score_rag.evaluation.evidence_report import EvidenceReport
from score_rag.evaluation.notes import table_notes
from score_rag.evaluation.rows import choose_rows
from score_rag.evaluation.shuffle import others_contexts, permute_across_users, random_contexts
from score_rag.evaluation.stored import made_from, store_table, table_name
from score_rag.pipeline.fit_predictor import OTHERS
from score_rag.pipeline.run import Run
from score_rag.pipeline.tracking import check_tracking
from score_rag.progress import Report, silent

if TYPE_CHECKING:
    from score_rag.pipeline.config import Pipeline

__all__ = ["EVIDENCE", "SHUFFLED", "ask_otherwise", "evidence_reports", "hidden_kinds", "shuffle_kinds", "unused", "without_effect"]

EVIDENCE, SHUFFLED = "evidence", "shuffled"
ALL_OTHERS = "all of other users"
RANDOM = "random users"
TOLD = "neighbours in the prompt"
KEPT = (0, 1, 2, 4)
"""Numbers of other users (the paper's Ks) that are tried."""
Rows = Mapping[tuple[str, str], np.ndarray]
"""By (group, name), scores [n]."""


def evidence_reports(
    pipeline: Pipeline, kinds: Sequence[str], *, split: str | None = None, rows: int | None = None, report: Report = silent
) -> dict[str, EvidenceReport]:
    """Ask a finished run's predictor otherwise, and compare with how it is asked.

    Args:
        kinds: `EVIDENCE` (removed, alone, how many other users, random ones) or `SHUFFLED` (across users), or both.
        split: `train`, `valid` or `test`; the pipeline file's by default.
        rows: At most so many events; the pipeline file's number by default.

    Raises:
        StageError: The run is not finished.
    """
    check_tracking(pipeline)
    made = made_from(pipeline)
    run = Run.open(pipeline)
    split = split or pipeline.evaluation.split
    frame = choose_rows(run.interactions, split, rows or pipeline.evaluation.rows, seed=pipeline.seed)
    shared = table_notes(run, split, frame, predictor=True)
    asked = AskedQuestions(run, list(event_rows(frame)), most=max(KEPT) if EVIDENCE in kinds else 0, report=report)
    full = asked.score()
    out = {}
    for kind in kinds:
        changed = shuffle_kinds(asked, seed=pipeline.seed) if kind == SHUFFLED else ask_otherwise(asked, seed=pipeline.seed)
        found = EvidenceReport.from_scores(
            frame["user_id"].to_list(),
            frame["label"].to_numpy(),
            full,
            changed,
            kind=kind,
            title=f"{pipeline.name}: {split}, evidence {'shuffled across users' if kind == SHUFFLED else 'removed and replaced'}",
            resamples=pipeline.evaluation.resamples,
            seed=pipeline.seed,
            made_from=made,
        )
        notes = [*(unused(found) if kind == SHUFFLED else without_effect(found)), *shared]
        table = frame.with_columns([pl.Series("SCORE", full), *(pl.Series(f"{group}: {name}", v) for (group, name), v in changed.items())])
        content = {**found.to_dict(), "notes": notes}
        told = store_table(pipeline, table_name(split, rows, kind), content, table, metrics=found.metrics())
        out[kind] = EvidenceReport.from_dict({**content, "notes": [*notes, *told]})
    return out


def shuffle_kinds(asked: AskedQuestions, *, seed: int) -> Rows:
    """Scores when each question is told another user's evidence of one kind, then of all kinds that come of other users together."""
    places = permute_across_users([str(question.user_id) for question in asked.questions], seed=seed)
    others = others_contexts(asked.questions, asked.contexts, places)

    def score(kinds: Sequence[str]) -> np.ndarray:
        shuffled = {kind: places for kind in kinds if kind != NEIGHBOURS}
        return asked.score(shuffled=shuffled, contexts=others if NEIGHBOURS in kinds else None)

    out = {("shuffled", kind): score([kind]) for kind in asked.kinds}
    together = [kind for kind in asked.kinds if kind in OTHERS]
    return {**out, ("shuffled", ALL_OTHERS): score(together)} if len(together) > 1 else out


def hidden_kinds(kinds: Sequence[str]) -> dict[tuple[str, str], tuple[str, ...]]:
    """By (group, name), what is hidden: each declared kind; all others' kinds but one; all of them.

    >>> hidden_kinds(["mood", "crowd", "neighbours"])[("alone", "crowd")]
    ('expectation', 'everyone', 'alike', 'neighbours')
    """
    out: dict[tuple[str, str], tuple[str, ...]] = {("removed", kind): (kind,) for kind in kinds}
    others = [kind for kind in kinds if kind in OTHERS]
    if len(others) > 1:
        out |= {("alone", kind): tuple(other for other in OTHERS if other != kind) for kind in others}
    return {**out, ("removed", ALL_OTHERS): OTHERS} if others else out


def ask_otherwise(asked: AskedQuestions, *, seed: int) -> Rows:
    """Scores when evidence is removed, alone, of fewer or more other users, or of random ones."""
    ways: dict[tuple[str, str], Callable[[], np.ndarray]] = {}
    hidden = hidden_kinds(asked.kinds)
    for key in sorted(hidden, key=lambda key: key[0] != "removed"):
        ways[key] = lambda hide=hidden[key]: asked.score(hide=hide)  # type: ignore[misc]  # bound now
    if asked.tells_neighbours:
        for kept in KEPT:
            ways[TOLD, f"{kept} best"] = lambda kept=kept: asked.score(contexts=cut_contexts(asked.widest, kept))  # type: ignore[misc]
        drawn = random_contexts(asked.questions, asked.contexts, asked.run.index, asked.run.finder, seed=seed)
        ways[TOLD, RANDOM] = lambda: asked.score(contexts=drawn)
    out = {}
    for done, (key, way) in enumerate(ways.items(), start=1):
        out[key] = way()
        asked.report("asking otherwise", done, len(ways))
    return out


def unused(report: EvidenceReport) -> list[str]:
    """In words, which kinds cost nothing when shuffled: the predictor does not use them."""
    notes = [f"{row.name}: unused (costs nothing when shuffled)" for row in report.rows if row.finding == "same"]
    return notes + [
        f"{row.name}: misleading (the predictor is better when it is shuffled)" for row in report.rows if row.finding == "better"
    ]


def without_effect(report: EvidenceReport) -> list[str]:
    """In words, what makes no difference, or helps to leave out."""
    notes = []
    for row in report.rows:
        if row.name == RANDOM and row.finding == "same":
            notes.append("chosen neighbours and random users do not differ: choosing them (retriever and reranker) gains nothing here")
        elif row.name == RANDOM and row.finding == "better":
            notes.append("random users do better than the chosen neighbours")
        elif row.group == TOLD and row.finding == "better":
            notes.append(f"{row.name} other users do better than the run's own number (reranker.top_n)")
        elif row.group == "removed" and row.finding == "same":
            notes.append(f"{row.name}: removing it costs nothing")
        elif row.group == "removed" and row.finding == "better":
            notes.append(f"{row.name}: the predictor is better without it")
    return notes
