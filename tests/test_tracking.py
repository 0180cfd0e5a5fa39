"""Metrics and losses in MLflow, by the real library, into a file of a temporary folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from run_copies import copy_run

from score_rag.errors import ConfigError
from score_rag.evaluation.ablate.ablation import ablate
from score_rag.evaluation.evaluate import evaluate_run
from score_rag.evaluation.evidence import evidence_reports
from score_rag.evaluation.sweep.sweep import sweep
from score_rag.pipeline import tracking
from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.runner import run
from score_rag.pipeline.stages import stages
from score_rag.pipeline.state import run_folder

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow and its database library warn of each other
pytest.importorskip("mlflow", reason="MLflow is not installed: tracking is not tested")


@pytest.fixture
def copied(toy_run, tmp_path, monkeypatch):
    """A copy of the toy run, in a folder of its own."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    copy_run(run_folder(toy_run), tmp_path / "runs" / "toy")

    def load(*overrides: str):
        return load_pipeline(str(toy_run.path), overrides=[f"runs={tmp_path / 'runs'}", *overrides])

    return load


def client(folder: Path):
    import mlflow

    return mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder / 'logs' / 'mlflow.db'}")


def test_evaluate_logs_its_metrics(copied, tmp_path):
    pipeline = copied("evaluation.report_to=mlflow")
    card = evaluate_run(pipeline, rows=40)
    assert any("logged to MLflow at sqlite:///" in note for note in card.notes)
    found = client(run_folder(pipeline))
    experiment = found.get_experiment_by_name("toy")
    (logged,) = found.search_runs([experiment.experiment_id])
    assert logged.info.run_name == "test-40-rows" and logged.info.status == "FINISHED"
    assert logged.data.metrics["SCORE.auc"] == pytest.approx(card.rows[0].auc.value)
    assert logged.data.metrics["SCORE.log_loss"] == pytest.approx(card.calibration.log_loss)
    assert logged.data.metrics["item_s like-rate in train.uauc"] == pytest.approx(
        next(r for r in card.rows if r.name.startswith("item")).uauc.value
    )
    assert logged.data.params["crm.model"] == "sasrec"
    evaluate_run(pipeline, rows=40)
    assert len(found.search_runs([experiment.experiment_id])) == 2, "the second table is another run of the same experiment"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"], "nothing is written into the working directory"


def test_every_table_logs_its_metrics(copied):
    pipeline = copied("evaluation.report_to=mlflow")
    (evidence,) = evidence_reports(pipeline, ("shuffled",), rows=40).values()
    ablation = ablate(pipeline, ["no-ci"], rows=40)
    swept = sweep(str(pipeline.path), [{"reranker.top_n": 1}], overrides=[f"runs={pipeline.runs}", "evaluation.report_to=mlflow"], rows=40)
    found = client(run_folder(pipeline))
    (experiment,) = [one for one in found.search_experiments() if one.name == "toy"]
    logged = {run.info.run_name: run.data.metrics for run in found.search_runs([experiment.experiment_id])}
    assert sorted(logged) == ["test-ablation-40-rows", "test-shuffled-40-rows", "valid-sweep-40-rows"]
    row = evidence.rows[0]
    assert logged["test-shuffled-40-rows"][f"{row.group}: {row.name}.auc"] == pytest.approx(row.auc)
    assert logged["test-ablation-40-rows"]["no-ci.uauc"] == pytest.approx(ablation.rows[1].metrics["uauc"].value.value)
    assert logged["valid-sweep-40-rows"]["reranker.top_n_1.log_loss"] == pytest.approx(swept.rows[0].metrics["log_loss"].value)


def test_a_server_that_is_away_costs_no_table(copied, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    card = evaluate_run(copied("evaluation.report_to=mlflow"), rows=40)
    assert any(note.startswith("not logged to MLflow at http://127.0.0.1:9") for note in card.notes)
    assert any("the prediction for each event is in" in note for note in card.notes)


def test_without_mlflow_it_is_told_before_anything_is_scored(copied, monkeypatch):
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(ConfigError) as caught:
        evaluate_run(copied("evaluation.report_to=mlflow"))
    assert 'pip install "score-rag[mlflow]"' in str(caught.value.hint)


def test_nothing_is_logged_unless_it_is_asked_for(copied):
    pipeline = copied()
    evaluate_run(pipeline, rows=40)
    assert not (run_folder(pipeline) / "logs").exists()


@pytest.mark.slow
def test_trainers_log_their_losses_beside_the_run(copied, tmp_path):
    pipeline = copied(
        "predictor.trainer.report_to=mlflow", "predictor.bundled_base.epochs=1", "predictor.epochs=2", "predictor.batch_size=1"
    )
    run(pipeline, stages(pipeline), only="predictor")
    found = client(run_folder(pipeline))
    runs = found.search_runs([found.get_experiment_by_name("toy").experiment_id])
    assert len(runs) == 2, "the bundled base and the adapter"
    assert all(one.data.metrics["train_loss"] > 0 for one in runs)
    losses = [step for one in runs for step in found.get_metric_history(one.info.run_id, "loss")]
    assert losses, "the adapter's 16 steps are logged every ten"
    assert all(step.value > 0 for step in losses)
    assert not {"MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"} & os.environ.keys()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"], "nothing is written into the working directory"
