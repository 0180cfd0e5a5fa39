"""What a variant must have trained for it: a reranker taught otherwise, or a predictor that reads what the variant tells."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from score_rag.evaluation.ablate.variant_run import VariantRun
from score_rag.evaluation.ablate.variants import Variant
from score_rag.files import digest_json, make_once
from score_rag.pipeline.adopt import adopt
from score_rag.pipeline.fit_predictor import fit_from_run
from score_rag.pipeline.run import Run
from score_rag.pipeline.runner import run as run_stages
from score_rag.pipeline.stages import stages
from score_rag.pipeline.state import finished_folder, run_folder, stage_key
from score_rag.progress import Report

if TYPE_CHECKING:
    from score_rag.pipeline.config import Pipeline

__all__ = ["own_folders"]


def own_folders(run: Run, variant: Variant, place: Path, report: Report) -> tuple[dict[str, Path], Pipeline]:
    """(Folders of the stages that are the variant's own, made now where they were not yet; its settings).

    Args:
        run: The full system.
        place: The variant's folder.
    """
    pipeline, folders = run.pipeline, dict[str, Path]()
    if variant.supervision is not None and variant.supervision != pipeline.reranker.supervision:
        reranker = pipeline.reranker.changed(supervision=variant.supervision)
        # The same reranker serves the variant that is asked and the one that is trained.
        name = f"sare-{variant.supervision}"
        pipeline = pipeline.model_copy(update={"reranker": reranker, "runs": str(place.parent.absolute()), "name": name})
        adopt(pipeline, stages(pipeline), [run_folder(run.pipeline)])
        run_stages(pipeline, stages(pipeline), until="reranker", report=report)
        folders["reranker"] = finished_folder(pipeline, "reranker")
    if variant.trained:
        folders["predictor"] = _predictor(run, variant, place, pipeline, dict(folders), report)
    return folders, pipeline


def _predictor(run: Run, variant: Variant, place: Path, pipeline: Pipeline, folders: dict[str, Path], report: Report) -> Path:
    """A predictor trained from its beginning on what the variant tells: the bundled base too, which reads nothing else."""
    stage = next(stage for stage in stages(pipeline) if stage.name == "predictor")
    belongs = digest_json({"key": stage_key(pipeline, stage), "variant": variant.identity()})
    checkpoints = place / "scratch" / belongs[:16]

    def make(aside: Path) -> Any:
        own = VariantRun.of(run, variant, pipeline=pipeline, folders=folders)
        kept = None if own.soft is not None else checkpoints
        return fit_from_run(own, aside, hide=variant.hide, checkpoints=kept, soft=own.soft, guarded=False, report=report)

    make_once(place / "predictor", belongs=belongs, owner=place, doing=f"training the predictor of {variant.name}", make=make)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return place / "predictor"
