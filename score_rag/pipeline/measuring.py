"""How much each retrieved user helps: by how much telling them raises the log-likelihood of the true answer.

A small Llama is trained for it, on training events that are not measured, with neighbours chosen by likeness alone. Then each question is
asked without other users, and with each retrieved user alone. Everything told is of strictly earlier than the question.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from score_rag.context.examples import sample_events, spread_out
from score_rag.context.finder import RetrievedContext
from score_rag.errors import DataError, PromptError
from score_rag.pipeline.fit_predictor import askable, fit_bundled_base, fit_levels, fitting_writer, write_groups
from score_rag.pipeline.run import Run
from score_rag.predictor.settings import BaseTraining, PredictorSettings
from score_rag.predictor.tokens import answer_ids, plain_encoder
from score_rag.progress import Report, silent

if TYPE_CHECKING:
    from score_rag.context.question import Question
    from score_rag.context.writer import QuestionWriter
    from score_rag.data.log import Event
    from score_rag.index.reader import Hit
    from score_rag.predictor.engines.torch import TorchEngine
    from score_rag.prompts import Prompt

__all__ = ["Probe", "check_measure_prompt"]

_TRAINING = BaseTraining(epochs=2)
_CHOOSE = 1000
"""Validation events by which the Llama's epoch is chosen."""


def check_measure_prompt(prompt: Prompt) -> None:
    """Usefulness can be measured by a prompt that tells neighbours.

    Raises:
        PromptError: It does not.
    """
    if "neighbours" not in prompt.variables:
        raise PromptError(
            f"prompt {prompt.name!r} tells no neighbours, so their usefulness cannot be measured by it",
            where=prompt.path,
            expected="the variable neighbours",
            found=", ".join(sorted(prompt.variables)),
        )


class Probe:
    """A small Llama by which usefulness is measured.

    Args:
        writer: Writes its questions.
        engine: Scores them.
    """

    def __init__(self, writer: QuestionWriter, engine: TorchEngine) -> None:
        self.writer, self.engine = writer, engine

    @classmethod
    def fit(
        cls,
        run: Run,
        prompt: Prompt,
        folder: Path,
        *,
        without: Sequence[Event] = (),
        examples: int | None = None,
        checkpoints: Path | None = None,
        report: Report = silent,
    ) -> tuple[Probe, dict[str, Any]]:
        """Train one.

        Args:
            run: Stages up to the retriever.
            prompt: What it is asked.
            folder: Where it is kept.
            without: Events that it is not trained on: those to measure.
            examples: Train on so many events of the rest, drawn at random; on all by default.
            checkpoints: Where a killed training is resumed from.

        Returns:
            The probe, and the metrics of its training.

        Raises:
            DataError: There are too few events.
        """
        check_measure_prompt(prompt)
        # What it is does not depend on the predictor's own settings, but for who may be told.
        settings = PredictorSettings(neighbours=run.pipeline.predictor.neighbours, bundled_base=_TRAINING)
        own = Run(run.pipeline.model_copy(update={"predictor": settings}), run.folder, predict_prompt=prompt)
        own.__dict__["bulk_finder"] = own.make_finder(None)
        kept = {(event.user_id, event.item_id, event.timestamp) for event in without}
        events = [event for event in askable(own) if (event.user_id, event.item_id, event.timestamp) not in kept]
        events = spread_out(events, examples, seed=run.pipeline.seed)
        valid = sample_events(own.histories, "valid", _CHOOSE, seed=run.pipeline.seed)
        if len(events) < 20 or len(valid) < 10:
            raise DataError(
                "there are too few events to measure usefulness by",
                expected="at least 20 training events beside those measured, and 10 of validation",
                found=f"{len(events)} and {len(valid)}",
                hint="fewer reranker.pairs, or reranker.supervision: assessment",
            )
        levels = fit_levels(own, events)
        writer = own.make_writer(levels)
        checks = write_groups(own, writer, valid, (), report)
        metrics = fit_bundled_base(own, writer, events, checks, folder, (), checkpoints, report)
        base = folder / "base"
        return cls(fitting_writer(own, levels, str(base)), _engine(base, settings.max_tokens, checks[0].prompts[0])), metrics

    def log_likelihood(self, texts: Sequence[str], liked: Sequence[bool], report: Report = silent) -> np.ndarray:
        """Of the true answers [n], nats."""
        said = np.array([answer.probability for answer in self.engine.score(texts, report=report)])
        found: np.ndarray = np.log(np.clip(np.where(liked, said, 1.0 - said), 1e-12, 1.0))
        return found

    def gains(
        self, questions: Sequence[Question], hits: Sequence[Sequence[Hit]], liked: Sequence[bool], *, report: Report = silent
    ) -> list[np.ndarray]:
        """How much telling each retrieved user alone raises the log-likelihood of the true answer, against telling nobody.

        Args:
            questions: [n].
            hits: [n] lists of at most Ke users.
            liked: [n], the true answers.

        Returns:
            [n] arrays [Ke], nats.
        """
        alone = [(question, answer, hit) for question, found, answer in zip(questions, hits, liked, strict=True) for hit in found]
        asked = [*questions, *(question for question, _, _ in alone)]
        contexts = [RetrievedContext() for _ in questions]
        contexts += [RetrievedContext((hit,), ((hit, hit.score),), False) for _, _, hit in alone]
        texts = [told.text for told in self.writer.write(asked, contexts)]
        found = self.log_likelihood(texts, [*liked, *(answer for _, answer, _ in alone)], report)
        rest = np.split(found[len(questions) :], np.cumsum([len(one) for one in hits])[:-1])
        return [with_them - without for with_them, without in zip(rest, found[: len(questions)], strict=True)]


def _engine(base: Path, max_tokens: int, ending: str) -> TorchEngine:
    from score_rag.predictor.engines.torch import TorchEngine
    from score_rag.predictor.load import load_causal_model

    encode = plain_encoder(base)
    return TorchEngine(load_causal_model(str(base)), encode, answer_ids(encode, ending), max_tokens=max_tokens)
