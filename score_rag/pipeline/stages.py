"""The stages, each a few lines: settings out of the pipeline file, artefacts of earlier stages in, one room's function called.

`SHIPPED`, at the end, is the one list of them and of which needs which; what each reads of the settings, the settings' models say. Another
package adds a stage by `register`, or by an entry point of the group `score_rag.stages` that names a `Stage`; it runs in the pipelines
that have a section of its name.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from score_rag.errors import ChangeSetting, ConfigError, FetchDataset, InputError, ScoreError
from score_rag.files import write_json
from score_rag.pipeline.checks import check_crm, check_documents, check_predictor, check_reranker, check_retriever
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.fit_crm import fit_crm
from score_rag.pipeline.fit_reranker import fit_reranker_stage, planned_assessments
from score_rag.pipeline.stage import Stage, StageContext, kind_of_labels
from score_rag.progress import Report, silent
from score_rag.registry import Registry

if TYPE_CHECKING:
    from score_rag.data.interactions import Interactions
    from score_rag.data.report import DataReport

__all__ = ["SHIPPED", "STAGES", "STAGE_REGISTRY", "load_data", "register", "stages"]


def _data_inputs(pipeline: Pipeline) -> list[Path]:
    from score_rag.data import source_files

    settings = pipeline.data
    return source_files(settings.source, settings.path, settings.interactions, settings.items)


def load_data(pipeline: Pipeline, *, progress: Report = silent) -> tuple[Interactions, DataReport]:
    """The data of a pipeline, read and prepared as its `data` section says, without a run.

    Raises:
        DataError: A file is missing or malformed.
        InputError: The settings do not fit the data.
    """
    from score_rag.data import load

    try:
        return load(pipeline.data, seed=pipeline.seed, progress=progress)
    except ScoreError as error:
        if pipeline.data.path is None and isinstance(error.remedy, ChangeSetting) and "data.path" in error.remedy.values:
            _name_data_set(pipeline, error)
        raise


def _name_data_set(pipeline: Pipeline, error: ScoreError) -> None:
    """Where a pipeline was not told where its data is, and is called as a public data set: say where that comes from."""
    from score_rag.data.datasets import DATASETS

    alike = [
        name
        for name, one in DATASETS.items()
        if one.source == pipeline.data.source and (pipeline.name == name or pipeline.name.startswith(f"{name}-"))
    ]
    if not alike:
        return
    name = max(alike, key=len)
    place = Path("data") / DATASETS[name].folder
    if place.is_dir():
        error.remedy = ChangeSetting({"data.path": str(place)})
    else:
        error.hint = f"fetch it and set data.path to {place} afterwards, or to where it is"
        error.remedy = FetchDataset(name)


def _data(context: StageContext, folder: Path) -> dict[str, Any]:
    from score_rag.data.report import information

    interactions, report = load_data(context.pipeline, progress=context.report)
    interactions.write(folder)
    interactions.keep_columns(folder)
    write_json(folder / "report.json", report.to_dict())
    return {
        "users": interactions.events["user_id"].n_unique(),
        "items": len(interactions.items),
        "events": report.kept,
        "liked": round(float(interactions.events["label"].mean() or 0.0), 4),  # type: ignore[arg-type]
        "notes": [f"information: {information(interactions, context.pipeline.data.history)}", *report.lines()],
    }


def _planned_data(context: StageContext, due: Collection[str]) -> str:
    """What the files hold, and what later stages would lack in them: known before hours are spent."""
    try:
        interactions, report = load_data(context.pipeline, progress=context.report)
    except ScoreError as error:
        return f"it would fail: {error.what}"
    held = f"{len(interactions.events):,} events of {interactions.events['user_id'].n_unique():,} users"
    return "; ".join([held, *(f"later stages cannot learn from this: {lack['what']}" for lack in report.lacks)])


def _crm_inputs(pipeline: Pipeline) -> list[Path]:
    return pipeline.crm.own().files()


def _documents(context: StageContext, folder: Path) -> dict[str, Any]:
    import polars as pl

    from score_rag.data.interactions import Interactions
    from score_rag.documents.versions import write_documents
    from score_rag.encoders.encoder import find_encoder
    from score_rag.pipeline.describe import make_describer

    settings = context.pipeline.documents
    interactions = Interactions.read(context.folder("data"))
    prompt = context.prompt(settings.prompt)
    describer = make_describer(context.pipeline, prompt, interactions.catalogue)
    end = interactions.train_end - 1
    file = folder / "documents.parquet"
    write_documents(file, interactions.train_log, describer, settings, last_second=end, report=context.report)
    _keep_prompt(prompt.path, folder, settings.prompt)
    if settings.max_tokens is not None:
        # Likewise, so that serving counts as training did, wherever the run's folder is taken.
        (folder / "tokenizer").mkdir()
        found = find_encoder(settings.tokenizer, setting="documents.tokenizer")
        shutil.copyfile(found / "tokenizer.json", folder / "tokenizer" / "tokenizer.json")
    words = pl.col("text").str.count_matches(" ", literal=True).mean() + 1
    told = pl.scan_parquet(file).select(documents=pl.len(), users=pl.col("user_id").n_unique(), words=words).collect(engine="streaming")
    count, users, mean = told.row(0)
    return {"documents": count, "users": users, "words_mean": round(mean or 0.0, 1)}


def _retriever(context: StageContext, folder: Path) -> dict[str, Any]:
    import polars as pl

    from score_rag.crm.artefacts import read_neighbours, read_vectors
    from score_rag.retriever.train import fit_retriever

    settings = context.pipeline.retriever
    user_vectors = None
    if settings.hard_negatives:
        user_ids, parts = read_vectors(context.folder("crm"), "users")
        user_vectors = user_ids, parts["vectors"]
    checkpoints = context.scratch / "retriever"
    metrics = fit_retriever(
        pl.read_parquet(context.folder("documents") / "documents.parquet"),
        read_neighbours(context.folder("crm")),
        folder,
        settings,
        user_vectors=user_vectors,
        checkpoints=checkpoints,
        seed=context.seed,
        report=context.report,
    )
    context.end_training(checkpoints)
    return metrics


def _reranker_prompts(pipeline: Pipeline) -> tuple[str, ...]:
    settings = pipeline.reranker
    names = [settings.question_prompt, settings.behaviour_prompt]
    names += [settings.assess_prompt] if settings.supervision != "measured" else []
    return (*names, *([settings.measure_prompt] if settings.supervision != "assessment" else []))


def _predictor(context: StageContext, folder: Path) -> dict[str, Any]:
    from score_rag.pipeline.fit_predictor import fit_from_run
    from score_rag.pipeline.run import Run

    settings = context.pipeline.predictor
    prompt = context.prompt(settings.prompt)
    run = Run(context.pipeline, context.folder, predict_prompt=prompt)
    _keep_prompt(prompt.path, folder, settings.prompt)
    checkpoints = context.scratch / "predictor"
    metrics = fit_from_run(run, folder, checkpoints=checkpoints, report=context.report)
    context.end_training(checkpoints)
    return {**metrics, **kind_of_labels(run.interactions)}


def _keep_prompt(path: Path, folder: Path, name: str) -> None:
    """Lay the prompt beside what was made with it, so that serving says things in the words of training."""
    (folder / "prompts").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, folder / "prompts" / f"{Path(name).stem}.md")


SHIPPED = (
    Stage("data", run=_data, inputs=_data_inputs, caches=("columns",), plan=_planned_data),
    Stage("crm", run=fit_crm, needs=("data",), inputs=_crm_inputs, check=check_crm),
    Stage("documents", run=_documents, needs=("data",), prompts=lambda p: (p.documents.prompt,), check=check_documents),
    Stage("retriever", run=_retriever, needs=("documents", "crm"), check=check_retriever, caches=("index",)),
    Stage(
        "reranker",
        run=fit_reranker_stage,
        needs=("data", "crm", "documents", "retriever"),
        prompts=_reranker_prompts,
        check=check_reranker,
        plan=planned_assessments,
    ),
    Stage(
        "predictor",
        run=_predictor,
        needs=("data", "crm", "documents", "retriever", "reranker"),
        prompts=lambda p: (p.predictor.prompt,),
        check=check_predictor,
    ),
)
"""The stages of every pipeline, in order."""

STAGES = tuple(stage.name for stage in SHIPPED)


def _is_stage(name: str, part: Any) -> Stage:
    if not isinstance(part, Stage) or part.name != name:
        raise InputError(f"the stage {name!r} is none", expected=f"a score_rag.pipeline.stage.Stage called {name!r}", found=repr(part))
    return part


STAGE_REGISTRY: Registry[Stage] = Registry("stage", "score_rag.stages", {stage.name: stage for stage in SHIPPED}, check=_is_stage)


def register(stage: Stage) -> Stage:
    """Add a stage; it runs in the pipelines that have a section of its name, after the stages that it needs.

    Raises:
        InputError: The name is taken by another.
    """
    STAGE_REGISTRY.register(stage.name, stage)
    return stage


def stages(pipeline: Pipeline) -> list[Stage]:
    """The stages of a pipeline, in order.

    Raises:
        ConfigError: A stage from outside needs one that the pipeline does not have.
    """
    out = list(SHIPPED)
    waiting = [STAGE_REGISTRY[name] for name in pipeline.model_extra or ()]
    while waiting:
        known = {stage.name for stage in out}
        ready = [stage for stage in waiting if known.issuperset(stage.needs)]
        if not ready:
            lost = ", ".join(sorted(set(waiting[0].needs) - known))
            raise ConfigError(f"the stage {waiting[0].name!r} needs one that is not there", where=pipeline.path, found=lost)
        out += ready
        waiting = [stage for stage in waiting if stage not in ready]
    return out
