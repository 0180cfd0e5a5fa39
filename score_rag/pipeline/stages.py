"""The stages, each a few lines: settings out of the pipeline file, artefacts of earlier stages in, one room's function called.

`SHIPPED`, at the end, is the one list of them and of which needs which; what each reads of the settings, the settings' models say. Another
package adds a stage by `register`, or by an entry point of the group `score_rag.stages` that names a `Stage`; it runs in the pipelines
that have a section of its name.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from score_rag.errors import ConfigError, InputError
from score_rag.files import write_json
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.stage import Stage, StageContext
from score_rag.progress import Report, silent
from score_rag.registry import Registry

if TYPE_CHECKING:
    from score_rag.context.finder import ContextFinder
    from score_rag.data.interactions import Interactions
    from score_rag.data.report import DataReport
    from score_rag.index.reader import Hit
    from score_rag.reranker.assess import AssessmentRequest

__all__ = ["SHIPPED", "STAGES", "STAGE_REGISTRY", "load_data", "register", "stages"]


def _documents_there(pipeline: Pipeline) -> None:
    from score_rag.pipeline.describe import make_describer
    from score_rag.prompts import find_prompt

    make_describer(pipeline, find_prompt(pipeline.documents.prompt), {})


def _retriever_there(pipeline: Pipeline) -> None:
    from score_rag.encoders.encoder import find_encoder

    _reads_so_much(find_encoder(pipeline.retriever.encoder), pipeline.retriever.max_tokens, "retriever.max_tokens")


def _reranker_there(pipeline: Pipeline) -> None:
    from score_rag.encoders.encoder import find_encoder

    found = find_encoder(pipeline.reranker.encoder, setting="reranker.encoder")
    _reads_so_much(found, pipeline.reranker.max_tokens, "reranker.max_tokens")


def _reads_so_much(encoder: Path, tokens: int, setting: str) -> None:
    from score_rag.encoders.limits import longest_input

    most = longest_input(encoder)
    if most is not None and tokens > most:
        raise ConfigError("the encoder cannot read so much", where=setting, expected=f"at most {most}", found=tokens)


def _predictor_there(pipeline: Pipeline) -> None:
    from score_rag.context.evidence import ALIKE, TOGETHER
    from score_rag.context.variables import check_predict_prompt
    from score_rag.predictor.tokens import find_base
    from score_rag.prompts import find_prompt

    experts = [name for name in pipeline.crm.experts if name != ALIKE]
    check_predict_prompt(find_prompt(pipeline.predictor.prompt), [*experts, TOGETHER] if experts else [])
    if pipeline.predictor.base != "embedded":
        find_base(pipeline.predictor.base)


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

    return load(pipeline.data, seed=pipeline.seed, progress=progress)


def _data(context: StageContext, folder: Path) -> dict[str, Any]:
    from score_rag.data.report import information

    interactions, report = load_data(context.pipeline, progress=context.report)
    interactions.write(folder)
    write_json(folder / "report.json", report.to_dict())
    return {
        "users": interactions.events["user_id"].n_unique(),
        "items": len(interactions.items),
        "events": report.kept,
        "liked": round(float(interactions.events["label"].mean() or 0.0), 4),  # type: ignore[arg-type]
        "notes": [f"information: {information(interactions, context.pipeline.data.history)}", *report.lines()],
    }


def _crm_inputs(pipeline: Pipeline) -> list[Path]:
    return pipeline.crm.own().files()


def _crm(context: StageContext, folder: Path) -> dict[str, Any]:
    from score_rag.crm.artefacts import write_crm
    from score_rag.crm.registry import model_class
    from score_rag.data.interactions import Interactions

    settings = context.pipeline.crm
    interactions = Interactions.read(context.folder("data"))
    model: Any = model_class(settings.model)(settings.own(), history=context.pipeline.data.history)
    checkpoint = context.scratch / "crm"
    model.fit(interactions, settings, seed=context.seed, checkpoint=checkpoint, report=context.report)
    write_crm(model, interactions, folder, neighbours_k=settings.neighbours, report=context.report)
    expected = _experts(context, model, interactions, folder)
    # Last of all: until here a killed run goes on from the checkpoint.
    shutil.rmtree(checkpoint, ignore_errors=True)
    return {**model.metrics, **({"expectations": expected} if expected else {}), **_kind_of_labels(interactions)}


def _experts(context: StageContext, teacher: Any, interactions: Interactions, folder: Path) -> dict[str, float]:
    """The recommenders whose expectations are told, item-kNN among them where there are not too many items."""
    from score_rag.crm.experts import fit_experts
    from score_rag.crm.item_item import MOST_ITEMS
    from score_rag.crm.registry import make_model, settings_of

    settings = context.pipeline.crm
    names = list(settings.experts)
    if names and interactions.learned["item_id"].n_unique() <= MOST_ITEMS:
        names = list(dict.fromkeys([*names, "item-knn"]))
    # The section is about its own model; the others have what suits them.
    shared = {**settings.model_dump(), "loss": "bce"}

    def fit(name: str, world: Interactions, final: bool) -> Any:
        kept = {key: shared[key] for key in settings_of(name) if key in shared} if name == settings.model else {}
        model: Any = make_model(name, **kept, history=context.pipeline.data.history)
        if name in ("item-knn", "ease"):
            return model.fit(world)
        own = {} if name == settings.model else {"batch_size": None, "learning_rate": None}
        # Earlier blocks are only asked once, and are not worth the last thousandth.
        training = {**settings.training(), **own, "choose_by": "auc", **({} if final else {"patience": min(3, settings.patience)})}
        return model.fit(world, **training, seed=context.seed)

    return fit_experts(names, fit, interactions, folder, teacher=teacher if teacher.kind in names else None, report=context.report)


def _documents(context: StageContext, folder: Path) -> dict[str, Any]:
    from score_rag.data.interactions import Interactions
    from score_rag.documents.versions import build_documents
    from score_rag.encoders.encoder import find_encoder
    from score_rag.pipeline.describe import make_describer

    settings = context.pipeline.documents
    interactions = Interactions.read(context.folder("data"))
    prompt = context.prompt(settings.prompt)
    describer = make_describer(context.pipeline, prompt, interactions.catalogue)
    documents = build_documents(interactions.train_log, describer, settings, report=context.report)
    documents.write_parquet(folder / "documents.parquet")
    _keep_prompt(prompt.path, folder, settings.prompt)
    if settings.max_tokens is not None:
        # Likewise, so that serving counts as training did, wherever the run's folder is taken.
        (folder / "tokenizer").mkdir()
        found = find_encoder(settings.tokenizer, setting="documents.tokenizer")
        shutil.copyfile(found / "tokenizer.json", folder / "tokenizer" / "tokenizer.json")
    words = documents["text"].str.split(" ").list.len().mean()
    return {"documents": len(documents), "users": documents["user_id"].n_unique(), "words_mean": round(float(words or 0.0), 1)}  # type: ignore[arg-type]


def _retriever(context: StageContext, folder: Path) -> dict[str, Any]:
    import polars as pl

    from score_rag.crm.artefacts import read_neighbours, read_vectors
    from score_rag.retriever.train import fit_retriever

    settings = context.pipeline.retriever
    user_vectors = None
    if settings.hard_negatives:
        user_ids, parts = read_vectors(context.folder("crm"), "users")
        user_vectors = user_ids, parts["vectors"]
    return fit_retriever(
        pl.read_parquet(context.folder("documents") / "documents.parquet"),
        read_neighbours(context.folder("crm")),
        folder,
        settings,
        user_vectors=user_vectors,
        seed=context.seed,
        report=context.report,
    )


def _finder(context: StageContext) -> ContextFinder:
    from score_rag.pipeline.run import Run

    return Run(context.pipeline, context.folder).make_finder(None)


def _reranker(context: StageContext, folder: Path) -> dict[str, Any]:
    from score_rag.context.question import Question
    from score_rag.reranker.train import fit_reranker

    settings = context.pipeline.reranker
    finder = _finder(context)

    def hits_for(requests: Sequence[AssessmentRequest]) -> list[list[Hit]]:
        log = finder.interactions.log
        asked = [Question(r.user_id, r.item_id, log.earlier(r.event), r.as_of) for r in requests]
        return [hits[: finder.similarity_top_k] for hits in finder.retrieve(asked, report=context.report)]

    return fit_reranker(
        finder.interactions,
        hits_for,
        folder,
        settings,
        prompt=context.prompt(settings.assess_prompt),
        describer=finder.describer,
        assessments_path=context.scratch / "assessments.jsonl",
        history=context.pipeline.data.history,
        seed=context.seed,
        report=context.report,
    )


def _calls(context: StageContext, due: Collection[str]) -> str:
    """How often the assessor would be asked: exactly where the questions are known already, otherwise at most."""
    settings = context.pipeline.reranker
    if "documents" in due:
        return f"at most {settings.pairs} calls to {settings.assessor}, fewer where answers are kept from before"
    from score_rag.pipeline.run import Run
    from score_rag.reranker.assess import planned_calls
    from score_rag.reranker.examples import sample_requests

    run = Run(context.pipeline, context.folder)
    requests = sample_requests(run.interactions, run.describer, settings.pairs, history=context.pipeline.data.history, seed=context.seed)
    calls = planned_calls(
        requests,
        model=settings.assessor,
        prompt=context.prompt(settings.assess_prompt),
        out=context.scratch / "assessments.jsonl",
        max_answer_tokens=settings.max_answer_tokens,
    )
    return f"{calls} calls to {settings.assessor}; {len(requests) - calls} answers are kept from before"


def _predictor(context: StageContext, folder: Path) -> dict[str, Any]:
    from score_rag.pipeline.fit_predictor import fit_from_run
    from score_rag.pipeline.run import Run

    settings = context.pipeline.predictor
    prompt = context.prompt(settings.prompt)
    run = Run(context.pipeline, context.folder, predict_prompt=prompt)
    _keep_prompt(prompt.path, folder, settings.prompt)
    checkpoints = context.scratch / "predictor"
    metrics = fit_from_run(run, folder, checkpoints=checkpoints, report=context.report)
    # Last of all: until here a killed run goes on from the checkpoints.
    shutil.rmtree(checkpoints, ignore_errors=True)
    return {**metrics, **_kind_of_labels(run.interactions)}


def _kind_of_labels(interactions: Interactions) -> dict[str, str]:
    """A word for metrics that rest on labels that nobody gave."""
    return {"labels": "sampled negatives"} if interactions.sampled else {}


def _keep_prompt(path: Path, folder: Path, name: str) -> None:
    """Lay the prompt beside what was made with it, so that serving says things in the words of training."""
    (folder / "prompts").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, folder / "prompts" / f"{Path(name).stem}.md")


SHIPPED = (
    Stage("data", run=_data, inputs=_data_inputs),
    Stage("crm", run=_crm, needs=("data",), inputs=_crm_inputs),
    Stage("documents", run=_documents, needs=("data",), prompts=lambda p: (p.documents.prompt,), check=_documents_there),
    Stage("retriever", run=_retriever, needs=("documents", "crm"), check=_retriever_there, caches=("index",)),
    Stage(
        "reranker",
        run=_reranker,
        needs=("data", "documents", "retriever"),
        prompts=lambda p: (p.reranker.assess_prompt,),
        check=_reranker_there,
        plan=_calls,
    ),
    Stage(
        "predictor",
        run=_predictor,
        needs=("data", "crm", "documents", "retriever", "reranker"),
        prompts=lambda p: (p.predictor.prompt,),
        check=_predictor_there,
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
