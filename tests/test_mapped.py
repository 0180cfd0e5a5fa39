"""Columns that are mapped are those that would be made, on whatever data; of what is torn, foreign or missing nothing is believed."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_columns import ObjectLog, cells, changes, same, same_columns, ties, world

from score_rag.data import interactions as data
from score_rag.data.interactions import SPLITS, Interactions, event_rows
from score_rag.data.mapped import FEWEST, FOLDER, map_columns
from score_rag.errors import DataError
from score_rag.files import VERIFY, sealed
from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.run import Run
from score_rag.pipeline.runner import run
from score_rag.pipeline.stages import stages
from score_rag.pipeline.state import run_folder, status

ROWS = [("u", "a", True, 1, "train", False), ("v", "b", False, 1, "train", False), ("u", "b", True, 1, "valid", False)]
FILES = [
    "columns.json",
    "log-item.npy",
    "log-ends.npy",
    "learned-ends.npy",
    "by-item-time.npy",
    "log-users.parquet",
    "by-item-items.parquet",
]


@pytest.fixture(scope="module", autouse=True)
def _few_are_enough():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "FEWEST", 1)
        yield


def kept(made: Interactions, folder: Path) -> Interactions:
    made.write(folder)
    made.keep_columns(folder)
    return Interactions.read(folder)


def equal(one: object, other: object) -> bool:
    """Two sets of columns."""
    pairs = [(getattr(one, field.name), getattr(other, field.name)) for field in fields(one)]  # type: ignore[arg-type]
    return all(
        mine.names.equals(theirs.names) if hasattr(mine, "names") else np.array_equal(np.asarray(mine), np.asarray(theirs))
        for mine, theirs in pairs
    )


@given(st.lists(cells, min_size=1, max_size=24), ties, st.booleans(), changes)
def test_what_is_mapped_is_what_would_be_made(rows, policy, by_time, steps):
    if by_time:
        rows = [(*row[:4], SPLITS[min(3, row[3] // 2)], row[5]) for row in rows]
    made = world(rows, policy)
    with tempfile.TemporaryDirectory() as place:
        found = kept(made, Path(place))
        judged = [event for event in made.rows() if not event.sampled]
        if judged and len(made.learned.filter(~made.learned["sampled"])):
            assert found._mapped is not None and not found.log.columns.time.flags.writeable and "events" not in found.__dict__
        assert found.sampled == made.sampled and found.ties == policy and found.items.equals(made.items)
        assert equal(found.log.columns, made.log.columns) and equal(found.train_log.columns, made.train_log.columns)
        assert equal(found.by_item, made.by_item)
        if len(made.learned):
            assert found.train_end == made.train_end
        else:
            with pytest.raises(DataError, match="no training events"):
                _ = found.train_end
        assert found.events.equals(made.events) and found.events.schema == made.events.schema
        for log, events in ((found.log, made.rows()), (found.train_log, event_rows(made.learned))):
            expected = ObjectLog(events, ties=policy)
            same(log, expected, list(made.rows()))
            same_columns(log, expected, made.events)
            for put, event in steps:
                assert (log.put if put else log.drop)(event) == (expected.put if put else expected.drop)(event)
            same(log, expected, list(made.rows()))
            same_columns(log, expected, made.events)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", ["flip", "tear", "empty", "remove"])
def test_what_is_not_whole_is_made_as_ever(name, harm, tmp_path):
    made = world(ROWS, "strict")
    assert kept(made, tmp_path)._mapped is not None
    file = tmp_path / FOLDER / name
    content = file.read_bytes()
    file.unlink()
    if harm != "remove":
        middle = len(content) - 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        file.write_bytes({"flip": flipped, "tear": content[:-3], "empty": b""}[harm])
    found = Interactions.read(tmp_path)
    assert found._mapped is None and equal(found.log.columns, made.log.columns) and equal(found.by_item, made.by_item)


def test_columns_of_other_events_are_not_believed(tmp_path):
    made, other = world(ROWS, "strict"), world([(*row[:2], not row[2], *row[3:]) for row in ROWS], "strict")
    kept(made, tmp_path / "one")
    kept(other, tmp_path / "other")
    shutil.rmtree(tmp_path / "one" / FOLDER)
    shutil.copytree(tmp_path / "other" / FOLDER, tmp_path / "one" / FOLDER)
    found = Interactions.read(tmp_path / "one")
    assert found._mapped is None and equal(found.log.columns, made.log.columns)


def test_arrays_that_do_not_fit_each_other_are_not_believed(tmp_path, monkeypatch):
    monkeypatch.setenv(VERIFY, "0")
    kept(world(ROWS, "strict"), tmp_path)
    np.save(tmp_path / FOLDER / "log-time.npy", np.zeros(2, dtype=np.int64))
    assert map_columns(tmp_path / "events.parquet") is None


def test_a_record_that_says_something_else_is_not_believed(tmp_path):
    kept(world(ROWS, "strict"), tmp_path)
    file = tmp_path / FOLDER / "columns.json"
    record = json.loads(file.read_text())
    file.write_text(json.dumps({**record, "facts": {"sampled": True, "train_end": 9}}))
    assert map_columns(tmp_path / "events.parquet") is None
    file.write_text(json.dumps(sealed({**{name: value for name, value in record.items() if name != "seal"}, "format": 0})))
    assert map_columns(tmp_path / "events.parquet") is None, "of another version"


def test_events_are_those_of_the_columns_when_others_take_their_place(tmp_path):
    made, other = world(ROWS, "strict"), world(ROWS[:1], "strict")
    found = kept(made, tmp_path / "data")
    (tmp_path / "data").rename(tmp_path / "old")
    kept(other, tmp_path / "data")
    shutil.rmtree(tmp_path / "old")
    assert found.events.equals(made.events) and found.log.users == ["u", "v"]


def test_few_events_leave_no_columns(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "FEWEST", FEWEST)
    assert kept(world(ROWS, "strict"), tmp_path)._mapped is None and not (tmp_path / FOLDER).exists()


def test_models_and_statistics_learn_from_mapped_columns_as_from_others(tmp_path):
    from score_rag.context.examples import sample_events
    from score_rag.context.rates import ItemRates
    from score_rag.crm.item_item import ItemKNN
    from score_rag.testing import toy_world

    made = toy_world()
    found = kept(made, tmp_path)
    one, other = (ItemKNN().fit(world) for world in (made, found))
    assert np.array_equal(one.score_catalogue(made.log.users[:9]), other.score_catalogue(made.log.users[:9]))
    assert sample_events(made, "test", 20, seed=0) == sample_events(found, "test", 20, seed=0)
    rates = [[ItemRates(world).rate(item, 40) for item in made.items["item_id"]] for world in (made, found)]
    assert rates[0] == rates[1] and found._mapped is not None


def test_a_run_answers_without_columns_that_were_changed_and_makes_again_those_that_are_gone(toy_pipeline, tmp_path):
    pipeline = load_pipeline(str(toy_pipeline)).model_copy(update={"runs": str(tmp_path)})
    parts = [stage for stage in stages(pipeline) if stage.name in ("data", "documents")]
    run(pipeline, parts)
    folder = run_folder(pipeline) / "data" / FOLDER
    first = Run.open(pipeline, stages=("data",)).interactions
    assert first._mapped is not None and [known.state for known in status(pipeline, parts)] == ["finished"] * 2
    file = folder / "log-item.npy"
    content = bytearray(file.read_bytes())
    file.unlink()
    content[-1] ^= 1
    file.write_bytes(content)
    second = Run.open(pipeline, stages=("data",)).interactions
    assert second._mapped is None and equal(second.log.columns, first.log.columns)
    shutil.rmtree(folder)
    assert status(pipeline, parts)[0].state == "stale"
    assert [one.action for one in run(pipeline, parts)] == ["ran", "skipped"], "what others read of it is what it was"
    assert (folder / "columns.json").is_file() and Run.open(pipeline, stages=("data",)).interactions._mapped is not None
