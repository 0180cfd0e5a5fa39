"""Where MLflow keeps what a run logs: beside the run, unless the environment names another place.

`predictor.trainer.report_to: mlflow` (or the retriever's, the reranker's) logs losses, `evaluation.report_to: mlflow` metrics; all of a
pipeline's are one experiment of its name.
"""

from __future__ import annotations

import os
import re
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from score_rag.errors import ConfigError
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.show import changed_settings
from score_rag.pipeline.state import run_folder

__all__ = ["check_tracking", "track", "tracked"]

_URI, _EXPERIMENT = "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"


def tracking_uri(pipeline: Pipeline) -> str:
    """`MLFLOW_TRACKING_URI`, or a SQLite file in the run's `logs/` (MLflow 3 keeps no folders of files any more)."""
    return os.environ.get(_URI) or f"sqlite:///{(run_folder(pipeline) / 'logs' / 'mlflow.db').resolve()}"


@contextmanager
def tracked(pipeline: Pipeline) -> Iterator[None]:
    """Trainers that log to MLflow find its place and the experiment; what the environment says stays.

    Logging of trainers is by settings that are read where they train, so that this costs nothing where none is on.
    """
    ours = {_URI: tracking_uri(pipeline), _EXPERIMENT: pipeline.name}
    ours = {name: value for name, value in ours.items() if name not in os.environ} if _trainers_track(pipeline) else {}
    if ours:
        (run_folder(pipeline) / "logs").mkdir(parents=True, exist_ok=True)
    os.environ.update(ours)
    try:
        with _quiet_database(bool(ours)):
            yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


def check_tracking(pipeline: Pipeline) -> None:
    """MLflow is installed where `evaluation.report_to` asks for it.

    Raises:
        ConfigError: It is not.
    """
    if pipeline.evaluation.report_to is not None and find_spec("mlflow") is None:
        raise ConfigError(
            "a setting needs a package that is not installed",
            where="evaluation.report_to",
            expected="mlflow",
            hint='pip install "score-rag[mlflow]"',
        )


def track(pipeline: Pipeline, name: str, metrics: Mapping[str, float], tags: Mapping[str, Any]) -> list[str]:
    """Log metrics as one run of the pipeline's experiment, where `evaluation.report_to` says so.

    Args:
        name: Of the run in MLflow.
        metrics: By name; those that are not numbers (nan) are left out.
        tags: What else is to be found by.

    Returns:
        What a reader must know: where they are, or why they are not.
    """
    if pipeline.evaluation.report_to is None:
        return []
    (run_folder(pipeline) / "logs").mkdir(parents=True, exist_ok=True)
    uri = tracking_uri(pipeline)
    with _quiet_database(True):
        import mlflow
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        said = {key: str(value) for key, (_, value) in changed_settings(pipeline).items()}
        try:
            client = mlflow.MlflowClient(tracking_uri=uri)
            experiment_name = os.environ.get(_EXPERIMENT) or pipeline.name
            found = client.get_experiment_by_name(experiment_name)
            experiment = found.experiment_id if found is not None else client.create_experiment(experiment_name)
            run = client.create_run(experiment, run_name=name)
            client.log_batch(
                run.info.run_id,
                metrics=[Metric(_plain(key), value, now, 0) for key, value in metrics.items() if value == value],
                params=[Param(key, value[:500]) for key, value in said.items()],
                tags=[RunTag(f"score-rag.{key}", str(value)[:500]) for key, value in tags.items()],
            )
            client.set_terminated(run.info.run_id)
        except (mlflow.exceptions.MlflowException, OSError) as error:
            # An hour of scoring is not thrown away because a server is away.
            return [f"not logged to MLflow at {uri}: {str(error).splitlines()[0]}"]
    return [f"logged to MLflow at {uri}, experiment {experiment_name}, run {run.info.run_id}"]


def _trainers_track(pipeline: Pipeline) -> bool:
    return "mlflow" in (pipeline.retriever.trainer.report_to, pipeline.reranker.trainer.report_to, pipeline.predictor.trainer.report_to)


@contextmanager
def _quiet_database(wanted: bool) -> Iterator[None]:
    """Without the warnings of the database library and of MLflow about each other, which no user of ours can act on."""
    if not wanted:
        yield
        return
    import logging

    loggers = [logging.getLogger(name) for name in ("alembic", "mlflow.store.db.utils")]
    before = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)


def _plain(name: str) -> str:
    """A name as MLflow takes it.

    >>> _plain("auc.+ user's like-rate (so far)")
    'auc._ user_s like-rate _so far_'
    """
    return re.sub(r"[^\w\-. /:]", "_", name)
