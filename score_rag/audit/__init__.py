"""The temporal leakage check: of real data and of a real run, with a count of what was checked."""

from __future__ import annotations

from score_rag.audit.check import Audit, Check
from score_rag.audit.data import audit_interactions
from score_rag.audit.run import audit_run
from score_rag.files import read_json
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.run import Run
from score_rag.pipeline.stages import load_data, stages
from score_rag.pipeline.state import status
from score_rag.progress import Report, silent

__all__ = ["Audit", "Check", "audit", "audit_interactions", "audit_run"]


def audit(pipeline: Pipeline, *, sample: int = 300, report: Report = silent) -> Audit:
    """Audit a pipeline's data, and as much of its run as is finished and up to date.

    Args:
        sample: How many questions, histories and documents to sample.

    Raises:
        DataError: The data cannot be read.
    """
    settings = pipeline.data
    states = status(pipeline, stages(pipeline))
    done = [stage.name for stage in states if stage.state == "finished"]
    run = Run.open(pipeline)
    if "data" in done:
        interactions, kept = run.interactions, read_json(run.folder("data") / "report.json")["kept"]
    else:
        interactions, account = load_data(pipeline)
        kept = account.kept
    found = audit_interactions(interactions, settings, kept=kept, sample=sample, seed=pipeline.seed, report=report)
    audited = audit_run(run, done, sample=sample, report=report) if "data" in done else Audit()
    late = [
        f"not checked: the stage {stage.name} is {stage.state}" + (f" ({stage.reason})" if stage.reason else "")
        for stage in states
        if stage.state != "finished" and stage.name != "data"
    ]
    return Audit(found.checks + audited.checks, (*found.notes, *audited.notes, *late))
