"""Pipeline files: complete, strict, all mistakes at once."""

from __future__ import annotations

import pytest
import yaml
from pydantic import BaseModel

from score_rag.errors import ConfigError, InputError
from score_rag.files import shipped_folder
from score_rag.pipeline.config import Pipeline, load_pipeline, pipeline_names
from score_rag.prompts import find_prompt

SHIPPED = sorted(shipped_folder("pipelines").glob("*.yaml"))


def keys(model: type[BaseModel], before: str = "") -> set[str]:
    found = set()
    for name, field in model.model_fields.items():
        kind = field.annotation
        inner = isinstance(kind, type) and issubclass(kind, BaseModel)
        found |= keys(kind, f"{before}{name}.") if inner else {before + name}
    return found


def said(content: dict, before: str = "") -> set[str]:
    found = set()
    for name, value in content.items():
        found |= said(value, f"{before}{name}.") if isinstance(value, dict) and value else {before + name}
    return found


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_pipeline_is_valid_complete_and_named_like_its_file(path):
    pipeline = load_pipeline(str(path))
    assert pipeline.name == path.stem and pipeline.description
    assert said(yaml.safe_load(path.read_text(encoding="utf-8"))) == keys(Pipeline), "what the file says is the experiment: every key"
    if path.stem == "template":
        plain = Pipeline(name="template", description=pipeline.description, data={"source": "table"})
        assert pipeline.model_dump() == plain.model_dump(), "the template shows the defaults"
    for prompt in (pipeline.documents.prompt, pipeline.reranker.assess_prompt, pipeline.predictor.prompt):
        find_prompt(prompt)


def test_all_mistakes_are_told_at_once_with_the_nearest_key(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\ncrm: {dimm: 8, epochs: none}\nretriver: {}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_pipeline(str(path))
    text = str(caught.value)
    assert "3 mistakes" in text and caught.value.exit_code == 2
    assert "crm.dimm: unknown key; did you mean 'dim'?" in text
    assert "retriver: unknown key; did you mean 'retriever'?" in text
    assert "crm.epochs" in text and "'none'" in text


@pytest.mark.parametrize("content", ["", "- a\n- b\n", "name: [", "name: 'a b'\n"])
def test_what_is_no_pipeline_is_refused(tmp_path, content):
    path = tmp_path / "p.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError):
        load_pipeline(str(path))


def test_settings_are_changed_by_key_and_value():
    pipeline = load_pipeline("sample", overrides=["crm.dim=8", "predictor.lora_targets=[q_proj]", "data.path=null"])
    assert pipeline.crm.dim == 8 and pipeline.predictor.lora_targets == ("q_proj",) and pipeline.data.path is None
    for wrong in ("crm.dim", "crm.dim.x=1", "crm.dim=[", "crm.nothing=1"):
        with pytest.raises(ConfigError):
            load_pipeline("sample", overrides=[wrong])


def test_a_pipeline_is_found_by_name_or_path_and_ones_own_wins(tmp_path, monkeypatch):
    assert set(pipeline_names()) >= {"sample", "ml-latest-small", "ml-1m-collm"}
    with pytest.raises(InputError, match="did you mean 'sample'"):
        load_pipeline("sampel")
    with pytest.raises(InputError, match="no such pipeline file"):
        load_pipeline("nowhere.yaml")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "sample.yaml").write_text("name: sample\nseed: 99\n", encoding="utf-8")
    assert load_pipeline("sample").seed == 99
