"""A sweep: every point asked on the same validation events; what is shared is trained and computed once, what is done is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import polars as pl

from score_rag.data.interactions import event_rows
from score_rag.errors import InputError, StageError
from score_rag.evaluation.ablate.results import EXPECTED, Result, failure, read_result, write_result
from score_rag.evaluation.notes import table_notes
from score_rag.evaluation.rows import choose_rows
from score_rag.evaluation.stored import made_from, store_table, table_name
from score_rag.evaluation.sweep.points import Point, Trained, folder_of, make_point
from score_rag.evaluation.sweep.table import Metric, SweepTable
from score_rag.files import digest_json, folder_lock
from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.run import Run
from score_rag.pipeline.state import run_folder
from score_rag.pipeline.tracking import check_tracking
from score_rag.progress import Report, silent

__all__ = ["SPLIT", "SWEEP", "Sweep", "sweep"]

SWEEP, SPLIT = "sweep", "valid"
"""What is chosen here is chosen on validation events, never on those that the result is reported on."""
Tell = Callable[[Mapping[str, Any], Result], None]


class Sweep:
    """Asks points, one at a time.

    Args:
        name: Of the pipeline, as it was typed; its run is finished.
        overrides: Settings of all points.
        rows: At most so many validation events, as whole users; the pipeline file's number by default.
        retrain: Train anew where a setting of serving changes what later stages learn from; otherwise the finished run is asked otherwise.
    """

    def __init__(
        self, name: str, overrides: Sequence[str] = (), *, rows: int | None = None, retrain: bool = False, report: Report = silent
    ) -> None:
        self.name, self.overrides, self.retrain, self.report = name, list(overrides), retrain, report
        self.base = load_pipeline(name, overrides=overrides)
        check_tracking(self.base)
        self.made = made_from(self.base)
        self.run = Run.open(self.base, stages=("data",))
        self.frame = choose_rows(self.run.interactions, SPLIT, rows or self.base.evaluation.rows, seed=self.base.seed)
        self.table_name = table_name(SPLIT, rows, SWEEP)
        self.results: list[tuple[dict[str, Any], Result]] = []
        self._open: tuple[str, Trained] | None = None

    def point(self, values: Mapping[str, Any]) -> Point:
        """A point, checked; see `make_point`."""
        return make_point(self.base, self.name, self.overrides, values, retrain=self.retrain)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One sweep of a run at a time."""
        with folder_lock(run_folder(self.base) / "sweep", doing=f"a sweep of {self.base.name}"):
            yield

    def ask(self, point: Point) -> Result:
        """What is kept of a point, or what asking it gives; a point that fails says why."""
        key = digest_json({"made_from": self.made, "values": dict(point.values), "retrain": self.retrain, "rows": len(self.frame)})
        folder = folder_of(self.base, point, self.table_name)
        found = read_result(folder, key)
        if found is None:
            try:
                found = self._trained(point).ask(point, list(event_rows(self.frame)), report=self.report)
                write_result(folder, key, found, self.frame)
            except StageError:
                if not point.ran:
                    raise  # the pipeline's own run is not finished: no point could be asked
                found = Result(None, None, failed="its run is not finished")
            except EXPECTED as error:
                found = failure(error)
        self.results.append((dict(point.values), found))
        return found

    def _trained(self, point: Point) -> Trained:
        name = point.trained.name if point.ran else ""
        if self._open is None or self._open[0] != name:
            # One at a time is open: a model fills the memory.
            self._open = None
            self._open = name, Trained(point, self.base, report=self.report)
        return self._open[1]

    def table(self, by: Metric, notes: Sequence[str] = ()) -> SweepTable:
        """All points that were asked, the best marked; stored beside the run's other tables."""
        told = [*notes, *table_notes(self.run, SPLIT, self.frame, predictor=False)]
        made = SweepTable.from_results(
            self.frame["user_id"].to_list(),
            self.frame["label"].to_numpy(),
            self.results,
            by=by,
            title=f"{self.base.name}: sweep, {SPLIT}",
            notes=told,
            resamples=self.base.evaluation.resamples,
            seed=self.base.seed,
            made_from=self.made,
        )
        columns = [pl.Series(str(place), found.scores) for place, (_, found) in enumerate(self.results) if found.scores is not None]
        stored = store_table(self.base, self.table_name, made.to_dict(), self.frame.with_columns(columns), metrics=made.metrics())
        try:
            curve = run_folder(self.base) / "evaluation" / f"{self.table_name}.csv"
            made.curve().write_csv(curve)
            stored.append(f"the curve is in {curve}")
        except OSError as error:
            stored.append(f"the curve was not stored: {error.strerror or error}")
        return made.noted(stored)


def sweep(
    name: str,
    points: Sequence[Mapping[str, Any]],
    *,
    overrides: Sequence[str] = (),
    rows: int | None = None,
    by: Metric = "auc",
    retrain: bool = False,
    report: Report = silent,
    tell: Tell | None = None,
) -> SweepTable:
    """Ask all points.

    Args:
        name: A pipeline's name or path, whose run is finished.
        points: Values by setting.
        by: What the best is best in.
        tell: Called with each point's result as it comes.

    Raises:
        ConfigError: A setting or a value is wrong, before anything is asked.
        StageError: The run is not finished.
        LockedError: Another process sweeps the same run.
    """
    if not points:
        raise InputError("there are no points to sweep")
    whole = Sweep(name, overrides, rows=rows, retrain=retrain, report=report)
    made = [whole.point(values) for values in points]
    with whole.locked():
        # Points of one run follow each other, so that it is opened once; the table has them as they were given.
        order = sorted(range(len(made)), key=lambda place: (made[place].trained.name if made[place].ran else "", place))
        for done, place in enumerate(order, start=1):
            found = whole.ask(made[place])
            if tell is not None:
                tell(made[place].values, found)
            report("points", done, len(made))
        whole.results = [result for _, result in sorted(zip(order, whole.results, strict=True), key=lambda pair: pair[0])]
        return whole.table(by)
