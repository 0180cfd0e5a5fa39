"""A finished run as one object: its trained parts, each opened at its first use, thread-safe."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from score_rag.data.interactions import Interactions
from score_rag.data.log import Item
from score_rag.documents.describer import Describer
from score_rag.files import read_json
from score_rag.pipeline.config import Pipeline, load_pipeline
from score_rag.pipeline.describe import make_describer
from score_rag.pipeline.guard import Guard
from score_rag.pipeline.lazy import lazy
from score_rag.pipeline.provenance import provenance_of
from score_rag.pipeline.state import finished_folder
from score_rag.progress import Report, silent
from score_rag.prompts import Prompt, read_prompt

if TYPE_CHECKING:
    from score_rag.context.finder import ContextFinder, RetrievedContext
    from score_rag.context.judges import Judges
    from score_rag.context.levels import Levels
    from score_rag.context.question import Question
    from score_rag.context.writer import QuestionWriter, Told
    from score_rag.crm.artefacts import CrmVectors
    from score_rag.crm.interface import CollaborativeModel
    from score_rag.encoders.encoder import Encoder, TextEncoder
    from score_rag.index.reader import BehaviourIndex
    from score_rag.predictor.attention import AttentionReader
    from score_rag.predictor.predictor import Predictor
    from score_rag.reranker.reranker import SelfAssessingReranker
    from score_rag.reranker.scorer import PairScorer, Scorer
    from score_rag.retriever.retriever import CollaborativeRetriever

__all__ = ["Run"]


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

    def __reduce__(self) -> tuple[Any, ...]:
        # Parts are opened again where they are used: sessions and locks cannot be copied.
        return partial(type(self), predict_prompt=self._predict_prompt), (self.pipeline, self.folder)

    def __repr__(self) -> str:
        return f"Run({self.pipeline.name!r}, runs={str(self.pipeline.runs)!r})"

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
        """What ran at each stage; a bundled part is called what it is."""
        return provenance_of(self.folder)

    @lazy
    def interactions(self) -> Interactions:
        return Interactions.read(self.folder("data"))

    @lazy
    def histories(self) -> Interactions:
        """`interactions` with catalogue and log at hand, each built once: what questions are looked up in."""
        interactions = self.interactions
        _ = interactions.catalogue, interactions.log
        return interactions

    @lazy
    def crm(self) -> CollaborativeModel:
        """The conventional recommender, bound to all judgements."""
        from score_rag.crm.registry import read_model

        return read_model(self.folder("crm")).bind(self.histories.log)

    @lazy
    def crm_vectors(self) -> CrmVectors | None:
        """The recommender's vectors as the stage wrote them; None where it scores by none (DIN)."""
        from score_rag.crm.artefacts import read_crm_vectors

        return read_crm_vectors(self.folder("crm"))

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

        return CollaborativeRetriever(self.index, self.encoder, similarity_top_k=self.pipeline.retriever.similarity_top_k)

    @lazy
    def encoder(self) -> TextEncoder:
        """The retriever's, trained."""
        from score_rag.encoders.encoder import TextEncoder

        return TextEncoder.from_pretrained(self.folder("retriever") / "encoder")

    @lazy
    def index(self) -> BehaviourIndex:
        """The retriever's, of training events."""
        from score_rag.index.reader import BehaviourIndex

        settings, folder = self.pipeline.retriever, self.folder("retriever") / "index"
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

    @lazy
    def bulk_finder(self) -> ContextFinder:
        """`finder` for training: in bfloat16 where that is native, so that a few of its choices differ from `finder`'s by rounding."""
        from score_rag.reranker.torch_scorer import bulk_scorer

        return self.make_finder(bulk_scorer(self.scorer), self.bulk_encoder)

    @lazy
    def bulk_encoder(self) -> Encoder:
        """`encoder` for training, in bfloat16 where that is native."""
        from score_rag.encoders.torch_encoder import indexing_encoder

        return indexing_encoder(self.folder("retriever") / "encoder", dtype="bfloat16")

    def make_finder(self, scorer: Scorer | None, encoder: Encoder | None = None) -> ContextFinder:
        """Retrieves for many questions at once, and reranks with a scorer."""
        from score_rag.pipeline.writing import make_finder

        return make_finder(self, scorer, encoder or self.encoder)

    @lazy
    def judges(self) -> Judges:
        """Who judged an item."""
        from score_rag.context.judges import Judges

        return Judges(self.interactions, self.index, self.encoder, self.describer)

    @lazy
    def experts(self) -> dict[str, CollaborativeModel]:
        """The recommenders whose expectations are told, by name."""
        from score_rag.crm.experts import read_experts

        return read_experts(self.folder("crm"), self.histories)

    @lazy
    def prompt(self) -> Prompt:
        """The question's prompt."""
        name = f"{Path(self.pipeline.predictor.prompt).stem}.md"
        return self._predict_prompt or read_prompt(self.folder("predictor") / "prompts" / name)

    @lazy
    def writer(self) -> QuestionWriter:
        """Writes questions as the finished predictor reads them."""
        from score_rag.context.levels import Levels

        return self.make_writer(Levels.from_dict(read_json(self.folder("predictor") / "levels.json")), self.predictor.count_tokens)

    def make_writer(self, levels: Levels, count_tokens: Callable[[str], int] | None = None) -> QuestionWriter:
        """A writer of questions; see `score_rag.pipeline.writing`."""
        from score_rag.pipeline.writing import make_writer

        return make_writer(self, levels, count_tokens)

    def write(
        self, questions: Sequence[Question], *, reranked: bool = True, report: Report = silent, **options: Any
    ) -> tuple[list[RetrievedContext], list[Told]]:
        """What each question is told: (who was found, the prompt with its evidence).

        Args:
            reranked: Without, the most alike users are told.
            options: Of `QuestionWriter.write`.
        """
        from score_rag.context.finder import RetrievedContext

        tells = self.writer.builder.tells_neighbours
        contexts = self.finder.find(questions, reranked=reranked, report=report) if tells else [RetrievedContext()] * len(questions)
        return contexts, self.writer.write(questions, contexts, **options)

    @lazy
    def guard(self) -> Guard:
        """How the predictor compared with the recommender and the baselines when it was trained."""
        return Guard.read(self.folder("predictor"))

    @lazy
    def predictor(self) -> Predictor:
        from score_rag.predictor.predictor import Predictor

        return Predictor.from_pretrained(self.folder("predictor"), engine=self.pipeline.predictor.scoring)

    @lazy
    def attention(self) -> AttentionReader:
        """Where the predictor's verdict looks; read with its weights in torch."""
        from score_rag.predictor.attention import AttentionReader

        return AttentionReader.from_pretrained(self.folder("predictor"))
