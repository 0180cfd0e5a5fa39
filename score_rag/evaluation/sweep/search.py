"""Search of settings by Optuna's TPE (Bergstra et al., 2011), seeded, journalled in the run's folder: killed, it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from score_rag.errors import InputError
from score_rag.evaluation.ablate.results import Result
from score_rag.evaluation.sweep.space import Axis
from score_rag.evaluation.sweep.sweep import Sweep, Tell
from score_rag.evaluation.sweep.table import Metric, SweepTable
from score_rag.extras import names_extras
from score_rag.files import digest_json
from score_rag.metrics.auc import auc, log_loss, uauc
from score_rag.pipeline.state import run_folder
from score_rag.progress import Report, silent

__all__ = ["search"]


def search(
    name: str,
    axes: Sequence[Axis],
    trials: int,
    *,
    overrides: Sequence[str] = (),
    rows: int | None = None,
    by: Metric = "auc",
    retrain: bool = False,
    report: Report = silent,
    tell: Tell | None = None,
) -> SweepTable:
    """Ask so many points, each chosen by what those before it gave.

    Args:
        name: A pipeline's name or path, whose run is finished.
        axes: Lists of values, of which one is chosen, or ranges.
        trials: How many points altogether, those of earlier calls with the same axes included.
        by: What is made best.

    Raises:
        InputError: Optuna is not installed, or an axis cannot be searched.
        StageError: The run is not finished.
        LockedError: Another process sweeps the same run.
    """
    optuna = _optuna()
    whole = Sweep(name, overrides, rows=rows, retrain=retrain, report=report)
    for axis in axes:
        # A wrong name or value is told before anything is asked.
        for value in axis.values or (axis.low, axis.high):
            whole.point({axis.name: value})
        if not all(value is None or isinstance(value, bool | int | float | str) for value in axis.values):
            raise InputError("a search chooses among numbers and texts", where=axis.name, hint="a grid or a list takes any values")
    facts = {"axes": [vars(axis) for axis in axes], "by": by, "retrain": retrain, "rows": len(whole.frame), "made_from": whole.made}
    file = run_folder(whole.base) / "sweep" / f"search-{digest_json(facts)[:16]}.journal"
    with whole.locked():
        storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(file)))
        study: Any = optuna.create_study(
            study_name="search",
            storage=storage,
            load_if_exists=True,
            direction="minimize" if by == "log_loss" else "maximize",
        )
        for trial in study.trials:
            values, open_ = trial.user_attrs.get("values"), not trial.state.is_finished()
            if values is None or len(whole.results) >= trials:
                # A process was killed before it had chosen.
                if open_:
                    study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
                continue
            found = whole.ask(whole.point(values))
            if open_:
                _learn(optuna, study, trial.number, whole, by, found)
        while len(whole.results) < trials:
            done = len(whole.results)
            # The sampler's draws go with the trial's number, so that a search that was killed makes the choices that it would have made.
            study.sampler = optuna.samplers.TPESampler(seed=whole.base.seed + done)
            trial = study.ask()
            values = {axis.name: _suggest(trial, axis) for axis in axes}
            trial.set_user_attr("values", values)
            found = whole.ask(whole.point(values))
            _learn(optuna, study, trial.number, whole, by, found)
            if tell is not None:
                tell(values, found)
            report("points", done + 1, trials)
        return whole.table(by, [f"searched by Optuna {optuna.__version__} (TPE, seed {whole.base.seed}); journal: {file}"])


def _optuna() -> Any:
    with names_extras():
        import optuna
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _learn(optuna: Any, study: Any, number: int, whole: Sweep, by: Metric, found: Result) -> None:
    """Tell the study what a trial gave."""
    if found.scores is None:
        study.tell(number, state=optuna.trial.TrialState.FAIL)
    else:
        study.tell(number, _value(whole, by, found.scores))


def _suggest(trial: Any, axis: Axis) -> Any:
    if axis.values:
        return trial.suggest_categorical(axis.name, list(axis.values))
    if axis.whole:
        return trial.suggest_int(axis.name, int(axis.low or 0), int(axis.high or 0), log=axis.log)
    return trial.suggest_float(axis.name, axis.low, axis.high, log=axis.log)


def _value(whole: Sweep, by: Metric, scores: Any) -> float:
    labels = whole.frame["label"].to_numpy()
    if by == "uauc":
        return uauc(whole.frame["user_id"].to_list(), labels, scores).value
    return auc(labels, scores) if by == "auc" else log_loss(labels, scores)
