"""A run that asks as a variant does: the same parts, but for what the variant changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from score_rag.evaluation.ablate.placement import SLOT, moved, with_slot
from score_rag.evaluation.ablate.retrieval import Likeness, OtherFinder, likeness_of
from score_rag.evaluation.ablate.segments import Segment, SegmentWriter, segment_of, soft_tokens_of
from score_rag.evaluation.ablate.variants import Variant
from score_rag.pipeline.lazy import lazy
from score_rag.pipeline.run import Run

if TYPE_CHECKING:
    from score_rag.context.finder import ContextFinder
    from score_rag.context.levels import Levels
    from score_rag.context.writer import QuestionWriter
    from score_rag.encoders.encoder import Encoder
    from score_rag.pipeline.config import Pipeline
    from score_rag.predictor.predictor import Predictor
    from score_rag.predictor.soft import SoftTokens
    from score_rag.prompts import Prompt
    from score_rag.reranker.scorer import Scorer

__all__ = ["VariantRun", "prompt_of"]

_SHARED = ("interactions", "histories", "crm", "crm_vectors", "describer", "encoder", "index", "judges", "experts")
"""Parts of the full system that no variant changes: opened once for all."""


def prompt_of(prompt: Prompt, variant: Variant) -> Prompt:
    """The question's prompt as a variant has it.

    Raises:
        PromptError: It cannot be changed so.
    """
    if variant.form is not None:
        return with_slot(prompt)
    return moved(prompt, variant.place) if variant.place is not None else prompt


class VariantRun(Run):
    """A run of a variant.

    Args:
        pipeline: The variant's settings.
        folder: Gives the folder of a finished stage.
        predict_prompt: The question's prompt, as the variant has it.

    Attributes:
        variant: What it does.
    """

    variant: Variant

    @classmethod
    def of(cls, full: Run, variant: Variant, *, pipeline: Pipeline | None = None, folders: Mapping[str, Path] | None = None) -> VariantRun:
        """A run beside the full system's.

        Args:
            full: Its parts are used wherever the variant does not change them.
            pipeline: The variant's settings, where they are others.
            folders: Folders of stages that are the variant's own.
        """
        own = dict(folders or {})

        def folder(name: str) -> Path:
            return own[name] if name in own else full.folder(name)

        made = cls(pipeline or full.pipeline, folder, predict_prompt=prompt_of(full.prompt, variant))
        made.variant = variant
        made.__dict__ |= {name: getattr(full, name) for name in _SHARED}
        if "reranker" not in own:
            made.__dict__["scorer"] = full.scorer
        if not variant.trained:
            made.__dict__["predictor"] = full.predictor
            if variant.place is None and variant.form is None:
                made.__dict__["writer"] = full.writer
        return made

    def make_finder(self, scorer: Scorer | None, encoder: Encoder | None = None) -> ContextFinder:
        """As the variant chooses users."""
        found = super().make_finder(scorer if self.variant.reranked else None, encoder)
        return found if self.likeness is None else OtherFinder(found, self.likeness, own_score=self.variant.trained)

    def make_writer(self, levels: Levels, count_tokens: Callable[[str], int] | None = None) -> QuestionWriter:
        """As the variant tells them."""
        if self.segment is None:
            return super().make_writer(levels, count_tokens)
        longest, count = self.segment.longest, count_tokens
        counted = (lambda text: count(text.replace(SLOT, longest))) if count is not None else None
        return SegmentWriter.of(super().make_writer(levels, counted), self.segment)

    @lazy
    def likeness(self) -> Likeness | None:
        """What orders users in CAR's place."""
        return None if self.variant.retrieval is None else likeness_of(self, self.variant.retrieval)

    @lazy
    def soft(self) -> SoftTokens | None:
        """The table of soft tokens, where the variant has them."""
        return soft_tokens_of(self) if self.variant.form == "soft" else None

    @lazy
    def segment(self) -> Segment | None:
        """What stands in other users' place."""
        return None if self.variant.form is None else segment_of(self, self.variant.form, self.soft)

    @lazy
    def predictor(self) -> Predictor:
        """The variant's own."""
        if self.soft is not None:
            from score_rag.predictor.soft import open_soft

            found: Predictor = open_soft(self.folder("predictor"), self.soft, batch_tokens=self.pipeline.predictor.scoring.batch_tokens)
            return found
        from score_rag.predictor.predictor import Predictor

        return Predictor.from_pretrained(self.folder("predictor"), engine=self.pipeline.predictor.scoring)
