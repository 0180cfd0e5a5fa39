"""What is advised is what helps: where data comes from, which names a run may have, what became of a table, where things are found."""

from __future__ import annotations

import pytest

from score_rag.cli.remedies import advice
from score_rag.errors import InputError
from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.stages import load_data


@pytest.mark.parametrize(
    ("pipeline", "said"),
    [
        ("ml-1m", "fetch it and set data.path to data/ml-1m afterwards, or to where it is: score-rag data fetch ml-1m"),
        (
            "ml-latest-small",
            "fetch it and set data.path to data/ml-latest-small afterwards, or to where it is: score-rag data fetch ml-latest-small",
        ),
        # Of another form than what can be fetched.
        ("ml-1m-collm", "--set data.path=FOLDER"),
        ("amazon-games", "--set data.path=FOLDER"),
    ],
)
def test_a_shipped_pipeline_without_data_names_the_data_set_to_fetch(monkeypatch, tmp_path, pipeline, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="where its files are") as caught:
        load_data(load_pipeline(pipeline))
    assert advice(caught.value) == said


def test_a_data_set_that_was_fetched_is_named_where_it_is(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "ml-1m").mkdir(parents=True)
    with pytest.raises(InputError) as caught:
        load_data(load_pipeline("ml-1m"))
    assert advice(caught.value) == "--set data.path=data/ml-1m"


def test_a_table_that_cannot_be_stored_is_told_and_says_why(monkeypatch, tmp_path):
    import polars as pl

    from score_rag.evaluation import stored

    table, content = pl.DataFrame({"label": [1]}), {"title": "toy", "made_from": {}, "notes": ["a note"]}
    pipeline = load_pipeline("sample", overrides=[f"runs={tmp_path / 'runs'}"])
    told = stored.store_table(pipeline, "test", {**content, "made_from": stored.made_from(pipeline)}, table, metrics={})
    assert told == [f"the prediction for each event is in {tmp_path / 'runs' / 'sample' / 'evaluation' / 'test'}.parquet"]
    assert pl.read_parquet(told[0].split(" in ")[1]).equals(table)
    (tmp_path / "file").write_text("no folder")
    unwritable = load_pipeline("sample", overrides=[f"runs={tmp_path / 'file'}"])
    made = {**content, "made_from": stored.made_from(unwritable)}
    (said,) = stored.store_table(unwritable, "test", made, table, metrics={})
    assert said == "this table was not stored: a folder cannot be written to (Not a directory)"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stored, "_write_parquet", full)
    (said,) = stored.store_table(pipeline, "test", {**content, "made_from": stored.made_from(pipeline)}, table, metrics={})
    assert said.startswith("this table was not stored: the disk is full (")
