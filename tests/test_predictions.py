"""Tables of predictions: what a run writes is read again as it was, any system's table gets the same tables, and mistakes are named."""

from __future__ import annotations

import io
import json

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from test_cli import typed

from score_rag.errors import DataError, InputError, ScoreError
from score_rag.evaluation.evaluate_file import evaluate_file
from score_rag.evaluation.predictions import predictions_frame, read_predictions, write_predictions
from score_rag.evaluation.rows import parts_of
from score_rag.evaluation.scorecard import Scorecard


@pytest.mark.parametrize("ending", ["parquet", "csv", "tsv"])
def test_a_runs_predictions_evaluate_to_the_runs_own_table(monkeypatch, capsys, tmp_path, toy_run, toy_pipeline, ending):
    file = tmp_path / f"toy.{ending}"
    code, out, _ = typed(monkeypatch, capsys, "evaluate", toy_pipeline, "--predictions", file, "--k", "3", "--json")
    card = json.loads(out)
    assert code == 0 and f"predictions: {file}" in card["notes"]
    said = [row["name"] for row in card["rows"] if row["probabilities"]]
    assert said == ["SCORE", "item's like-rate in train"]
    options = [word for name in said for word in ("--probability", name)]
    code, out, err = typed(monkeypatch, capsys, "evaluate", file, "--k", "3", "--json", *options)
    again = json.loads(out)
    assert code == 0 and err == ""

    def plain(table):
        # Draws are seeded by the pipeline there: values are the same, intervals are not.
        if isinstance(table, dict):
            left_out = ("low", "high", "notes", "made_from", "title", "auc_p", "uauc_p")
            return {name: plain(value) for name, value in table.items() if name not in left_out}
        return [plain(one) for one in table] if isinstance(table, list) else table

    titles = [part["title"] for part in card["parts"]]
    assert titles == [part["title"] for part in again["parts"]] and any("user with" in title for title in titles)
    assert plain(again) == plain(card)
    if ending == "parquet":
        frame = pl.read_parquet(file)
        assert frame["made_from"].n_unique() == 1 and {"user_id", "item_id", "timestamp", "label", "neighbours"} <= set(frame.columns)


def test_a_table_of_another_system_needs_users_labels_and_scores(tmp_path):
    file = tmp_path / "theirs.csv"
    file.write_text("user_id,label,theirs,note\n007,1,2.5,x\n007,0,0.5,y\n8,1,1.5,z\n")
    card = evaluate_file(file)
    assert (card.users, card.left_out, card.only_liked) == (1, 1, 1)
    (row,) = card.rows
    assert row.name == "theirs" and row.auc.value == 1 and not row.probabilities and card.calibration is None
    assert "columns not read: note" in card.notes
    assert read_predictions(file).rows["user_id"].to_list() == ["007", "007", "8"], "ids are names"
    console = Console(width=80, file=io.StringIO())
    for table in card.tables():
        console.print(table)
    told = console.file.getvalue()
    assert "-: scores that are not probabilities" in told and "Recall@10" in told and "…" not in told, "whole at 80 columns"


def test_parts_are_by_activity_popularity_and_other_users():
    rows = pl.DataFrame({"user_events": [1, 9, 9, 20, 30, 40], "item_events": [5, 5, 5, 5, 5, 5], "neighbours": [0, 1, 2, 0, 0, 0]})
    found = parts_of(rows)
    assert found["cold (user or item with fewer)"].tolist() == [True] + [False] * 5
    assert found["with other users in the prompt"].tolist() == [False, True, True, False, False, False]
    activity = [inside for name, inside in found.items() if name.startswith("user with")]
    assert np.sum(activity, axis=0).tolist() == [1] * 6 and len(activity) == 3, "each row is in one third"
    assert not any(name.startswith("item with") for name in found), "what does not part the rows is left out"
    assert parts_of(pl.DataFrame({"user_id": ["a"]})) == {}


def test_thirds_of_equal_counts_are_never_parted():
    for counts in ([3, 3, 3, 3], [0, 0, 0, 9], [0, 5, 5, 5, 5, 9]):
        rows = pl.DataFrame({"user_events": counts})
        for inside in parts_of(rows).values():
            chosen = set(rows.filter(pl.Series(inside))["user_events"])
            assert not chosen & set(rows.filter(~pl.Series(inside))["user_events"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("user,label,s\n1,1,0.5\n", "expected: user_id"),
        ("user_id,s\n1,0.5\n", "label (0 or 1)"),
        ("user_id,label\n1,1\n", "no scorer"),
        ("user_id,label,s\n1,2,0.5\n1,0,0.5\n", "label: 1 values that are not 0 or 1"),
        ("user_id,label,s\n1,1,0.5\n1,0,\n1,1,NaN\n", "s: 2 scores that are no finite numbers, the first in row 2"),
        ("user_id,label,s\n1,1,inf\n", "no finite numbers"),
        ("user_id,label,s\n,1,0.5\n", "user_id: 1 empty"),
        ("user_id,label,s\n", "no rows"),
        ("user_id,label,s\n1,yes,0.5\n", "label: a column of 0 and 1"),
        ("", "lacks a column"),
        ("user_id,label,s\n1,1,0.5,9,9\n1,1\n", "cannot be"),
    ],
)
def test_a_table_that_cannot_be_scored_says_why(tmp_path, text, said):
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with pytest.raises(DataError) as caught:
        read_predictions(file)
    assert said in str(caught.value) and "bad.csv" in str(caught.value)


