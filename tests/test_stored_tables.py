"""Stored tables know what they are of: found again by split and kind, with what has changed since."""

from __future__ import annotations

import json

import polars as pl
import pytest

from score_rag.errors import InputError
from score_rag.evaluation.stored import changes_since, find_table, made_from, staleness, store_table, table_name
from score_rag.files import folder_lock, write_json
from score_rag.pipeline.config import Pipeline


def _stored(pipeline, name="test", **more):
    content = {"title": "toy", "notes": [], "made_from": made_from(pipeline), **more}
    return store_table(pipeline, name, content, pl.DataFrame({"row": [1]}), metrics={})


def test_a_stored_table_says_what_has_changed_since(tmp_path):
    pipeline = Pipeline(name="p", runs=str(tmp_path))
    write_json(tmp_path / "p" / "predictor" / "finished.json", {"content": "one"})
    write_json(tmp_path / "p" / "data" / "finished.json", {"content": "data"})
    assert _stored(pipeline) == [f"the prediction for each event is in {tmp_path / 'p' / 'evaluation' / 'test.parquet'}"]
    table = find_table(pipeline, "test", None)
    assert table["made_from"]["predictor"] == "one" and table["made_from"]["data"] == "data" and len(table["made_from"]["settings"]) == 64
    assert "nothing has changed" in staleness(pipeline, table)[0]
    write_json(tmp_path / "p" / "predictor" / "finished.json", {"content": "two"})
    (tmp_path / "p" / "data" / "finished.json").unlink()
    (data, predictor) = staleness(pipeline, table)
    assert "STALE" in data and "data: it is not finished now" in data and "predictor: another one was made since" in predictor
    (found,) = changes_since(
        table["made_from"], {**table["made_from"], **{n: made_from(_seeded(pipeline))[n] for n in ("settings", "values")}}
    )
    assert found == "settings: seed: 17 → 18"
    assert "older version" in staleness(pipeline, {"notes": []})[0]


def _seeded(pipeline):
    return pipeline.model_copy(update={"seed": 18, "runs": "elsewhere", "description": "other words"})


def test_the_last_table_of_a_split_is_found_and_each_kind_by_itself(tmp_path):
    pipeline = Pipeline(name="p", runs=str(tmp_path))
    for name, more in (("test", {}), ("test-20-rows", {"rows": 20}), ("test-evidence", {"kind": "evidence"})):
        _stored(pipeline, name, **more)
    folder = tmp_path / "p" / "evaluation"
    for name, when in (("test", "2020"), ("test-20-rows", "2021"), ("test-evidence", "2022")):
        write_json(folder / f"{name}.json", {**json.loads((folder / f"{name}.json").read_text()), "written": when})
    assert [find_table(pipeline, "test", *more)["written"] for more in ((None,), (20,), (None, "evidence"))] == ["2021", "2021", "2022"]
    assert not list(folder.glob(".*")), "nothing is left aside"
    for split, said in (("valid", "no table"), ("tset", "did you mean 'test'")):
        with pytest.raises(InputError) as caught:
            find_table(pipeline, split, None)
        assert said in f"{caught.value.what} {caught.value.hint}"


def test_what_was_scored_is_told_even_where_another_process_writes(tmp_path):
    pipeline = Pipeline(name="p", runs=str(tmp_path))
    with folder_lock(tmp_path / "p", doing="training"):
        (told,) = _stored(pipeline)
    assert "not stored" in told and "training" in told and not (tmp_path / "p" / "evaluation").exists()


def test_a_predictor_that_changed_meanwhile_is_told(tmp_path):
    pipeline = Pipeline(name="p", runs=str(tmp_path))
    before = made_from(pipeline)
    write_json(tmp_path / "p" / "predictor" / "finished.json", {"content": "new"})
    told, where = store_table(
        pipeline, table_name("test", None), {"title": "toy", "notes": [], "made_from": before}, pl.DataFrame({"row": [1]}), metrics={}
    )
    assert "changed while it was evaluated" in told and find_table(pipeline, "test", None)["notes"] == [told]
    assert where.endswith("test.parquet")
