"""Every variant of a finished run on the same questions; what is shared between variants is computed once, what is done is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from score_rag.context.finder import RetrievedContext
from score_rag.data.interactions import event_rows
from score_rag.data.log import Event
from score_rag.evaluation.ablate.cost import Cost, metered
from score_rag.evaluation.ablate.results import EXPECTED, Result, failure, read_result, write_result
from score_rag.evaluation.ablate.table import AblationTable
from score_rag.evaluation.ablate.training import own_folders
from score_rag.evaluation.ablate.variant_run import VariantRun, prompt_of
from score_rag.evaluation.ablate.variants import FULL, Variant, choose
from score_rag.evaluation.asked import NEIGHBOURS
from score_rag.evaluation.notes import table_notes
from score_rag.evaluation.rows import choose_rows
from score_rag.evaluation.shuffle import others_contexts, permute_across_users
from score_rag.evaluation.stored import made_from, store_table, table_name
from score_rag.files import digest_json, folder_lock
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.fit_predictor import OTHERS
from score_rag.pipeline.run import Run
from score_rag.pipeline.state import run_folder
from score_rag.pipeline.tracking import check_tracking
from score_rag.progress import Report, silent

if TYPE_CHECKING:
    from score_rag.context.question import Question

__all__ = ["ABLATION", "ablate"]

ABLATION = "ablation"
_DRAWS = 100
"""Of users, for each variant, at least: the smallest p-value is 2 / draws, times the number of variants."""
_FORM = 1
"""Of what is kept of a variant."""
Found = dict[tuple[Any, ...], tuple[Sequence[RetrievedContext], float]]
"""By how users are chosen: who was found for each question, and in how many seconds."""


def ablate(
    pipeline: Pipeline,
    names: Sequence[str] = (),
    *,
    split: str | None = None,
    rows: int | None = None,
    report: Report = silent,
    tell: Callable[[Variant, Result], None] | None = None,
) -> AblationTable:
    """Ask a finished run and its variants.

    Args:
        pipeline: A pipeline whose run is finished.
        names: See `score_rag.evaluation.ablate.variants.choose`.
        split: `train`, `valid` or `test`; the pipeline file's by default.
        rows: At most so many events, as whole users; the pipeline file's number by default.
        tell: Called with each variant's result as it comes.

    Raises:
        StageError: The run is not finished.
        InputError: There is no such variant.
        LockedError: Another process is at an ablation of the same run.
    """
    check_tracking(pipeline)
    made = made_from(pipeline)
    run = Run.open(pipeline, stages=("data", "crm", "documents", "retriever", "reranker", "predictor"))
    builder = run.writer.builder
    variants = choose(names, [*builder.kinds, *([NEIGHBOURS] if builder.tells_neighbours else [])])
    split = split or pipeline.evaluation.split
    frame = choose_rows(run.interactions, split, rows or pipeline.evaluation.rows, seed=pipeline.seed)
    events = list(event_rows(frame))
    notes = table_notes(run, split, frame, predictor=True)
    results: dict[Variant, Result] = {}
    found: Found = {}
    place = run_folder(pipeline) / "ablate"
    with folder_lock(place, doing=f"an ablation of {pipeline.name}"):
        for done, variant in enumerate((FULL, *variants)):
            key = digest_json({"form": _FORM, "made_from": made, "variant": variant.identity(), "split": split, "rows": rows})
            folder = place / variant.name / table_name(split, rows)
            results[variant] = _result(run, variant, events, frame, folder, key, results.get(FULL), found, report)
            if tell is not None:
                tell(variant, results[variant])
            report("variants", done + 1, len(variants) + 1)
    table = AblationTable.from_results(
        frame["user_id"].to_list(),
        frame["label"].to_numpy(),
        results,
        title=f"{pipeline.name}: {split}, ablation" + (", sampled negatives" if run.interactions.sampled else ""),
        notes=notes,
        # So many that a corrected p-value can be small.
        resamples=max(pipeline.evaluation.resamples, _DRAWS * len(variants)),
        seed=pipeline.seed,
        made_from=made,
    )
    scores = {variant.name: result.scores for variant, result in results.items() if result.scores is not None}
    told = store_table(
        pipeline,
        table_name(split, rows, ABLATION),
        table.to_dict(),
        frame.with_columns([pl.Series(name, values) for name, values in scores.items()]),
        metrics=table.metrics(),
    )
    return table.noted(told)


def _result(
    run: Run,
    variant: Variant,
    events: Sequence[Event],
    frame: pl.DataFrame,
    folder: Path,
    key: str,
    full: Result | None,
    found: Found,
    report: Report,
) -> Result:
    """What is kept of a variant, or what asking it gives.

    Args:
        folder: Where its result is kept, in the variant's own folder.
        full: The full system's result; None while that is asked.
        found: Who was found by variants before.
    """
    kept = read_result(folder, key)
    if kept is not None:
        return kept
    if full is None:
        result = _ask(run, variant, events, folder.parent, found, report)
    else:
        try:
            if not variant.trained and variant.place and prompt_of(run.prompt, variant).body.strip() == run.prompt.body.strip():
                return replace(full, same_as=FULL.name)
            result = _ask(run, variant, events, folder.parent, found, report)
        except EXPECTED as error:
            return failure(error)
    write_result(folder, key, result, frame)
    return result


def _ask(run: Run, variant: Variant, events: Sequence[Event], place: Path, found: Found, report: Report) -> Result:
    with metered() as meter:
        with meter.time("train"):
            folders, pipeline = own_folders(run, variant, place, report)
        asked: Any = run if variant == FULL else VariantRun.of(run, variant, pipeline=pipeline, folders=folders)
        _open(asked)
        questions = asked.finder.questions(events)
        contexts, seconds = _find(asked, variant, questions, found, report)
        with meter.time("write"):
            texts = _texts(asked, variant, questions, contexts)
        with meter.time("ask"):
            answers = asked.predictor.score(texts, report=report)
    count = asked.predictor.count_tokens
    tokens = float(np.mean([count(text) for text in texts]))
    train, write, ask = (round(meter.seconds[name], 3) for name in ("train", "write", "ask"))
    cost = Cost(train, round(seconds + write, 3), ask, round(tokens, 2), meter.memory, meter.gpu_memory)
    return Result(np.array([answer.probability for answer in answers]), cost)


def _find(
    run: Any, variant: Variant, questions: Sequence[Question], found: Found, report: Report
) -> tuple[Sequence[RetrievedContext], float]:
    """(Who is told, the seconds that finding them takes): found once for all variants that choose alike, and charged to each."""
    if not run.writer.builder.tells_neighbours or NEIGHBOURS in variant.hide:
        return [RetrievedContext()] * len(questions), 0.0
    key = (variant.retrieval, variant.reranked, run.folder("reranker"), variant.trained and variant.retrieval is not None)
    if key not in found:
        started = time.perf_counter()
        contexts = run.finder.find(questions, reranked=variant.reranked, report=report)
        found[key] = contexts, time.perf_counter() - started
    return found[key]


def _open(run: Any) -> None:
    """Load what asking needs, so that loading is not taken for finding or asking."""
    _ = run.finder, run.predictor, run.writer
    if isinstance(run, VariantRun):
        _ = run.likeness, run.segment


def _texts(run: Any, variant: Variant, questions: Sequence[Question], contexts: Sequence[RetrievedContext]) -> list[str]:
    shuffled: dict[str, np.ndarray] = {}
    if variant.shuffled:
        places = permute_across_users([str(question.user_id) for question in questions], seed=run.pipeline.seed)
        contexts = others_contexts(questions, contexts, places)
        shuffled = {kind: places for kind in run.writer.builder.kinds if kind in OTHERS}
    return [told.text for told in run.writer.write(questions, contexts, hide=variant.hide, shuffled=shuffled)]
