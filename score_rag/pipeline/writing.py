"""How a run's questions are told: who is found for them, and their prompt with its evidence."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from score_rag.context.evidence import Evidence
from score_rag.context.levels import Levels
from score_rag.context.neighbours import Witnesses
from score_rag.context.prompt import PromptBuilder
from score_rag.context.writer import QuestionWriter
from score_rag.crm.experts import drawn_until, read_expectations

if TYPE_CHECKING:
    from score_rag.context.finder import ContextFinder
    from score_rag.encoders.encoder import Encoder
    from score_rag.pipeline.run import Run
    from score_rag.reranker.scorer import Scorer

__all__ = ["make_finder", "make_writer"]


def make_writer(run: Run, levels: Levels, count_tokens: Callable[[str], int] | None = None) -> QuestionWriter:
    """A writer of questions.

    Args:
        run: The run, as far as it has come.
        levels: What numbers are called.
        count_tokens: How long a prompt is for the model; without, none is shortened.
    """

    settings, kinds = run.pipeline.predictor, set(run.prompt.variables)
    experts = run.experts if kinds & {"expectation", "alike"} else {}
    evidence = Evidence(
        run.interactions,
        experts,
        read_expectations(run.folder("crm")) if experts else None,
        run.judges if "crowd" in kinds else None,
        drawn_until=drawn_until(run.folder("crm")) if experts else None,
        history=run.pipeline.data.history,
    )
    builder = PromptBuilder(
        run.prompt,
        run.interactions.catalogue,
        experts=evidence.expected,
        history=settings.history,
        kind=run.pipeline.data.history,
        max_tokens=settings.max_tokens,
        count_tokens=count_tokens,
    )
    return QuestionWriter(builder, evidence, levels, Witnesses(run.interactions.train_log, run.interactions.catalogue, levels))


def make_finder(run: Run, scorer: Scorer | None, encoder: Encoder) -> ContextFinder:
    """Who finds a run's users for questions, and reranks them with a scorer."""
    from score_rag.context.finder import ContextFinder

    choice = run.pipeline.predictor.neighbours
    return ContextFinder(
        run.interactions,
        run.describer,
        run.index,
        encoder,
        scorer,
        judges=run.judges if choice == "judges" else None,
        similarity_top_k=run.pipeline.retriever.similarity_top_k,
        top_n=run.pipeline.reranker.top_n,
        choice=choice,
        kind=run.pipeline.data.history,
    )
