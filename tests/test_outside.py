"""A package from outside adds a recommender, a data source and a stage: by entry points, and by `register`."""

from __future__ import annotations

import pytest

from score_rag.crm.baseline import Popularity
from score_rag.crm.registry import RECOMMENDERS, make_model, settings_of
from score_rag.crm.registry import register as register_recommender
from score_rag.data.sources import SOURCES, Source
from score_rag.data.sources import register as register_source
from score_rag.errors import ConfigError, InputError
from score_rag.files import read_json
from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.runner import run
from score_rag.pipeline.show import full_yaml
from score_rag.pipeline.stage import Stage
from score_rag.pipeline.stages import STAGE_REGISTRY, STAGES, stages
from score_rag.pipeline.stages import register as register_stage
from score_rag.pipeline.state import finished_folder, status

PACKAGE = """
import polars as pl
from pydantic import Field

from score_rag.crm.item_item import ItemKNN
from score_rag.crm.settings import ItemKNNSettings
from score_rag.data.sources import Source
from score_rag.files import write_json
from score_rag.pipeline.stage import Stage
from score_rag.settings import Settings


class ShyKNNSettings(ItemKNNSettings):
    shrink: float = Field(50.0, ge=0, description="more than item-kNN's")
    shyness: int = Field(2, ge=1, description="divides all scores")


class ShyKNN(ItemKNN):
    kind = "shy-knn"
    name = "shy item-kNN"
    settings_model = ShyKNNSettings
    settings: ShyKNNSettings

    def _scores(self, asked, places):
        return [scores / self.settings.shyness for scores in super()._scores(asked, places)]


class PipesSettings(Settings):
    mark: str = Field("|", description="between cells")


def read(folder, *, report, mark):
    rows = [line.split(mark) for line in (folder / "events.txt").read_text().split()]
    report.rows_read += len(rows)
    events = pl.DataFrame(rows, schema=["user_id", "item_id", "label", "timestamp"], orient="row")
    events = events.cast({"label": pl.Int8, "timestamp": pl.Int64, "user_id": pl.Categorical, "item_id": pl.Categorical})
    ids = events["item_id"].cast(pl.String).unique().sort()
    return events, pl.DataFrame({"item_id": ids, "title": ids})


PIPES = Source("events between marks", read, lambda folder: [folder / "events.txt"], settings=PipesSettings)


class TallySettings(Settings):
    times: int = Field(1, ge=1, description="how often each event counts")


def tally(context, folder):
    from score_rag.data.interactions import Interactions

    events = Interactions.read(context.folder("data")).events
    write_json(folder / "tally.json", {"events": len(events) * context.pipeline.tally.times})
    return {}


TALLY = Stage("tally", run=tally, needs=("data", "crm"), settings=TallySettings, reads=("data.history",))
"""
POINTS = """
[score_rag.recommenders]
shy-knn = outside_parts:ShyKNN
broken = outside_parts:Nothing

[score_rag.sources]
pipes = outside_parts:PIPES

[score_rag.stages]
tally = outside_parts:TALLY
"""


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A package that is installed, with a pipeline that uses what it brings."""
    site = tmp_path / "site"
    (site / "outside_parts-1.0.dist-info").mkdir(parents=True)
    (site / "outside_parts.py").write_text(PACKAGE, encoding="utf-8")
    (site / "outside_parts-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-parts\nVersion: 1.0\n")
    (site / "outside_parts-1.0.dist-info" / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(site)
    (tmp_path / "data").mkdir()
    rows = [f"u{user}|i{(user + turn) % 7}|{(user + turn) % 2}|{turn + 1}" for user in range(8) for turn in range(6)]
    (tmp_path / "data" / "events.txt").write_text("\n".join(rows))
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"name: mine\nruns: {tmp_path / 'runs'}\ndata: {{source: pipes, path: {tmp_path / 'data'}, split: leave-last-out}}\n"
        "crm: {model: shy-knn, shyness: 4, nearest: 5}\ntally: {times: 3}\n",
        encoding="utf-8",
    )
    yield path
    RECOMMENDERS.forget("shy-knn")
    SOURCES.forget("pipes")
    STAGE_REGISTRY.forget("tally")


def test_an_installed_package_adds_one_of_each(outside):
    pipeline = load_pipeline(str(outside))
    assert (pipeline.crm.shyness, pipeline.crm.shrink, pipeline.crm.nearest, pipeline.data.mark) == (4, 50.0, 5, "|")
    assert "shy-knn" in RECOMMENDERS.names() and "pipes" in SOURCES.names()
    known = stages(pipeline)
    assert [stage.name for stage in known] == [*STAGES, "tally"]
    wanted = [stage for stage in known if stage.name in ("data", "crm", "tally")]
    assert [found.action for found in run(pipeline, wanted)] == ["ran"] * 3
    assert read_json(finished_folder(pipeline, "crm") / "config.json")["settings"]["shyness"] == 4
    assert read_json(finished_folder(pipeline, "tally") / "tally.json") == {"events": 48 * 3}
    for change, late in (
        ("tally.times=4", ["tally"]),
        ("crm.shyness=5", ["crm", "tally"]),
        ("data.mark=;", ["data", "crm", "tally"]),
        ("data.history=positives", ["crm", "tally"]),
        ("reranker.pairs=11", []),
    ):
        changed = load_pipeline(str(outside), overrides=[change])
        assert [found.name for found in status(changed, wanted) if found.state != "finished"] == late, change
    text = full_yaml(pipeline)
    assert "  shyness: 4" in text and "# divides all scores" in text and "tally:" in text and "# how often each event counts" in text
    assert make_model("shy-knn", shyness=3).settings.shyness == 3 and "shyness" in settings_of("shy-knn")


def test_what_it_brings_is_checked_like_what_is_here(outside):
    wrong = ["crm.shyness=0", "crm.shynes=1", "data.marks=1", "tally.times=0"]
    with pytest.raises(ConfigError) as caught:
        load_pipeline(str(outside), overrides=wrong)
    told = str(caught.value)
    assert "crm.shyness: Input should be greater" in told and "crm.shynes: unknown key; did you mean 'shyness'?" in told
    assert "data.marks: unknown key; did you mean 'mark'?" in told and "tally.times: Input should be greater" in told
    with pytest.raises(ConfigError, match="did you mean 'shy-knn'"):
        load_pipeline(str(outside), overrides=["crm.model=shy-nn"])
    with pytest.raises(ConfigError, match="tallly: unknown key; did you mean 'tally'"):
        load_pipeline(str(outside), overrides=["tallly.times=3"])
    with pytest.raises(InputError, match="cannot be loaded"):
        make_model("broken")


def test_a_program_registers_parts_and_no_name_is_taken_twice():
    class Most(Popularity):
        kind = "most"

    register_recommender(Most)
    register_recommender(Most)
    try:
        assert isinstance(make_model("most"), Most)
        with pytest.raises(InputError, match="recommender 'mf' already"):
            register_recommender(type("MF", (Popularity,), {"kind": "mf"}))
        with pytest.raises(InputError, match="data source 'table' already"):
            register_source("table", Source("another", "a:b", "a:c"))
        with pytest.raises(InputError, match="stage 'crm' already"):
            register_stage(Stage("crm", run=lambda context, folder: {}))
        for wrong in (
            lambda: RECOMMENDERS.register("x", dict),
            lambda: SOURCES.register("x", 3),
            lambda: STAGE_REGISTRY.register("x", Stage),
        ):
            with pytest.raises(InputError, match="'x' is none"):
                wrong()
    finally:
        RECOMMENDERS.forget("most")


def test_a_stage_that_needs_what_is_not_there_is_refused():
    register_stage(Stage("late", run=lambda context, folder: {}, needs=("nowhere",)))
    try:
        with pytest.raises(ConfigError, match="'late' needs one that is not there"):
            stages(load_pipeline("sample", overrides=["late={}"]))
    finally:
        STAGE_REGISTRY.forget("late")
