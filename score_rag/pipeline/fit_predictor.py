"""From a run's earlier stages to a tuned predictor: evidence and levels, the bundled base where asked for, LoRA, calibration, the guard."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from score_rag.context.evidence import FROM_OTHERS
from score_rag.context.examples import group_questions, sample_events, spread_out
from score_rag.context.levels import Levels
from score_rag.crm.expectations import EXPECTATION_COLUMNS
from score_rag.crm.experts import drawn_until, read_expectations
from score_rag.data.log import Event
from score_rag.errors import DataError
from score_rag.files import local_model, write_json
from score_rag.pipeline.distillation import distilled_targets
from score_rag.pipeline.guard import Guard, compare
from score_rag.pipeline.ranking import compare_orders
from score_rag.predictor.packing import PromptGroup
from score_rag.predictor.train import fit_adapter
from score_rag.predictor.train_base import fit_base
from score_rag.progress import Report, silent
from score_rag.settings import BUNDLED

if TYPE_CHECKING:
    from score_rag.context.writer import QuestionWriter
    from score_rag.pipeline.run import Run
    from score_rag.predictor.soft import SoftTokens

__all__ = ["OTHERS", "askable", "fit_bundled_base", "fit_from_run", "fit_levels", "fitting_writer", "write_groups"]

OTHERS = (*FROM_OTHERS, "neighbours")
"""All that a prompt tells of other users: collaborative information."""
_FEWEST = 20
"""Training events to learn from."""
_AT_ONCE = 65_536
"""Questions whose histories are held."""
_RANKED = 60
"""Users whose rankings are compared: fifty questions each."""


def fit_from_run(
    run: Run,
    folder: Path,
    *,
    hide: Collection[str] = (),
    base_from: Path | None = None,
    checkpoints: Path | None = None,
    soft: SoftTokens | None = None,
    guarded: bool = True,
    report: Report = silent,
) -> dict[str, Any]:
    """Fit the predictor of a run.

    Args:
        run: The run's earlier stages.
        folder: Where to save.
        hide: Kinds of evidence that are never told (`OTHERS` leaves nothing of other users: the ablation `no-ci`).
        base_from: A finished bundled base to copy instead of training one, so that an ablation differs in nothing else.
        checkpoints: Where a killed training is resumed from.
        soft: What the prompts' soft tokens are, where they have some.
        guarded: Whether the finished predictor is compared with the recommender; an ablation's need not be.

    Raises:
        DataError: There are too few events to learn from.
    """
    pipeline, interactions = run.pipeline, run.histories
    settings = pipeline.predictor
    told = askable(run)
    valid = sample_events(interactions, "valid", settings.valid_examples, seed=pipeline.seed)
    if len(told) < _FEWEST or len(valid) < 10:
        raise DataError(
            "there are too few events to train the predictor",
            expected="at least 20 training and 10 validation events whose users have a history",
            found=f"{len(told)} and {len(valid)}",
            hint="use more data, or a larger share for validation (data.valid)",
        )
    levels = fit_levels(run, told)
    write_json(folder / "levels.json", levels.to_dict())
    writer = run.make_writer(levels)
    checks = write_groups(run, writer, valid, hide, report)

    metrics: dict[str, Any] = {"events_drawn": len(told)} if len(told) == settings.train_events else {}
    bundled = settings.base == BUNDLED
    # The adapter is tuned on the latest events, which the bundled base is not given: what it learns is not there already.
    count = min(settings.examples or len(told), len(told) // 2) if bundled else settings.examples
    tuned_on = told[-count:] if bundled and count else spread_out(told, count, seed=pipeline.seed)
    rest = told[: -len(tuned_on)] if bundled else told
    base = str(folder / "base") if bundled else local_model(settings.base)
    if bundled and base_from is not None:
        shutil.copytree(base_from, base)
    elif bundled:
        metrics["base"] = fit_bundled_base(run, writer, rest, checks, folder, hide, checkpoints, report, soft=soft)
    fitting = fitting_writer(run, levels, base)
    metrics["lora"] = fit_adapter(
        write_groups(run, fitting, tuned_on, hide, report),
        checks,
        folder,
        settings,
        base=base,
        bundled=bundled,
        checkpoints=checkpoints / "adapter" if checkpoints is not None else None,
        soft=soft,
        seed=pipeline.seed,
        report=report,
    )
    logits = metrics["lora"].pop("valid_logits")
    if not guarded:
        return metrics
    guard = _guard(run, fitting, folder, valid, logits, adapter=metrics["lora"]["used"], report=report)
    guard.write(folder)
    metrics["guard"] = guard.to_dict()
    return metrics


def askable(run: Run) -> list[Event]:
    """Training events that may be asked about, at most `predictor.train_events` drawn: where recommenders expect something, only those
    that they had not seen."""
    most, seed = run.pipeline.predictor.train_events, run.pipeline.seed
    frame = read_expectations(run.folder("crm")) if "expectation" in run.prompt.variables else None
    if frame is not None and (names := frame.columns[len(EXPECTATION_COLUMNS) :]):
        known = frame.drop_nulls(names).select(EXPECTATION_COLUMNS)
        asked = sample_events(run.histories, "train", most, seed=seed, among=known)
        if len(asked) >= _FEWEST:
            return asked
        if drawn_until(run.folder("crm")) is not None:
            raise DataError(
                "recommenders were asked about too few training events to learn from",
                where="crm.expectations",
                expected=f"at least {_FEWEST} events whose users have a history",
                found=len(asked),
                hint="a larger number, or null",
            )
        # With very little data the first block may be nearly all of it.
    return sample_events(run.histories, "train", most, seed=seed)


def fit_levels(run: Run, events: Sequence[Event]) -> Levels:
    """Percentiles of what is known of the training questions, and of how alike their neighbours are."""
    writer, finder = run.make_writer(Levels({})), run.make_finder(None)
    # By blocks: a question holds its history.
    parts = [
        writer.evidence.values(finder.questions(events[start : start + _AT_ONCE]), writer.builder.kinds)
        for start in range(0, len(events), _AT_ONCE)
    ]
    values = {name: np.concatenate([part[name] for part in parts]) for name in writer.evidence.columns(writer.builder.kinds)}
    if writer.builder.tells_neighbours:
        some = finder.questions(spread_out(events, 2000, seed=run.pipeline.seed))
        near = [hit.score for context in finder.find(some, stored=True) for hit in context.retrieved]
        values["alike_user"] = np.array(near)
    return Levels.fit(values)


def fitting_writer(run: Run, levels: Levels, base: str) -> QuestionWriter:
    """A writer that knows how long a prompt is for the base: one that is too long is shortened."""
    from score_rag.predictor.counting import prompt_counter

    return run.make_writer(levels, prompt_counter(base))


def write_groups(run: Run, writer: QuestionWriter, events: Sequence[Event], hide: Collection[str], report: Report) -> list[PromptGroup]:
    """Events as serving would ask them, reranked users and all; a few of them share a sequence."""
    questions = run.bulk_finder.questions(events)
    contexts = run.bulk_finder.find(questions, report=report) if writer.builder.tells_neighbours and "neighbours" not in hide else None
    texts = [told.text for told in writer.write(questions, contexts, hide=tuple(hide))]
    size = run.pipeline.predictor.questions
    return [
        PromptGroup(texts[start : start + size], [int(event.liked) for event in events[start : start + size]])
        for start in range(0, len(texts), size)
    ]


def fit_bundled_base(
    run: Run,
    writer: QuestionWriter,
    events: Sequence[Event],
    valid: Sequence[PromptGroup],
    folder: Path,
    hide: Collection[str],
    checkpoints: Path | None,
    report: Report,
    *,
    soft: SoftTokens | None = None,
) -> dict[str, Any]:
    """Train the bundled Llama on training events into `folder/base`; returns `fit_base`'s metrics."""
    settings, own = run.pipeline.predictor, run.pipeline.predictor.bundled_base
    generator = np.random.default_rng(run.pipeline.seed)
    asked = spread_out(events, own.examples, seed=run.pipeline.seed)
    told = "expectation" in run.prompt.variables and "expectation" not in hide
    frame, experts = read_expectations(run.folder("crm")), run.pipeline.crm.experts
    targets = distilled_targets(frame, experts, asked, own.teacher_weight) if told else None
    finder, contexts = run.make_finder(None), None
    if writer.builder.tells_neighbours:
        contexts = dict(zip(asked, finder.find(finder.questions(asked), stored=True, report=report), strict=True))
    epochs = [
        group_questions(asked, finder, writer, own, generator=generator, hide=hide, contexts=contexts, targets=targets, report=report)
        for _ in range(own.epochs)
    ]
    return fit_base(
        epochs,
        valid,
        folder / "base",
        own,
        max_tokens=settings.max_tokens,
        adapter=settings,
        checkpoints=checkpoints / "base" if checkpoints is not None else None,
        soft=soft,
        seed=run.pipeline.seed,
        report=report,
    )


