"""The serving index of a run: what the data source says now, under the run's trained encoder; it grows without any training.

A run's own index (`runs/<name>/retriever/index`) belongs to the experiment: it knows training events alone and stays as it is. The serving
index (`runs/<name>/index`) tells every judgement that the source has and that came in as feedback, by the same rule of when what is known.
The source's events lie in each of its generations, so that whoever answers from it reads both of the same moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import polars as pl

from score_rag.documents.versions import build_documents
from score_rag.encoders.torch_encoder import indexing_encoder
from score_rag.errors import DataError, IndexMismatchError, InputError, RenewIndex, RunStage, ScoreError
from score_rag.feedback.merge import merged
from score_rag.files import read_json, write_json
from score_rag.index.check import Finding, check_index
from score_rag.index.generation import generation_name
from score_rag.index.reader import BehaviourIndex
from score_rag.index.writer import Written, build_index, update_index
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.fresh import open_feedback
from score_rag.pipeline.inputs import input_digests
from score_rag.pipeline.run import Run
from score_rag.pipeline.stages import SHIPPED, load_data
from score_rag.pipeline.state import finished_folder, run_folder
from score_rag.progress import Report, silent

__all__ = ["SOURCE", "Checked", "build", "check", "follows_source", "index_folder", "rebuild", "source_inputs", "update"]


@dataclass(frozen=True)
class Checked:
    """What was found of an index.

    Attributes:
        folder: Where it is.
        findings: One for each thing that was looked at.
        pipeline: How the pipeline was named.
        remedy: What to do; None where nothing is wrong.
    """

    folder: Path
    findings: list[Finding]
    pipeline: str
    remedy: RenewIndex | None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return all(finding.ok for finding in self.findings)


SOURCE = "source"
"""In a generation's folder: the source's events and catalogue, as they were when it was written."""


def source_inputs(pipeline: Pipeline) -> dict[str, str]:
    """Digests of the source's files as they are now, by name."""
    stage = next(stage for stage in SHIPPED if stage.name == "data")
    return input_digests(stage.inputs(pipeline)) if stage.inputs else {}


def follows_source(pipeline: Pipeline) -> bool:
    """Whether the serving index was written from the source's files as they are now."""
    try:
        number = read_json(index_folder(pipeline) / "index.json")["generation"]
        return bool(read_json(index_folder(pipeline) / generation_name(number) / SOURCE / "inputs.json") == source_inputs(pipeline))
    except (DataError, KeyError, TypeError):
        return False


def index_folder(pipeline: Pipeline, folder: Path | None = None) -> Path:
    """Where the serving index is, or the folder that was given."""
    return folder if folder is not None else run_folder(pipeline) / "index"


def build(pipeline: Pipeline, folder: Path | None = None, *, report: Report = silent) -> Written:
    """Build the serving index where there is none.

    Raises:
        InputError: There is one already.
        StageError: The run's retriever is not trained.
    """
    place = index_folder(pipeline, folder)
    with _named(pipeline):
        if (place / "index.json").exists():
            remedy = RenewIndex("update", _given(folder))
            raise InputError("there is an index already", where=place, hint="rebuild it, or bring it up to date", remedy=remedy)
    return rebuild(pipeline, folder, report=report)


def update(pipeline: Pipeline, folder: Path | None = None, *, report: Report = silent) -> Written:
    """Bring the serving index up to date with the data source; only users who changed are embedded again.

    Raises:
        InputError: It is the run's own index, which stays as it is.
        IndexMismatchError: There is no whole index of this run's encoder.
    """
    place = index_folder(pipeline, folder)
    with _named(pipeline):
        if _own(pipeline, place):
            raise InputError("this is the run's own index: it holds training events only", where=place, remedy=RunStage(None))
        run, settings = _open(pipeline), pipeline.retriever
        try:
            encoder = indexing_encoder(run.folder("retriever") / "encoder", dtype=settings.index_dtype)
            now = _told(pipeline, place, run, report)
            options = settings.store_options or None
            return update_index(
                place, encoder, now.documents, whole=True, store=settings.store, store_options=options, beside=now.beside, report=report
            )
        except IndexMismatchError as error:
            if not (place / "index.json").exists():
                error.remedy = RenewIndex("build", _given(folder))
            elif isinstance(error.remedy, RenewIndex):
                error.remedy = RenewIndex("rebuild", _given(folder))
            raise


