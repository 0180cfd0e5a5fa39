"""The trained parts of a run, each opened when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from score_rag.config import Pipeline
from score_rag.data.interactions import Interactions
from score_rag.data.log import Item
from score_rag.documents import Describer, token_counter
from score_rag.files import read_json
from score_rag.prompts import Prompt, read_prompt

if TYPE_CHECKING:
    from score_rag.predictor.context import ContextFinder
    from score_rag.predictor.predictor import Predictor
    from score_rag.predictor.prompt import PromptBuilder
    from score_rag.reranker.reranker import SelfAssessingReranker
    from score_rag.reranker.scorer import PairScorer
    from score_rag.retriever.encoder import TextEncoder
    from score_rag.retriever.index import BehaviourIndex
    from score_rag.retriever.retriever import CollaborativeRetriever

__all__ = ["Parts", "make_describer"]


def make_describer(pipeline: Pipeline, prompt: Prompt, catalogue: Mapping[str, Item], *, tokenizer: Path | None = None) -> Describer:
    """Tells histories as the pipeline's `documents` section says.

    Args:
        tokenizer: Folder of the tokenizer that counts, where it is at hand; otherwise it is found by the setting `documents.tokenizer`.

    Raises:
        ModelError: There is a budget of tokens, and no such tokenizer.
        PromptError: The prompt declares what behaviour does not tell.
    """
    settings = pipeline.documents
    counts = None
    if settings.max_tokens is not None:
        from score_rag.retriever.encoder import find_encoder

        counts = token_counter(tokenizer or find_encoder(settings.tokenizer, setting="documents.tokenizer"))
    return Describer(
        prompt,
        catalogue,
        max_liked=settings.max_liked,
        max_disliked=settings.max_disliked,
        max_tokens=settings.max_tokens,
        count_tokens=counts,
    )


class Parts:
    """What training of later stages, evaluation and serving share.

    Args:
        pipeline: The run's settings.
        folder: Gives the folder of a finished stage; raises `StageError` where it is not finished.
        predict_prompt: The question's prompt; by default the copy that the finished predictor was trained with.
    """

    def __init__(self, pipeline: Pipeline, folder: Callable[[str], Path], *, predict_prompt: Prompt | None = None) -> None:
        self.pipeline = pipeline
        self.folder = folder
        self._predict_prompt = predict_prompt

    @cached_property
    def told(self) -> dict[str, str]:
        """What ran at each stage; an embedded part is called what it is."""
        from score_rag.crm.models import model_class

        crm = model_class(read_json(self.folder("crm") / "config.json")["model"])
        told = {"crm": crm.name if crm.kind == "file" else f"{crm.name}, trained on this data"}
        retriever = read_json(self.folder("retriever") / "retriever.json")
        name = "all-MiniLM-L6-v2 (embedded)" if retriever["embedded"] else retriever["base"]
        told["retriever"] = f"{name}, fine-tuned on the neighbours by {crm.name}"
        reranker = read_json(self.folder("reranker") / "reranker.json")
        base = "cross-encoder from all-MiniLM-L6-v2 (embedded)" if reranker["embedded"] else f"cross-encoder from {reranker['base']}"
        rule = " (embedded: rule-based, no language model)" if reranker["assessor"].startswith("score-rag/") else ""
        told["reranker"] = f"{base}, taught by assessments of {reranker['assessor']}{rule}"
        predictor = read_json(self.folder("predictor") / "predictor.json")
        own = "small Llama (embedded: trained from scratch on this run's text)"
        told["predictor"] = f"{own if predictor['embedded'] else predictor['base']}, LoRA-tuned"
        return told

    @cached_property
    def interactions(self) -> Interactions:
        return Interactions.read(self.folder("data"))

    @cached_property
    def describer(self) -> Describer:
        """Tells histories by the prompt that the documents were written with (a copy lies beside them, of their tokenizer too)."""
        return self.make_describer()

    def make_describer(self, prompt: Prompt | None = None, catalogue: Mapping[str, Item] | None = None) -> Describer:
        """Tells histories as the documents of the run were told, but for a prompt or a catalogue that is given."""
        kept = self.folder("documents") / "tokenizer"
        prompt = prompt or read_prompt(self.folder("documents") / "prompts" / f"{Path(self.pipeline.documents.prompt).stem}.md")
        catalogue = self.interactions.catalogue if catalogue is None else catalogue
        return make_describer(self.pipeline, prompt, catalogue, tokenizer=kept if kept.is_dir() else None)

    @cached_property
    def retriever(self) -> CollaborativeRetriever:
        from score_rag.retriever.retriever import CollaborativeRetriever

        most = max(self.pipeline.retriever.similarity_top_k, self.pipeline.predictor.crowd)
        return CollaborativeRetriever(self.index, self.encoder, similarity_top_k=most)

    @cached_property
    def encoder(self) -> TextEncoder:
        """The retriever's, trained."""
        from score_rag.retriever.encoder import TextEncoder

        return TextEncoder.from_pretrained(self.folder("retriever") / "encoder")

    @cached_property
    def index(self) -> BehaviourIndex:
        """The retriever's, of training events."""
        from score_rag.retriever.index import BehaviourIndex

        settings = self.pipeline.retriever
        folder = self.folder("retriever") / "index"
        return BehaviourIndex.open(folder, self.encoder, store=settings.store, store_options=settings.store_options or None)

    @cached_property
    def reranker(self) -> SelfAssessingReranker:
        from score_rag.reranker.reranker import SelfAssessingReranker

        return SelfAssessingReranker(self.scorer, top_n=self.pipeline.reranker.top_n)

    @cached_property
    def scorer(self) -> PairScorer:
        """The reranker's."""
        from score_rag.reranker.scorer import PairScorer

        return PairScorer.from_pretrained(self.folder("reranker"))

    @cached_property
    def finder(self) -> ContextFinder:
        """Retrieves and reranks for many questions at once."""
        return self.make_finder(self.scorer)

    def make_finder(self, scorer: PairScorer | None) -> ContextFinder:
        from score_rag.predictor.context import ContextFinder

        return ContextFinder(
            self.interactions,
            self.describer,
            self.index,
            self.encoder,
            scorer,
            similarity_top_k=self.pipeline.retriever.similarity_top_k,
            crowd=self.pipeline.predictor.crowd,
            top_n=self.pipeline.reranker.top_n,
            kind=self.pipeline.data.history,
        )

    @cached_property
    def builder(self) -> PromptBuilder:
        """Writes the question."""
        from score_rag.predictor.evidence import Witnesses
        from score_rag.predictor.prompt import PromptBuilder

        settings = self.pipeline.predictor
        prompt = self._predict_prompt or read_prompt(self.folder("predictor") / "prompts" / f"{Path(settings.prompt).stem}.md")
        catalogue = self.interactions.catalogue
        witnesses = Witnesses(self.interactions.train_log, catalogue)
        return PromptBuilder(prompt, catalogue, witnesses, history=settings.history, kind=self.pipeline.data.history)

    @cached_property
    def predictor(self) -> Predictor:
        from score_rag.predictor.predictor import Predictor

        return Predictor.from_pretrained(self.folder("predictor"))
