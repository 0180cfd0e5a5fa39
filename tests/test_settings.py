"""Settings: frozen, described, each read by the stages that it says; what a change makes stale, held against the real runner."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from score_rag.errors import InputError
from score_rag.files import shipped_folder
from score_rag.pipeline.config import Pipeline, load_pipeline
from score_rag.pipeline.readers import all_settings, stale_stages
from score_rag.pipeline.runner import run
from score_rag.pipeline.show import changed_settings, full_yaml, settings_page
from score_rag.pipeline.stages import SHIPPED, STAGES
from score_rag.pipeline.state import status
from score_rag.predictor.settings import EngineSettings
from score_rag.retriever.settings import RetrieverSettings

ROOT = Path(__file__).resolve().parent.parent
EVERY = {setting.name: setting for setting in all_settings(Pipeline(name="any"))}
WORDS: dict[str, list[Any]] = {
    "description": ["another"],
    "data.source": ["movielens", "recbole"],
    "data.interactions": ["interactions.csv"],
    "data.items": ["items.csv"],
    "data.columns": [{"user_id": "user_id"}],
    "data.item_columns": [{"title": "title"}],
    "data.separator": [",", {"items": ";"}],
    "data.list_separator": ["/", {"genres": "/"}],
    "data.encoding": ["latin-1", {"items": "latin-1"}],
    "data.quote": ["none", {"items": "'"}],
    "data.header": [False, {"interactions": False}],
    "data.time_format": ["%d.%m.%Y", "seconds"],
    "data.time_zone": ["Europe/Berlin"],
    "data.decimal": [","],
    "data.list_column": ["impressions"],
    "data.labels": [{"like": 1, "dislike": 0}],
    "data.months.start": ["2001-01"],
    "data.months.train": [[1, 2]],
    "data.months.valid": [[24, 25]],
    "data.months.test": [[30, 31]],
    "crm.model": ["mf", "item-knn"],
    "crm.user_vectors": ["vectors.npy"],
    "crm.item_vectors": ["vectors.npy"],
    "documents.prompt": ["describe_profile"],
    "documents.tokenizer": ["nobody/nothing"],
    "retriever.encoder": ["nobody/nothing"],
    "retriever.store": ["http://localhost:9"],
    "retriever.store_options": [{"collection": "other"}],
    "reranker.encoder": ["nobody/nothing"],
    "reranker.similarity_encoder": ["nobody/nothing"],
    "reranker.temperature": [0.5],
    "reranker.assessor": ["nobody/nothing"],
    "reranker.assess_prompt": ["describe_user"],
    "reranker.measure_prompt": ["predict"],
    "reranker.question_prompt": ["describe_user"],
    "reranker.behaviour_prompt": ["describe_user"],
    "reranker.api_base": ["http://localhost:9"],
    "predictor.base": ["nobody/nothing"],
    "predictor.prompt": ["assess"],
    "predictor.bundled_base.width": [64],
    "predictor.bundled_base.heads": [2, 8],
    "predictor.lora_targets": [["k_proj"]],
    "predictor.scoring.engine": ["torch", "onnx"],
    "predictor.scoring.model": ["llama"],
    "predictor.scoring.api_key_env": ["KEY"],
    "crm.experts": [["sasrec"], []],
    "crm.weight_average": [0.5, 0.9],
    **{f"{section}.trainer.report_to": ["tensorboard"] for section in ("retriever", "reranker", "predictor")},
}
CHANGEABLE = [name for name in EVERY if name not in ("name", "runs", "data.path", "predictor.scoring.url")]


def others(name: str) -> list[Any]:
    """Some values of a setting that are not its default."""
    if name in WORDS:
        return WORDS[name]
    field, value = EVERY[name].field, EVERY[name].default
    choices = [choice for kind in (field.annotation, *get_args(field.annotation)) for choice in get_args(kind) if isinstance(choice, str)]
    if choices:
        return [choice for choice in choices if choice != value]
    if isinstance(value, bool):
        return [not value]
    if value is None:
        return [32, 64]
    return [value + 1, value + 2] if isinstance(value, int) else [value / 2, value / 4]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run whose stages are the shipped ones but for their work; (overrides of its pipeline, its stages)."""
    home = tmp_path_factory.mktemp("settings")
    for copy in ("here", "there"):
        (home / copy).mkdir()
        (home / copy / "interactions.csv").write_text("user_id,item_id,label\n")
        (home / copy / "items.csv").write_text("item_id,title\n")

    def work(context, folder):
        (folder / "index").mkdir()
        (folder / "index" / "out.txt").write_text("index")
        (folder / "out.txt").write_text(folder.name.split(".")[1])
        return {}

    stages = [replace(stage, run=work, check=None, plan=None) for stage in SHIPPED]
    base = [f"runs={home / 'runs'}", "data.source=table", f"data.path={home / 'here'}", "retriever.store=http://localhost:8"]
    run(load_pipeline("sample", overrides=base), stages)
    return base, stages, home


def stale(finished, changes: dict[str, Any]) -> list[str]:
    base, stages, _ = finished
    pipeline = load_pipeline("sample", overrides=[*base, *(f"{name}={yaml.safe_dump(value)}" for name, value in changes.items())])
    return [stage.name for stage in status(pipeline, stages) if stage.state != "finished"]


