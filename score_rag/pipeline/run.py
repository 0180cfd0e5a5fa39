"""A finished run as one object: its trained parts, each opened at its first use, thread-safe."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

from score_rag.data.interactions import Interactions
from score_rag.data.log import Item
from score_rag.documents.describer import Describer, token_counter
from score_rag.files import read_json
from score_rag.pipeline.config import Pipeline, load_pipeline
from score_rag.pipeline.runner import finished_folder
from score_rag.prompts import Prompt, read_prompt

if TYPE_CHECKING:
    from score_rag.context.finder import ContextFinder
    from score_rag.context.prompt import PromptBuilder
    from score_rag.encoders.encoder import TextEncoder
    from score_rag.index.reader import BehaviourIndex
    from score_rag.predictor.predictor import Predictor
    from score_rag.reranker.reranker import SelfAssessingReranker
    from score_rag.reranker.scorer import PairScorer
    from score_rag.retriever.retriever import CollaborativeRetriever

__all__ = ["Run", "lazy", "make_describer"]

T = TypeVar("T")


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
        from score_rag.encoders.encoder import find_encoder

        counts = token_counter(tokenizer or find_encoder(settings.tokenizer, setting="documents.tokenizer"))
    return Describer(prompt, catalogue, settings, count_tokens=counts)


class lazy(Generic[T]):  # a decorator, like property
    """An attribute computed at its first use, once, however many threads ask for it together."""

    def __init__(self, make: Callable[[Any], T]) -> None:
        self.make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, run: None, owner: type) -> lazy[T]: ...
    @overload
    def __get__(self, run: Run, owner: type) -> T: ...
    def __get__(self, run: Run | None, owner: type) -> lazy[T] | T:
        # Without __set__, a value in the instance's own dictionary is found before this is called.
        if run is None:
            return self
        with run.lock:
            if self.name not in run.__dict__:
                run.__dict__[self.name] = self.make(run)
            found: T = run.__dict__[self.name]
            return found


class Run:
    """The one object that opens a run: its trained parts, each loaded at its first use, and where they come from.

    Thread-safe: two threads that ask for a part at the same time get the same object, loaded once.

    Args:
        pipeline: The run's settings.
        folder: Gives the folder of a finished stage; raises `StageError` where it is not finished.
        predict_prompt: The question's prompt; by default the copy that the finished predictor was trained with.
    """

    def __init__(self, pipeline: Pipeline, folder: Callable[[str], Path], *, predict_prompt: Prompt | None = None) -> None:
        self.pipeline = pipeline
        self.folder = folder
        self.lock = threading.RLock()
        self._predict_prompt = predict_prompt

    @classmethod
    def open(cls, pipeline: Pipeline | Path | str, *, stages: Sequence[str] = (), predict_prompt: Prompt | None = None) -> Self:
        """A finished run.

        Args:
            pipeline: A pipeline, its name, or the path of its file.
            stages: Stages that must be finished; any other is asked for when its part is.
            predict_prompt: As for the class.

        Raises:
            InputError: There is no such pipeline.
            StageError: A stage that is asked for is not finished.
        """
        found = pipeline if isinstance(pipeline, Pipeline) else load_pipeline(str(pipeline))
        for stage in stages:
            finished_folder(found, stage)
        return cls(found, partial(finished_folder, found), predict_prompt=predict_prompt)

    @lazy
    def provenance(self) -> dict[str, str]:
        """What ran at each stage; an embedded part is called what it is."""
        from score_rag.crm.registry import model_class

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

    @lazy
    def interactions(self) -> Interactions:
        return Interactions.read(self.folder("data"))

    @lazy
    def describer(self) -> Describer:
        """Tells histories by the prompt that the documents were written with (a copy lies beside them, of their tokenizer too)."""
        return self.make_describer()

    def make_describer(self, prompt: Prompt | None = None, catalogue: Mapping[str, Item] | None = None) -> Describer:
        """Tells histories as the documents of the run were told, but for a prompt or a catalogue that is given."""
        kept = self.folder("documents") / "tokenizer"
        prompt = prompt or read_prompt(self.folder("documents") / "prompts" / f"{Path(self.pipeline.documents.prompt).stem}.md")
        catalogue = self.interactions.catalogue if catalogue is None else catalogue
        return make_describer(self.pipeline, prompt, catalogue, tokenizer=kept if kept.is_dir() else None)

    @lazy
    def retriever(self) -> CollaborativeRetriever:
        from score_rag.retriever.retriever import CollaborativeRetriever

        most = max(self.pipeline.retriever.similarity_top_k, self.pipeline.predictor.crowd)
        return CollaborativeRetriever(self.index, self.encoder, similarity_top_k=most)

    @lazy
    def encoder(self) -> TextEncoder:
        """The retriever's, trained."""
        from score_rag.encoders.encoder import TextEncoder

        return TextEncoder.from_pretrained(self.folder("retriever") / "encoder")

    @lazy
    def index(self) -> BehaviourIndex:
        """The retriever's, of training events."""
        from score_rag.index.reader import BehaviourIndex

        settings = self.pipeline.retriever
        folder = self.folder("retriever") / "index"
        return BehaviourIndex.open(folder, self.encoder, store=settings.store, store_options=settings.store_options or None)

    @lazy
    def reranker(self) -> SelfAssessingReranker:
        from score_rag.reranker.reranker import SelfAssessingReranker

        return SelfAssessingReranker(self.scorer, top_n=self.pipeline.reranker.top_n)

    @lazy
    def scorer(self) -> PairScorer:
        """The reranker's."""
        from score_rag.reranker.scorer import PairScorer

        return PairScorer.from_pretrained(self.folder("reranker"))

    @lazy
    def finder(self) -> ContextFinder:
        """Retrieves and reranks for many questions at once."""
        return self.make_finder(self.scorer)

    def make_finder(self, scorer: PairScorer | None) -> ContextFinder:
        from score_rag.context.finder import ContextFinder

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

    @lazy
    def builder(self) -> PromptBuilder:
        """Writes the question."""
        from score_rag.context.evidence import Witnesses
        from score_rag.context.prompt import PromptBuilder

        settings = self.pipeline.predictor
        prompt = self._predict_prompt or read_prompt(self.folder("predictor") / "prompts" / f"{Path(settings.prompt).stem}.md")
        catalogue = self.interactions.catalogue
        witnesses = Witnesses(self.interactions.train_log, catalogue)
        return PromptBuilder(prompt, catalogue, witnesses, history=settings.history, kind=self.pipeline.data.history)

    @lazy
    def predictor(self) -> Predictor:
        from score_rag.predictor.predictor import Predictor

        return Predictor.from_pretrained(self.folder("predictor"))