def _guard(
    run: Run, writer: QuestionWriter, folder: Path, events: Sequence[Event], logits: np.ndarray, *, adapter: bool, report: Report
) -> Guard:
    """The finished predictor beside what it must not be worse than: on validation events, and in ordering what the recommender proposes."""
    from score_rag.crm.baseline import LikeRate
    from score_rag.predictor.predictor import Predictor

    predictor = Predictor.from_pretrained(folder)

    def score(texts: Sequence[str]) -> np.ndarray:
        return np.array([answer.probability for answer in predictor.score(texts, report=report)])

    others = {run.crm.name: run.crm}
    others |= {model.name: model for name, model in run.experts.items() if name not in (run.crm.kind, "item-knn", "ease")}
    interactions = run.histories
    plain = {"item's like-rate in train": LikeRate().fit(interactions)}
    if run.pipeline.data.history == "all":
        # It reads dislikes.
        plain["+ user's like-rate so far"] = LikeRate(user="earlier").fit(interactions)
    scores = {name: model.score_events(events).astype(np.float64) for name, model in (others | plain).items()}
    report("comparing with the recommender", 1, 1)
    orders = compare_orders(run, "valid", most=_RANKED, writer=writer, score=score, report=report)
    labels = np.array([int(event.liked) for event in events])
    return compare([event.user_id for event in events], labels, logits, scores, ndcg=orders.ndcg, adapter=adapter, seed=run.pipeline.seed)
