"""Sweeps: what must be trained for a point and what is only asked; grids, lists and a search that goes on; curves."""

from __future__ import annotations

import io
import json

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from run_copies import copy_run

from score_rag.errors import ConfigError, InputError
from score_rag.evaluation.ablate.cost import Cost
from score_rag.evaluation.ablate.results import Result
from score_rag.evaluation.sweep import sweep as module
from score_rag.evaluation.sweep.plot import plot_sweep
from score_rag.evaluation.sweep.search import search
from score_rag.evaluation.sweep.space import Axis, assignments, grid, read_axis, read_list
from score_rag.evaluation.sweep.sweep import sweep
from score_rag.evaluation.sweep.table import SweepTable
from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.state import run_folder


@pytest.fixture
def own(toy_run, tmp_path):
    """(The toy pipeline's file, overrides) whose run lies in a folder that a test may write to."""
    folder = tmp_path / "runs"
    copy_run(run_folder(toy_run), folder / "toy", leave=("ablate", "sweep", "evaluation", ".lock"))
    return str(toy_run.path), [f"runs={folder}"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("reranker.top_n", "malformed"),
        ("reranker.top_n=", "malformed"),
        ("reranker.top_n=1,1", "twice"),
        ("crm.dim=9..3", "empty"),
        ("crm.dim=a..b", "of numbers"),
        ("crm.dim=[1", "not valid YAML"),
    ],
)
def test_a_malformed_axis_is_refused(text, said):
    with pytest.raises(InputError, match=said):
        read_axis(text)


def test_axes_are_lists_or_ranges():
    assert read_axis("crm.model=lightgcn,sasrec").values == ("lightgcn", "sasrec")
    assert read_axis("retriever.tune_layers=null,1").values == (None, 1)
    rate = read_axis("crm.learning_rate=1e-4..1e-2")
    assert (rate.low, rate.high, rate.whole, rate.log) == (1e-4, 1e-2, False, True)
    assert not read_axis("crm.dim=16..64").log
    with pytest.raises(InputError, match="listed values"):
        grid([Axis("a", (1, 2)), rate])
    with pytest.raises(InputError, match="each once"):
        grid([Axis("a", (1, 2)), Axis("a", (3, 4))])


def test_points_are_read_from_a_list(tmp_path):
    file = tmp_path / "points.yaml"
    file.write_text("- {reranker.top_n: 1}\n- {reranker.top_n: 2, crm.model: din}\n")
    assert read_list(file) == [{"reranker.top_n": 1}, {"reranker.top_n": 2, "crm.model": "din"}]
    file.write_text("reranker.top_n: 1\n")
    with pytest.raises(InputError, match="another form"):
        read_list(file)


def test_a_wrong_setting_is_told_before_anything_is_asked(own):
    name, overrides = own
    with pytest.raises(ConfigError, match="top_m"):
        sweep(name, [{"reranker.top_n": 1}, {"reranker.top_m": 1}], overrides=overrides)
    with pytest.raises(ConfigError, match="top_n"):
        search(name, [read_axis("reranker.top_n=1,two")], 2, overrides=overrides)
    with pytest.raises(ConfigError, match="dropout"):
        search(name, [read_axis("crm.dropout=0.1..7.0")], 2, overrides=overrides)
    assert not (run_folder(load_pipeline(name, overrides=overrides)) / "sweep").exists()


def test_serving_settings_train_nothing_and_answers_are_those_of_the_run(own, monkeypatch):
    name, overrides = own
    monkeypatch.setattr("score_rag.evaluation.sweep.points.run_stages", lambda *a, **k: pytest.fail("nothing is to be trained"))
    table = sweep(name, grid([Axis("retriever.similarity_top_k", (3, 6)), Axis("reranker.top_n", (0, 2))]), overrides=overrides)
    assert not table.failed and len(table.rows) == 4
    base = load_pipeline(name, overrides=overrides)
    rows = pl.read_parquet(run_folder(base) / "evaluation" / "valid-sweep.parquet")
    assert set(rows["split"].cast(pl.String)) == {"valid"}
    from score_rag.data.interactions import event_rows
    from score_rag.evaluation.against import ask
    from score_rag.pipeline.run import Run
    from score_rag.progress import silent

    run = Run.open(base)
    events = list(event_rows(run.interactions.events.filter(pl.col("split") == "valid")))
    expected = [answer.probability for answer in ask(run, events, silent)[0]]
    assert np.allclose(rows["3"].to_numpy(), expected, atol=1e-6), "Ke 6 and Ks 2 are the run's own"
    assert rows["0"].to_list() == rows["2"].to_list(), "with nobody told, it makes no difference who was found"
    assert table.rows[0].metrics["auc"].value < table.rows[3].metrics["auc"].value, "the toy's answers come from other users"
    assert table.rows[0].tokens < table.rows[3].tokens
    curve = pl.read_csv(run_folder(base) / "evaluation" / "valid-sweep.csv")
    assert curve["reranker.top_n"].to_list() == [0, 2, 0, 2] and (curve["auc_low"] <= curve["auc"]).all()