def rebuild(pipeline: Pipeline, folder: Path | None = None, *, report: Report = silent) -> Written:
    """Build an index from nothing but documents and encoder, whatever is in its place; the run's own from its own documents."""
    place = index_folder(pipeline, folder)
    settings = pipeline.retriever
    with _named(pipeline):
        run = _open(pipeline)
        now = _told(pipeline, place, run, report)
        return build_index(
            now.documents,
            indexing_encoder(run.folder("retriever") / "encoder", dtype=settings.index_dtype),
            place,
            store=settings.store,
            store_options=settings.store_options,
            beside=now.beside,
            report=report,
        )


def check(pipeline: Pipeline, folder: Path | None = None, *, report: Report = silent) -> list[Checked]:
    """Look at the index in the folder, or at the run's own and its serving index: what is wrong, what has changed since, what to do."""
    serving = index_folder(pipeline)
    places = [folder] if folder is not None else [_run_index(pipeline), *([serving] if serving.is_dir() else [])]
    with _named(pipeline):
        run = _open(pipeline)
        return [_checked(pipeline, place, run, report) for place in places]


def _checked(pipeline: Pipeline, place: Path, run: Run, report: Report) -> Checked:
    where = None if place == index_folder(pipeline) else str(place)
    findings = check_index(place, run.encoder, store=pipeline.retriever.store, seed=pipeline.seed, report=report)
    if not all(finding.ok for finding in findings):
        return Checked(place, findings, pipeline.words, RenewIndex("rebuild", where))
    fresh = _fresh(_told(pipeline, place, run, report).documents, BehaviourIndex.open(place, run.encoder))
    return Checked(place, [*findings, fresh], pipeline.words, None if fresh.ok else RenewIndex("update", where))


def _fresh(now: pl.DataFrame, index: BehaviourIndex) -> Finding:
    """Whether the index tells what would be told now."""
    # Until when the last document of somebody is the last depends on everybody's events: it says nothing about them.
    columns = ["user_id", "text", "events"]
    old, new = index.documents.select(columns), now.select(columns)
    changed = set(new.join(old, on=columns, how="anti")["user_id"]) | set(old.join(new, on=columns, how="anti")["user_id"])
    return Finding(
        "up to date",
        not changed,
        f"{len(changed):,} user{'s' if len(changed) > 1 else ''} changed since" if changed else "it is up to date with the data source",
    )


class _Told(NamedTuple):
    """What an index is to tell, and what lies beside it: the events that it tells, for whoever answers from it."""

    documents: pl.DataFrame
    beside: Callable[[Path], None] | None = None


def _told(pipeline: Pipeline, place: Path, run: Run, report: Report) -> _Told:
    if _own(pipeline, place):
        return _Told(pl.read_parquet(finished_folder(pipeline, "documents") / "documents.parquet"))
    inputs = source_inputs(pipeline)
    source, _ = load_data(pipeline, progress=report)
    interactions = merged(source, open_feedback(pipeline).current())
    # The catalogue as it is now: there may be new items.
    describer = run.make_describer(catalogue=interactions.catalogue)
    documents = build_documents(interactions.log, describer, pipeline.documents, report=report)

    def beside(folder: Path) -> None:
        # Without the feedback: whoever answers reads that from its log.
        source.write(folder / SOURCE)
        write_json(folder / SOURCE / "inputs.json", inputs)

    return _Told(documents, beside)


def _open(pipeline: Pipeline) -> Run:
    return Run.open(pipeline, stages=("documents", "retriever"))


def _run_index(pipeline: Pipeline) -> Path:
    return run_folder(pipeline) / "retriever" / "index"


def _own(pipeline: Pipeline, place: Path) -> bool:
    return place.resolve() == _run_index(pipeline).resolve()


def _given(folder: Path | None) -> str | None:
    return None if folder is None else str(folder)


@contextmanager
def _named(pipeline: Pipeline) -> Iterator[None]:
    """Whatever goes wrong in the block, its remedy names this pipeline."""
    try:
        yield
    except ScoreError as error:
        error.pipeline = error.pipeline or pipeline.words
        raise
