"""One rule for where things are found: the working directory, `SCORE_RAG_HOME`, or `--home`; and names in any alphabet."""

from __future__ import annotations

import json
import sys
import unicodedata
from pathlib import Path

import pytest

from score_rag.cli import main, remedies
from score_rag.cli.doctor import gpus
from score_rag.errors import ConfigError, FetchDataset, InputError
from score_rag.files import HOME, at_home, home, local_model, named_file
from score_rag.pipeline.config import load_pipeline, pipeline_names
from score_rag.pipeline.state import run_folder
from score_rag.prompts import find_prompt, prompt_names


@pytest.fixture
def typed(monkeypatch, capsys, tmp_path):
    """What `score-rag WORDS` exits with and prints, in an empty working directory; the process's own home comes back afterwards."""
    monkeypatch.setenv(HOME, "")
    monkeypatch.setattr(remedies, "_program", "score-rag")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["score-rag", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return run


def world(folder: Path) -> Path:
    """A home with a prompt, a pipeline and data of its own; the pipeline's paths are relative."""
    from conftest import write_tables

    from score_rag.testing import toy_world

    (folder / "pipelines").mkdir(parents=True)
    (folder / "pipelines" / "shop.yaml").write_text("name: shop\ndata: {source: table, path: data/shop, split: column}\n", encoding="utf-8")
    write_tables(toy_world(users=8, items=6, events=6), folder / "data" / "shop")
    return folder


@pytest.mark.parametrize("how", ["--home", "variable", "working directory"])
def test_prompts_pipelines_runs_and_data_are_found_in_one_place(typed, tmp_path, monkeypatch, how):
    mine = world(tmp_path / "mine")
    before: list[object] = []
    if how == "--home":
        before = ["--home", mine]
    elif how == "variable":
        monkeypatch.setenv(HOME, str(mine))
    else:
        monkeypatch.chdir(mine)
    assert typed("init", mine)[0] == 0
    own = mine / "prompts" / "predict.md"
    own.write_text(own.read_text(encoding="utf-8").replace("What this user did", "So far"), encoding="utf-8")
    code, out, _ = typed(*before, "prompts", "list", "--json")
    used = {one["name"]: one for one in json.loads(out)}
    assert code == 0 and (Path(used["predict"]["path"])).resolve() == own and used["predict"]["hides"][0].endswith("predict.md")
    assert "(wins over " in typed(*before, "prompts", "list")[1] and "(wins over " in typed(*before, "pipelines", "list")[1]
    assert "So far" in typed(*before, "prompts", "show", "predict")[1]
    assert "path: data/shop" in typed(*before, "pipelines", "show", "shop")[1]
    code, _, err = typed(*before, "run", "shop", "--until", "data")
    assert code == 0 and "ran" in err and (mine / "runs" / "shop" / "data" / "finished.json").is_file()
    assert list((tmp_path / "here").iterdir()) == []
    code, out, _ = typed(*before, "status", "shop", "--json")
    assert json.loads(out)[0]["state"] == "finished"
    code, out, _ = typed(*before, "doctor", "--json")
    told = json.loads(out)
    assert (
        Path(told["home"]).resolve() == mine and told["runs_writable"] and Path(told["places"]["prompts"][0]).resolve() == mine / "prompts"
    )
    assert told["home_by"] == ("the working directory" if how == "working directory" else "--home or SCORE_RAG_HOME")


def test_what_is_advised_names_the_home_that_was_given(typed, tmp_path):
    mine = world(tmp_path / "mine")
    code, _, err = typed("--home", mine, "recommend", "--pipeline", "shop", "--user", "1", "--item", "1")
    assert code == 1 and f"score-rag --home {mine} run shop" in err
    assert remedies.command(FetchDataset("ml-1m")) == f"score-rag --home {mine} data fetch ml-1m"
    code, _, err = typed("--home", tmp_path / "nowhere", "doctor")
    assert code == 2 and "there is no such folder" in err


def test_init_says_how_its_copies_are_used(typed, tmp_path):
    code, out, _ = typed("init", "mine")
    assert code == 0 and "score-rag --home mine COMMAND" in out and f"{HOME}={tmp_path / 'here' / 'mine'}" in out
    code, out, _ = typed("init")
    assert code == 0 and "--home" not in out and (tmp_path / "here" / "prompts" / "predict.md").is_file()


def test_a_typed_path_is_seen_from_the_working_directory(typed, tmp_path):
    mine = world(tmp_path / "mine")
    (tmp_path / "here" / "near.yaml").write_text("name: near\ndescription: close by\n", encoding="utf-8")
    assert "close by" in typed("--home", mine, "pipelines", "show", "near.yaml")[1]


def test_paths_of_settings_are_seen_from_the_home(monkeypatch, tmp_path):
    monkeypatch.delenv(HOME, raising=False)
    assert home() == Path() and at_home("runs") == Path("runs")
    monkeypatch.setenv(HOME, str(tmp_path))
    (tmp_path / "models" / "mine").mkdir(parents=True)
    assert at_home("runs") == tmp_path / "runs" and at_home("/elsewhere") == Path("/elsewhere")
    assert local_model("models/mine") == str(tmp_path / "models" / "mine") and local_model("org/model") == "org/model"
    assert run_folder(load_pipeline("sample")) == tmp_path / "runs" / "sample"


@pytest.mark.parametrize("name", ["магазин", "商店", "हिन्दी", "épicerie", "2024.shop-b_1", "فروشگاه"])
def test_a_run_may_be_called_by_a_name_of_any_alphabet(monkeypatch, tmp_path, name):
    monkeypatch.setenv(HOME, str(tmp_path))
    (tmp_path / "pipelines").mkdir()
    decomposed = unicodedata.normalize("NFD", name)
    (tmp_path / "pipelines" / f"{decomposed}.yaml").write_text(f"name: {decomposed}\n", encoding="utf-8")
    pipeline = load_pipeline(unicodedata.normalize("NFC", name))
    assert pipeline.name == unicodedata.normalize("NFC", name) == run_folder(pipeline).name
    assert decomposed in pipeline_names()


@pytest.mark.parametrize("name", ["a b", "../x", ".hidden", "-x", "a/b", "", "a\\b", "x" * 201, "a\n"])
def test_what_is_no_name_is_refused_in_words(tmp_path, name):
    (tmp_path / "x.yaml").write_text(f"name: {json.dumps(name)}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_pipeline(str(tmp_path / "x.yaml"))
    assert "letters and digits (of any alphabet)" in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("data.months.start=April", "a month is written 2000-04"),
        ("data.months.start=2000-13", "a month is written 2000-04"),
        ("predictor.scoring.url=localhost", "an address begins with http:// or https://"),
    ],
)
def test_no_setting_answers_with_a_regular_expression(setting, said):
    with pytest.raises((ConfigError, InputError)) as caught:
        load_pipeline("sample", overrides=[setting])
    told = str(caught.value)
    assert said in told and "pattern" not in told and "^" not in told


def test_a_prompt_is_found_however_its_accents_are_written(monkeypatch, tmp_path):
    monkeypatch.setenv(HOME, str(tmp_path))
    (tmp_path / "prompts").mkdir()
    text = find_prompt("predict").path.read_text(encoding="utf-8")
    (tmp_path / "prompts" / "cafe\u0301.md").write_text(text, encoding="utf-8")
    assert find_prompt("caf\u00e9").path.parent == tmp_path / "prompts" and "cafe\u0301" in prompt_names()
    assert named_file(tmp_path / "prompts", "tea", ".md") is None and named_file(tmp_path / "none", "tea", ".md") is None


def test_doctor_names_the_gpus_that_torch_has(monkeypatch):
    from types import SimpleNamespace

    import torch

    assert gpus() == [] or torch.cuda.is_available()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda place: SimpleNamespace(name="H100", total_memory=80 * 2**30))
    assert gpus() == ["H100, 80 GiB (cuda:0)", "H100, 80 GiB (cuda:1)"]