def test_names_and_places_that_are_not_there_are_refused(tmp_path):
    file = tmp_path / "p.csv"
    file.write_text("user_id,label,mine,text\n1,1,1.5,a\n1,0,0.5,b\n")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    for call, said in (
        (lambda: read_predictions(file, scorers=["min"]), "did you mean 'mine'"),
        (lambda: read_predictions(file, scorers=["text"]), "not a column of numbers"),
        (lambda: evaluate_file(file, probabilities=["mine"]), "not probabilities"),
        (lambda: evaluate_file(file, reference="yours"), "no scorer 'yours'"),
        (lambda: read_predictions(tmp_path / "none.csv"), "no such table"),
        (lambda: read_predictions(tmp_path / "broken.parquet"), "cannot be read"),
        (lambda: write_predictions(pl.DataFrame({"a": [1]}), tmp_path / "p.xlsx"), "known by its ending"),
        (lambda: write_predictions(pl.DataFrame({"a": [1]}), tmp_path / "nowhere" / "p.csv"), "no such folder"),
        (lambda: predictions_frame(pl.DataFrame({"label": [1]}), {"label": np.zeros(1)}, {}, {}), "called like a column"),
    ):
        with pytest.raises(ScoreError) as caught:
            call()
        assert said in str(caught.value)


def test_the_command_line_refuses_what_does_not_go_together(monkeypatch, capsys, tmp_path, toy_run, toy_pipeline):
    file = tmp_path / "p.csv"
    file.write_text("user_id,item_id,label,a,b\n1,x,1,1.5,.1\n1,y,0,0.5,.2\n2,x,1,0.5,.4\n2,y,0,0.7,.2\n")
    for words, said in (
        (["evaluate", file, "--evidence"], "a pipeline's run"),
        (["evaluate", file, "--against", "a", "--against", "b"], "one of its scorers"),
        (["evaluate", toy_pipeline, "--scorer", "a"], "a table of predictions"),
        (["evaluate", toy_pipeline, "--show", "--predictions", "x.csv"], "a new scorecard"),
        (["evaluate", toy_pipeline, "--predictions", tmp_path / "x.xlsx"], "known by its ending"),
        (["compare", file, "--scorer", "a"], "one scorer alone"),
        (["compare", file, "--json", "--markdown"], "exclude each other"),
        (["compare", toy_pipeline, file, "--split", "valid"], "no table of the valid split"),
    ):
        code, out, err = typed(monkeypatch, capsys, *words)
        assert code == 2 and out == "" and said in err, err
    code, out, _ = typed(monkeypatch, capsys, "compare", file, "--json", "--permutations", "200")
    assert code == 0 and {test["measure"] for test in json.loads(out)["tests"]} == {"auc", "uauc"}
    assert typed(monkeypatch, capsys, "evaluate", toy_pipeline)[0] == 0
    code, out, _ = typed(monkeypatch, capsys, "compare", toy_pipeline, toy_pipeline, "--markdown", "--permutations", "200")
    assert code == 0 and "| toy − toy (2) | log-loss | +0.0000" in out


def test_a_scorecard_is_read_again_as_it_was_written():
    rows = pl.DataFrame({"user_id": ["a", "a", "b", "b", "c"], "label": [1, 0, 1, 0, 0]})
    scores = {"p": np.array([0.9, 0.1, 0.4, 0.6, 0.2]), "s": np.array([3.0, 1.0, 2.0, 2.0, 0.0])}
    inside = {"some": np.array([True, True, True, False, True])}
    card = Scorecard.from_scores(rows, scores, resamples=30, probabilities=["p"], k=2, slices=inside, reliability="p")
    again = Scorecard.from_dict(json.loads(json.dumps(card.to_dict(), allow_nan=False)))
    assert again.to_dict() == card.to_dict() and again.rows[0].probabilities and not again.rows[1].probabilities
    with pytest.raises(InputError) as caught:
        Scorecard.from_scores(rows, {"s": scores["s"]}, probabilities=["s"])
    assert "scorer s" in str(caught.value)
