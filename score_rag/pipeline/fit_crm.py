"""The crm stage's work: the recommender, what it leaves for later stages, and what the experts expect."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from score_rag.files import read_json
from score_rag.pipeline.stage import StageContext, kind_of_labels

if TYPE_CHECKING:
    from score_rag.data.interactions import Interactions

__all__ = ["fit_crm"]


def fit_crm(context: StageContext, folder: Path) -> dict[str, Any]:
    """Fit the recommender of `crm.model` and write it, its vectors, its neighbours and the experts' expectations; returns its metrics."""
    from score_rag.crm.artefacts import write_crm
    from score_rag.crm.experts import drawn_until
    from score_rag.crm.registry import model_class
    from score_rag.data.enough import require_enough
    from score_rag.data.interactions import Interactions

    settings = context.pipeline.crm
    if {"reranker", "predictor"} & set(context.due):
        # What they would refuse after minutes is refused here.
        require_enough(read_json(context.folder("data") / "report.json"), context.pipeline.data.path or context.pipeline.data.source)
    interactions = Interactions.read(context.folder("data"))
    model: Any = model_class(settings.model)(settings.own(), history=context.pipeline.data.history)
    checkpoint = context.scratch / "crm"
    model.fit(interactions, settings, seed=context.seed, checkpoint=checkpoint, report=context.report)
    write_crm(model, interactions, folder, neighbours_k=settings.neighbours, report=context.report)
    expected = _fit_experts(context, model, interactions, folder)
    # Last of all: until here a killed run goes on from the checkpoint.
    shutil.rmtree(checkpoint, ignore_errors=True)
    told: dict[str, Any] = {"expectations": expected} if expected else {}
    if drawn_until(folder) is not None:
        told["events_drawn"] = settings.expectations
    return {**model.metrics, **told, **kind_of_labels(interactions)}


def _fit_experts(context: StageContext, teacher: Any, interactions: Interactions, folder: Path) -> dict[str, float]:
    """The recommenders whose expectations are told, item-kNN always among them."""
    from score_rag.crm.experts import fit_experts
    from score_rag.crm.registry import make_model, settings_of

    settings = context.pipeline.crm
    names = list(settings.experts)
    if names:
        names = list(dict.fromkeys([*names, "item-knn"]))
    # The section is about its own model; the others have what suits them.
    shared = {**settings.model_dump(), "loss": "bce"}

    def fit(name: str, world: Interactions, final: bool) -> Any:
        def named(what: str, done: int, total: int) -> None:
            context.report(f"{what}: {name}", done, total)

        kept = {key: shared[key] for key in settings_of(name) if key in shared} if name == settings.model else {}
        model: Any = make_model(name, **kept, history=context.pipeline.data.history)
        if name in ("item-knn", "ease"):
            return model.fit(world, report=named)
        own = {} if name == settings.model else {"batch_size": None, "learning_rate": None, "weight_average": None}
        # Earlier blocks are only asked once, and are not worth the last thousandth.
        brief = {} if final else {"patience": min(3, settings.patience or 3)}
        training = {**settings.training(), **own, "choose_by": "auc", **brief}
        return model.fit(world, **training, seed=context.seed, report=named)

    return fit_experts(
        names,
        fit,
        interactions,
        folder,
        teacher=teacher if teacher.kind in names else None,
        most=settings.expectations,
        seed=context.seed,
        report=context.report,
    )
