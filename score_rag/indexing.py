"""The serving index of a run: what the data source says now, under the run's trained encoder; it grows without any training.

A run's own index (`runs/<name>/retriever/index`) belongs to the experiment: it knows training events alone and stays as it is. The serving
index (`runs/<name>/index`) tells every judgement that the source has, each visible from when it was made.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from score_rag.config import Pipeline
from score_rag.documents import build_documents
from score_rag.errors import IndexMismatchError, InputError
from score_rag.parts import Parts, make_describer
from score_rag.pipeline import finished_folder, run_folder
from score_rag.progress import Report, silent
from score_rag.retriever.bulk import indexing_encoder
from score_rag.retriever.check import Finding, check_index
from score_rag.retriever.index import BehaviourIndex
from score_rag.retriever.write import Written, build_index, update_index
from score_rag.stages import load_data

__all__ = ["build", "check", "index_folder", "rebuild", "update"]


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
    if (place / "index.json").exists():
        raise InputError("there is an index already", where=place, hint=f"score-rag index update {pipeline.words}, or rebuild")
    return rebuild(pipeline, folder, report=report)


def update(pipeline: Pipeline, folder: Path | None = None, *, report: Report = silent) -> Written:
    """Bring the serving index up to date with the data source; only users who changed are embedded again.

    Raises:
        InputError: It is the run's own index, which stays as it is.
        IndexMismatchError: There is no whole index of this run's encoder.
    """
    place = index_folder(pipeline, folder)
    if _own(pipeline, place):
        raise InputError("this is the run's own index: it tells training events alone", where=place, hint=f"score-rag run {pipeline.words}")
    parts = _parts(pipeline)
    try:
        encoder = indexing_encoder(parts.folder("retriever") / "encoder", dtype=pipeline.retriever.index_dtype)
        return update_index(place, encoder, _documents(pipeline, place, parts, report), whole=True, report=report)
    except IndexMismatchError as error:
        error.hint = _hint(pipeline, folder)
        raise


def rebuild(pipeline: Pipeline, folder: Path | None = None, *, report: Report = silent) -> Written:
    """Build an index from nothing but documents and encoder, whatever is in its place; the run's own from its own documents."""
    parts = _parts(pipeline)
    place = index_folder(pipeline, folder)
    settings = pipeline.retriever
    return build_index(
        _documents(pipeline, place, parts, report),
        indexing_encoder(parts.folder("retriever") / "encoder", dtype=settings.index_dtype),
        place,
        store=settings.store,
        store_options=settings.store_options,
        report=report,
    )


def check(pipeline: Pipeline, folder: Path | None = None, *, report: Report = silent) -> dict[Path, list[Finding]]:
    """Look at the index in the folder, or at the run's own and its serving index: what is wrong, and what has changed since.

    Raises:
        InputError: There is nothing to look at.
    """
    parts = _parts(pipeline)
    places = [folder] if folder is not None else [place for place in (_run_index(pipeline), index_folder(pipeline)) if place.is_dir()]
    found: dict[Path, list[Finding]] = {}
    for place in places:
        found[place] = check_index(place, parts.encoder, seed=pipeline.seed, report=report)
        if all(finding.ok for finding in found[place]):
            found[place].append(_fresh(_documents(pipeline, place, parts, report), BehaviourIndex.open(place, parts.encoder)))
    return found


def _fresh(now: pl.DataFrame, index: BehaviourIndex) -> Finding:
    """Whether the index tells what would be told now."""
    columns = ["user_id", "text", "known_until", "superseded_at"]
    old, new = index.documents.select(columns), now.select(columns)
    changed = set(new.join(old, on=columns, how="anti")["user_id"]) | set(old.join(new, on=columns, how="anti")["user_id"])
    return Finding("up to date", not changed, f"{len(changed):,} users changed since" if changed else "it tells what would be told now")


def _documents(pipeline: Pipeline, place: Path, parts: Parts, report: Report) -> pl.DataFrame:
    if _own(pipeline, place):
        return pl.read_parquet(finished_folder(pipeline, "documents") / "documents.parquet")
    interactions, _ = load_data(pipeline, progress=report)
    settings = pipeline.documents
    # The catalogue as it is now: there may be new items.
    describer = make_describer(pipeline, parts.describer.prompt, interactions.catalogue)
    return build_documents(interactions.log, describer, every=settings.every, sparser_after=settings.sparser_after, report=report)


def _parts(pipeline: Pipeline) -> Parts:
    for stage in ("documents", "retriever"):
        finished_folder(pipeline, stage)
    return Parts(pipeline, lambda stage: finished_folder(pipeline, stage))


def _run_index(pipeline: Pipeline) -> Path:
    return run_folder(pipeline) / "retriever" / "index"


def _own(pipeline: Pipeline, place: Path) -> bool:
    return place.resolve() == _run_index(pipeline).resolve()


def _hint(pipeline: Pipeline, folder: Path | None) -> str:
    return f"build it again: score-rag index rebuild {pipeline.words}" + (f" --folder {folder}" if folder is not None else "")
