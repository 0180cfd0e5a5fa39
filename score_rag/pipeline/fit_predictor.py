"""From the run of a run to a tuned predictor: examples with their contexts, the embedded base where asked for, then LoRA."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from score_rag.context.examples import base_texts, sample_events
from score_rag.context.finder import prompts
from score_rag.errors import DataError
from score_rag.predictor.base import fit_embedded_base
from score_rag.predictor.train import fit_predictor
from score_rag.progress import Report, silent

if TYPE_CHECKING:
    from score_rag.pipeline.run import Run

__all__ = ["fit_from_run"]

_VALID_EXAMPLES = 200


def fit_from_run(run: Run, folder: Path, *, others: bool = True, base_from: Path | None = None, report: Report = silent) -> dict[str, Any]:
    """Fit the predictor of a run.

    Args:
        run: The run's earlier parts.
        folder: Where to save.
        others: Tell what other users did; without, the same predictor lacks all collaborative information (the ablation `no-ci`).
        base_from: A finished embedded base to copy instead of training one, so that an ablation differs in nothing else.

    Raises:
        DataError: There are too few events to learn from.
    """
    pipeline, interactions = run.pipeline, run.interactions
    settings = pipeline.predictor
    train = sample_events(interactions, "train", settings.examples, seed=pipeline.seed)
    valid = sample_events(interactions, "valid", _VALID_EXAMPLES, seed=pipeline.seed)
    if len(train) < 20 or len(valid) < 10:
        raise DataError(
            "there are too few events to train the predictor",
            expected="at least 20 training and 10 validation events whose users have a history",
            found=f"{len(train)} and {len(valid)}",
            hint="use more data, or a larger share for validation: --set data.valid=0.2",
        )
    events = train + valid
    questions = run.make_finder(None).questions(events)
    contexts = run.finder.find(questions, report=report) if others else None
    texts = prompts(run.builder, questions, contexts)
    examples = (texts[: len(train)], [int(event.liked) for event in train])
    checks = (texts[len(train) :], [int(event.liked) for event in valid])

    metrics: dict[str, Any] = {}
    embedded = settings.base == "embedded"
    base = settings.base
    if embedded:
        base = str(folder / "base")
        if base_from is not None:
            shutil.copytree(base_from, base)
        else:
            own = settings.embedded_base
            varieties = base_texts(
                interactions,
                run.make_finder(None),
                run.builder,
                varieties=own.epochs,
                questions=own.questions,
                most=own.texts,
                seed=pipeline.seed,
                report=report,
            )
            metrics["base"] = fit_embedded_base(
                varieties,
                checks,
                folder / "base",
                ending=texts[0],
                width=own.width,
                layers=own.layers,
                heads=own.heads,
                vocabulary=own.vocabulary,
                max_tokens=own.max_tokens,
                epochs=own.epochs,
                batch_size=own.batch_size,
                learning_rate=own.learning_rate,
                weight_decay=own.weight_decay,
                language_weight=own.language_weight,
                seed=pipeline.seed,
                report=report,
            )
    metrics["lora"] = fit_predictor(
        examples,
        checks,
        folder,
        base=base,
        embedded=embedded,
        max_tokens=settings.max_tokens,
        lora_rank=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        lora_targets=settings.lora_targets,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        dtype=settings.dtype,
        seed=pipeline.seed,
        report=report,
    )
    return metrics
