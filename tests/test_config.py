"""Pipeline files: complete, strict, all mistakes at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from score_rag.errors import ConfigError, InputError
from score_rag.files import shipped_folder
from score_rag.pipeline.checks import check_predictor, check_reranker, check_retriever
from score_rag.pipeline.config import load_pipeline, pipeline_names
from score_rag.pipeline.show import changed_settings
from score_rag.pipeline.yaml_text import read_yaml
from score_rag.prompts import find_prompt

SHIPPED = sorted(shipped_folder("pipelines").glob("*.yaml"))


BEFORE = json.loads((Path(__file__).parent / "shipped_settings.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_pipeline_is_valid_short_and_named_like_its_file(path):
    pipeline = load_pipeline(str(path))
    assert pipeline.name == path.stem and pipeline.description
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    shown = {"data.source", "crm.model", "reranker.assessor", "predictor.base", "predictor.prompt"}
    said = {f"{section}.{name}" for section, values in content.items() if isinstance(values, dict) for name in values}
    assert shown <= said, "what a reader must see"
    assert {name.split(".bundled_base.")[0] for name in said - shown} <= {
        ".".join(name.split(".")[:2]) for name in changed_settings(pipeline)
    }
    sare = pipeline.reranker
    of_sare = (sare.assess_prompt, sare.measure_prompt, sare.question_prompt, sare.behaviour_prompt)
    for prompt in (pipeline.documents.prompt, *of_sare, pipeline.predictor.prompt):
        find_prompt(prompt)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_pipeline_resolves_to_what_it_said_in_full(path):
    """The values that each file had when they were last written down: a default that moves is noticed."""
    found = load_pipeline(str(path)).model_dump(mode="json")
    assert {name: found[name] for name in BEFORE[path.stem]} == BEFORE[path.stem]


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


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("name: x\ncrm:\n  dim: 8\n  heads: 2\n  dim: 16\n", "'dim' is given twice, in line 3 and again"),
        ("name: x\ndata: {k_core: 2, k_core: 3}\n", "'k_core' is given twice, in line 2"),
        ("name: x\ndata: {k_core: 2}\ncrm: {}\ndata: {}\n", "'data' is given twice, in line 2"),
    ],
)
def test_a_key_given_twice_is_refused_with_both_lines(tmp_path, content, told):
    path = tmp_path / "p.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=told) as caught:
        load_pipeline(str(path))
    assert str(path) in str(caught.value) and f"line {content.count(chr(10))}" in str(caught.value)
    with pytest.raises(ConfigError, match="'a' is given twice"):
        load_pipeline("sample", overrides=["data.columns={a: 1, a: 2}"])


def test_what_a_merge_brings_may_be_said_again(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("name: x\ncrm: &one {dim: 8, heads: 2}\n", encoding="utf-8")
    assert load_pipeline(str(path)).crm.dim == 8
    assert read_yaml("a: &one {dim: 8, heads: 2}\nb: {<<: *one, dim: 16}\n")["b"] == {"dim": 16, "heads": 2}


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


MISFITS = {
    "crm: {model: sasrec, dim: 48, heads: 5}": ["crm.heads: the heads do not divide the width: 5 heads, dim 48"],
    "crm: {model: lightgcn, dim: 49}": [],
    "crm: {model: din, loss: softmax}": ["crm.loss: the model din knows no loss softmax"],
    "crm: {model: file}": ["crm.user_vectors: Field required", "crm.item_vectors: Field required"],
    "crm: {model: sasrek, epochs: 0}": ["crm.model: there is no recommender 'sasrek'; did you mean 'sasrec'?", "crm.epochs"],
    "crm: {model: popularity}": ["crm.model: the recommender 'popularity' knows nobody like anybody"],
    "crm: {model: ease, penalty: 0}": ["crm.penalty: Input should be greater than 0"],
    "crm: {model: lightgcn, penalty: 3}": ["crm.penalty: unknown key"],
    "crm: {model: item-knn, nearset: 3}": ["crm.nearset: unknown key; did you mean 'nearest'?"],
    "data: {source: moveilens}": ["data.source: there is no data source 'moveilens'; did you mean 'movielens'?"],
    "data: {split: quantile}": ["data.split: Input should be", "did you mean 'quantiles'?"],
    "data: {train: 0.8, valid: 0.3}": ["data.valid: the shares of train and valid are more than everything: 0.8 + 0.3"],
    "data: {months: {train: [14, 25]}}": ["data.months: the months of the splits make no sense"],
    "data: {source: movielens, columns: {user_id: u}, items: x}": ["data.columns: for source table alone", "data.items: for source amazon"],
    "data: {path: here}": ["data.path: the source sample has no files"],
    "data: {source: table, columns: {user: u}}": ["data.columns: there is no column 'user' of ours to map; did you mean 'user_id'?"],
    "data: {source: table, columns: {user_id: u, item_id: u}}": ["data.columns: one column cannot be two of ours: u"],
    "data: {source: table, encoding: utf-9}": ["data.encoding: there is no such encoding: utf-9"],
    "retriever: {max_tokens: 513}": ["retriever.max_tokens: the encoder bundled reads at most 512 tokens, found 513"],
    "reranker: {max_tokens: 600}": ["reranker.max_tokens: the encoder bundled reads at most 512 tokens, found 600"],
    "retriever: {patience: 2, hold_out: 0}": ["retriever.patience: nothing tells a gain"],
    "retriever: {store_options: {collection: a}}": ["retriever.store_options: the store chroma has no option 'collection'; it has none"],
    "predictor: {bundled_base: {width: 30, heads: 4}}": ["predictor.bundled_base.heads: the heads do not divide the width"],
    "tally: {}": ["tally: unknown key"],
}


@pytest.mark.parametrize("text", MISFITS)
def test_what_does_not_fit_together_is_told_when_the_file_is_read(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(f"name: mine\n{text}\n", encoding="utf-8")
    if not MISFITS[text]:
        load_pipeline(str(path))
        return
    with pytest.raises(ConfigError) as caught:
        load_pipeline(str(path))
    for told in MISFITS[text]:
        assert told in str(caught.value)
    # Whatever is wrong elsewhere, of whatever kind, it is told beside it.
    path.write_text(f"name: mine\n{text}\nseed: x\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_pipeline(str(path))
    for told in [*MISFITS[text], "seed: "]:
        assert told in str(caught.value)


def test_an_encoder_in_a_folder_says_how_much_it_reads(tmp_path):
    for kind, most in (("bert", 64), ("mpnet", 62)):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": kind, "max_position_embeddings": 64}), encoding="utf-8")
        load_pipeline("sample", overrides=[f"retriever.encoder={tmp_path}", f"retriever.max_tokens={most}"])
        with pytest.raises(ConfigError, match=f"reads at most {most} tokens, found {most + 1}"):
            load_pipeline("sample", overrides=[f"retriever.encoder={tmp_path}", f"retriever.max_tokens={most + 1}"])


def test_the_earlier_name_of_bundled_models_still_works():
    old = ["predictor.base=embedded", "retriever.encoder=embedded", "predictor.embedded_base.width=64", "predictor.bundled_base.heads=2"]
    new = ["predictor.base=bundled", "retriever.encoder=bundled", "predictor.bundled_base.width=64", "predictor.bundled_base.heads=2"]
    assert load_pipeline("sample", overrides=old).model_dump() == load_pipeline("sample", overrides=new).model_dump()


@pytest.mark.parametrize(
    ("setting", "package"),
    [
        ("retriever.trainer.report_to=no_such_logger", "no_such_logger"),
        ("reranker.trainer.report_to=no_such_logger", "no_such_logger"),
        ("predictor.trainer.report_to=no_such_logger", "no_such_logger"),
        ("predictor.quantize=4bit", "bitsandbytes"),
    ],
)
def test_a_package_that_a_setting_needs_is_looked_for_before_any_stage(setting, package, monkeypatch):
    monkeypatch.setattr("score_rag.pipeline.checks.find_spec", lambda name: None)
    check = {"retriever": check_retriever, "reranker": check_reranker, "predictor": check_predictor}[setting.split(".")[0]]
    with pytest.raises(ConfigError, match="not installed") as caught:
        check(load_pipeline("sample", overrides=[setting]))
    assert caught.value.expected == package and caught.value.where == setting.split("=")[0]
    check(load_pipeline("sample"))