def test_what_is_learned_is_trained_once_and_kept(own, monkeypatch):
    name, overrides = own
    from score_rag.evaluation.sweep import points

    ran = []
    real = points.run_stages

    def stages(*args, **how):
        found = real(*args, **how)
        ran.append([status.name for status in found if status.action == "ran"])
        return found

    monkeypatch.setattr(points, "run_stages", stages)
    some = [{"predictor.epochs": 2, "reranker.top_n": 1}, {"predictor.epochs": 2, "reranker.top_n": 2}, {"reranker.top_n": 1}]
    table = sweep(name, some, overrides=overrides)
    assert ran == [["predictor"]], "one training for two points, and none for what is only asked"
    assert [row.values for row in table.rows] == some and not table.failed
    assert table.rows[0].seconds[0] > 0 == table.rows[2].seconds[0]
    again = sweep(name, some, overrides=overrides)
    assert ran == [["predictor"]] and [row.metrics for row in again.rows] == [row.metrics for row in table.rows]


def test_a_point_that_fails_is_told_and_the_others_go_on(own, monkeypatch):
    name, overrides = own
    real = module.Trained.ask

    def ask(self, point, events, **how):
        if point.values["reranker.top_n"] == 1:
            raise RuntimeError("no memory left")
        return real(self, point, events, **how)

    monkeypatch.setattr(module.Trained, "ask", ask)
    table = sweep(name, [{"reranker.top_n": 1}, {"reranker.top_n": 2}], overrides=overrides)
    assert table.failed == 1 and table.best == 1 and "no memory left" in table.rows[0].failed
    screen = Console(width=80, file=io.StringIO())
    screen.print(*table.tables())
    lines = screen.file.getvalue().splitlines()
    assert any("1: failed: " in line for line in lines)
    assert any("top_" in line for line in lines) and any(line.split()[:1] == ["2"] for line in lines), lines
    assert len(table.tables()) == 1 and table.to_dict()["best"] == {"reranker.top_n": 2}


@pytest.mark.slow
def test_a_search_that_was_killed_goes_on_and_ends_as_it_would_have(own, tmp_path):
    name, overrides = own
    axes = [read_axis("retriever.similarity_top_k=2..6"), read_axis("reranker.top_n=0,1,2")]
    copy_run(tmp_path / "runs", tmp_path / "other")
    whole = search(name, axes, 5, overrides=[f"runs={tmp_path / 'other'}"])

    def stop(values, found):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(name, axes, 5, overrides=overrides, tell=stop)
    part = search(name, axes, 3, overrides=overrides)
    assert [row.values for row in part.rows] == [row.values for row in whole.rows[:3]]
    found = search(name, axes, 5, overrides=overrides)
    assert [row.values for row in found.rows] == [row.values for row in whole.rows]
    assert [row.metrics for row in found.rows] == [row.metrics for row in whole.rows]
    values = [row.metrics["auc"].value for row in found.rows]
    assert found.best == int(np.argmax(values))
    with pytest.raises(InputError, match="numbers and texts"):
        search(name, [read_axis("predictor.lora_targets=[q_proj],[v_proj]")], 1, overrides=overrides)


def made(by: str = "auc") -> SweepTable:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 200)
    users = [f"u{row % 20}" for row in range(200)]
    cost = Cost(0.0, 1.0, 1.0, 20.0, None, None)
    results = [
        ({"a.k": k, "b.n": n}, Result(np.clip(labels * (0.1 * k + 0.05 * n) + generator.random(200) * 0.5, 0, 1), cost))
        for k in (1, 2)
        for n in (0, 4)
    ]
    return SweepTable.from_results(users, labels, results, by=by, resamples=50)


def test_the_best_is_best_in_what_was_asked_for_and_the_curve_is_drawn(tmp_path):
    table = made()
    again = SweepTable.from_dict(json.loads(json.dumps(table.to_dict())))
    assert again.to_dict() == table.to_dict() and again.best == 3 and len(again.tables()[0].rows) == 4
    assert table.best == 3 and table.rows[3].behind["auc"].value == 0 and table.rows[0].behind["auc"].high < 0
    assert made("log_loss").best == int(np.argmin([row.metrics["log_loss"].value for row in table.rows]))
    path = plot_sweep(table, tmp_path / "deep" / "sweep.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match="as PNG"):
        plot_sweep(table, tmp_path / "sweep.svg")
    assert assignments(table.rows[3].values) == ["a.k=2", "b.n=4"]