@pytest.mark.parametrize("name", CHANGEABLE)
def test_a_changed_setting_makes_exactly_those_stages_stale_that_the_page_says(finished, name):
    assert stale(finished, {}) == []
    for value in others(name):
        assert stale(finished, {name: value}) == list(stale_stages(EVERY[name], SHIPPED)), value


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_several_changed_settings_make_stale_what_each_of_them_does(finished, data):
    independent = [name for name in CHANGEABLE if not name.startswith(("data.months", "crm.model", "crm.loss", "crm.heads", "crm.dim"))]
    names = data.draw(st.lists(st.sampled_from(independent), min_size=2, max_size=4, unique=True))
    changes = {name: data.draw(st.sampled_from(others(name))) for name in names}
    if "data.source" in changes:
        changes = {name: value for name, value in changes.items() if not name.startswith("data.") or name == "data.source"}
    expected = {stage for name in changes for stage in stale_stages(EVERY[name], SHIPPED)}
    assert stale(finished, changes) == [stage for stage in STAGES if stage in expected]


def test_where_files_are_is_no_part_of_the_experiment(finished):
    assert stale(finished, {"data.path": str(finished[2] / "there")}) == []
    assert stale_stages(EVERY["data.path"], SHIPPED) == ()


def test_serving_settings_train_nothing_again_but_what_learns_from_them():
    found = {name: stale_stages(setting, SHIPPED) for name, setting in EVERY.items() if setting.kind == "serving"}
    assert found == {
        "crm.device": (),
        "retriever.chunk": (),
        "retriever.index_dtype": (),
        "retriever.similarity_top_k": ("reranker", "predictor"),
        "reranker.api_base": (),
        "reranker.concurrency": (),
        "reranker.max_failed": (),
        "reranker.retries": (),
        "reranker.timeout": (),
        "reranker.top_n": ("predictor",),
        **{
            f"{section}.trainer.{name}": ()
            for section in ("retriever", "reranker", "predictor")
            for name in ("checkpoint_gradients", "save_every", "report_to")
        },
        **{f"predictor.scoring.{name}": () for name in EngineSettings.model_fields},
    }


def test_the_page_of_settings_is_up_to_date():
    file = ROOT / "docs" / "settings.md"
    if os.environ.get("WRITE_DOCS"):
        file.write_text(settings_page(), encoding="utf-8")
    assert file.read_text(encoding="utf-8") == settings_page(), "write it again: WRITE_DOCS=1 .venv/bin/pytest tests/test_settings.py"


def test_every_setting_says_what_it_means():
    assert [name for name, setting in EVERY.items() if not setting.field.description] == []


@pytest.mark.parametrize(
    "overrides", [[], ["crm.model=item-knn", "crm.shrink=3", "retriever.store=http://x", "retriever.store_options={headers: {a: b}}"]]
)
def test_the_full_form_says_the_same_and_the_difference_is_what_was_said(overrides):
    pipeline = load_pipeline("sample", overrides=overrides)
    full = Pipeline.model_validate(yaml.safe_load(full_yaml(pipeline)))
    assert full.model_dump() == pipeline.model_dump()
    content = yaml.safe_load((shipped_folder("pipelines") / "sample.yaml").read_text(encoding="utf-8"))
    said = {f"{section}.{name}": value for section, values in content.items() if isinstance(values, dict) for name, value in values.items()}
    base = said.pop("predictor.bundled_base")
    said |= {f"predictor.bundled_base.{name}": value for name, value in base.items()}
    changed = changed_settings(load_pipeline("sample"))
    assert {name: now for name, (_, now) in changed.items()} == {
        name: value for name, value in said.items() if value != EVERY[name].default
    }
    assert changed["retriever.similarity_top_k"] == (10, 6) and len(changed) > 8
    if overrides:
        assert changed_settings(pipeline)["crm.shrink"] == (20.0, 3.0)


def test_settings_are_frozen_all_the_way_down():
    options = {"headers": {"key": "x"}, "list": [1, {"a": 1}]}
    found = RetrieverSettings(store="package.module:Store", store_options=options)
    options["headers"]["key"] = "changed"
    assert found.store_options["headers"]["key"] == "x" and hash(found) == hash(found.model_copy(deep=True))
    changes = [
        lambda: setattr(found, "epochs", 3),
        lambda: found.store_options.update(a=1),
        lambda: found.store_options["headers"].pop("key"),
        lambda: found.store_options.__setitem__("a", 1),
        lambda: found.store_options["list"][1].clear(),
        lambda: found.store_options["list"].append(2),
        lambda: RetrieverSettings().store_options.setdefault("a", 1),
    ]
    for change in changes:
        with pytest.raises((TypeError, ValueError, AttributeError)):
            change()
    assert found.model_dump()["store_options"] == {"headers": {"key": "x"}, "list": (1, {"a": 1})}


def test_single_settings_are_changed_and_checked_as_a_whole():
    assert RetrieverSettings().changed(epochs=9) == RetrieverSettings(epochs=9)
    with pytest.raises(InputError) as caught:
        RetrieverSettings().changed(epoch=9, batch_size=0, index_dtype="bfloat")
    for told in ("epoch: unknown key; did you mean 'epochs'?", "batch_size", "did you mean 'bfloat16'?"):
        assert told in str(caught.value)
    with pytest.raises(InputError, match="hold_out is 0"):
        RetrieverSettings(patience=1).changed(hold_out=0)
