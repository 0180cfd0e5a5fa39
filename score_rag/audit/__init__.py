"""Whether anything from the future is used: asked of real data and of a real run, with an account of what was looked at."""

from __future__ import annotations

from score_rag.audit.check import Audit, Check
from score_rag.audit.data import audit_interactions
from score_rag.audit.run import audit_parts
from score_rag.config import Pipeline
from score_rag.files import read_json
from score_rag.parts import Parts
from score_rag.pipeline import finished_folder, status
from score_rag.progress import Report, silent
from score_rag.stages import load_data, stages

__all__ = ["Audit", "Check", "audit", "audit_interactions", "audit_parts"]


def audit(pipeline: Pipeline, *, sample: int = 300, report: Report = silent) -> Audit:
    """Audit a pipeline's data, and as much of its run as is finished and up to date.

    Args:
        sample: How many questions, histories and documents to look at.

    Raises:
        DataError: The data cannot be read.
    """
    settings = pipeline.data
    states = status(pipeline, stages(pipeline))
    done = [stage.name for stage in states if stage.state == "finished"]
    parts = Parts(pipeline, lambda stage: finished_folder(pipeline, stage))
    if "data" in done:
        interactions, kept = parts.interactions, read_json(parts.folder("data") / "report.json")["kept"]
    else:
        interactions, account = load_data(pipeline)
        kept = account.kept
    found = audit_interactions(interactions, settings, kept=kept, sample=sample, seed=pipeline.seed, report=report)
    run = audit_parts(parts, done, sample=sample, report=report) if "data" in done else Audit()
    late = [
        f"not looked at: the stage {stage.name} is {stage.state}" + (f" ({stage.reason})" if stage.reason else "")
        for stage in states
        if stage.state != "finished" and stage.name != "data"
    ]
    return Audit(found.checks + run.checks, (*found.notes, *run.notes, *late))
