"""The command line as a user types it: exit codes, one red line and a hint, JSON, and the page of its help."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from score_rag.cli import app, main

ROOT = Path(__file__).resolve().parent.parent


def typed(monkeypatch, capsys, *words: str) -> tuple[int, str, str]:
    """What `score-rag WORDS` exits with and prints."""
    monkeypatch.setattr(sys, "argv", ["score-rag", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        main()
    out, err = capsys.readouterr()
    return int(left.value.code or 0), out, err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run", "sampel"], 2, "did you mean 'sample'"),
        (["run", "sample", "--until", "retreiver"], 2, "did you mean 'retriever'"),
        (["run", "sample", "--set", "crm.dimm=3"], 2, "did you mean 'dim'"),
        (["status", "nowhere.yaml"], 2, "no such pipeline file"),
        (["recommend", "--user", "42"], 2, "--item 17, or --top 10"),
        (["recommend", "--user", "42", "--item", "17", "--set", "runs=/nowhere/at/all"], 1, "not finished"),
        (["recommend", "--user", "42", "--item", "17", "--as-of", "soon"], 2, "2021-06-30"),
        (["evaluate", "sample", "--set", "runs=/nowhere/at/all"], 1, "not finished"),
        (["prompts", "show", "predictt"], 2, "did you mean 'predict'"),
        (["prompts", "check", "nothing"], 2, "no prompt 'nothing'"),
        (["pipelines", "show", "nothing"], 2, "no pipeline 'nothing'"),
        (["recommend", "--user", "42", "--top", "3", "--show-prompt"], 2, "without --top"),
        (["run", "sample", "--set", "runs=/proc/nowhere"], 1, "cannot be written to"),
        (["run", "sample", "--dry-run", "--only", "crm", "--until", "data"], 2, "exclude each other"),
        (["init", "/proc/nowhere"], 1, "the file system refused"),
        (["run", "sample", "--set", "data.columns={user_id: x}"], 2, "for source table alone"),
        (["data", "show", "ml-1m", "--set", "data.path=/nowhere"], 1, "not there"),
        (["evaluate", "nothere.csv"], 2, "no such table"),
        (["compare", "nothere.csv", "nowhere.csv"], 2, "no such table"),
        (["init", "--data", "nothere.csv"], 2, "is missing"),
        (["shards", "check", "nothere"], 2, "no shards here"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_and_a_hint(monkeypatch, capsys, words, code, said):
    left, out, err = typed(monkeypatch, capsys, *words)
    assert left == code and out == "" and said in err
    assert err.startswith("error: ") and "Traceback" not in err


def test_stages_whose_data_is_missing_say_where_it_should_be(monkeypatch, capsys, tmp_path):
    words = ["run", "ml-latest-small", "--set", f"runs={tmp_path}", "--set"]
    left, _, err = typed(monkeypatch, capsys, *words, "data.path=/nowhere")
    assert left == 1 and "not there" in err and "--set data.path=FOLDER" in err
    left, _, err = typed(monkeypatch, capsys, *words, "data.path=null")
    assert left == 2 and "needs to know where its files are" in err


def test_recommend_speaks_to_people_and_machines(monkeypatch, capsys, toy, toy_run, toy_pipeline):
    seen = {event.item_id for event in toy.log.of("0")}
    item = next(name for name in toy.catalogue if name not in seen)
    words = ["recommend", "--user", "0", "--item", item, "--pipeline", toy_pipeline]
    code, out, err = typed(monkeypatch, capsys, *words, "--show-prompt")
    assert code == 0 and "P(like)" in out and "other users in the prompt" in out and "bundled" in out and err == ""
    code, out, err = typed(monkeypatch, capsys, *words, "--json")
    told = json.loads(out)
    assert told["parts"]["data"] and told["warnings"] == [one for one in told["warnings"] if "stale" not in one]
    assert code == 0 and err == "" and told["verdict"] in ("Yes", "No") and len(told["neighbours"]) == 2
    code, out, _ = typed(monkeypatch, capsys, "recommend", "--user", "0", "--top", "3", "--pipeline", toy_pipeline, "--json")
    ranked = [one["probability"] for one in json.loads(out)]
    assert json.loads(out)[0]["route"] == "recommender" or ranked == sorted(ranked, reverse=True)
    code, out, _ = typed(monkeypatch, capsys, "recommend", "--user", "0", "--top", "3", "--pipeline", toy_pipeline)
    assert code == 0 and "P(like)" in out


def test_status_and_dry_run_tell_how_a_run_stands(monkeypatch, capsys, toy_run, toy_pipeline):
    code, out, _ = typed(monkeypatch, capsys, "status", toy_pipeline, "--json")
    assert code == 0 and [stage["state"] for stage in json.loads(out)] == ["finished"] * 6
    words = ["run", toy_pipeline, "--dry-run", "--json", "--set", "reranker.pairs=20"]
    code, out, _ = typed(monkeypatch, capsys, *words)
    found = {stage["name"]: stage for stage in json.loads(out)}
    calls, kept = map(int, re.match(r"(\d+) calls to score-rag/offline; (\d+) answers are kept", found["reranker"]["plan"]).groups())
    assert found["reranker"]["action"] == "would run" and calls + kept == 20 and calls < 20, "what was asked before is not asked again"
    assert found["reranker"]["reason"] == "reranker.pairs: 24 → 20"
    code, out, _ = typed(monkeypatch, capsys, "run", toy_pipeline, "--dry-run", "--set", "documents.every=5")
    assert code == 0 and out == ""
    code, out, _ = typed(monkeypatch, capsys, "run", toy_pipeline, "--dry-run", "--json", "--set", "documents.every=5")
    assert "at most 24 calls" in {stage["name"]: stage for stage in json.loads(out)}["reranker"]["plan"]
    code, out, _ = typed(monkeypatch, capsys, "status", toy_pipeline)
    assert out.count("finished") == 6
    code, _, err = typed(monkeypatch, capsys, "run", toy_pipeline)
    assert code == 0 and err.count("skipped (unchanged)") == 6


def test_a_recommendation_from_a_stale_run_says_so(monkeypatch, capsys, toy_run, toy_pipeline):
    words = ["recommend", "--user", "0", "--item", "1", "--pipeline", toy_pipeline, "--set", "crm.dim=8"]
    code, out, err = typed(monkeypatch, capsys, *words)
    assert code == 0 and "P(like)" in out
    assert err.startswith("note: crm is stale (crm.dim: 16 → 8)") and err.rstrip().endswith(f"score-rag run {toy_pipeline} --set crm.dim=8")
    code, out, err = typed(monkeypatch, capsys, *words, "--json")
    assert code == 0 and err == "" and json.loads(out)["warnings"][0].startswith("crm is stale (crm.dim: 16 → 8)")
    top = ["recommend", "--user", "0", "--top", "2", "--pipeline", toy_pipeline, "--set", "crm.dim=8", "--json"]
    code, out, err = typed(monkeypatch, capsys, *top)
    assert code == 0 and err == "" and all("crm is stale" in one["warnings"][0] for one in json.loads(out))


def test_data_is_listed_shown_drawn_and_checked(monkeypatch, capsys, tmp_path, toy_run, toy_pipeline):
    listed = json.loads(typed(monkeypatch, capsys, "data", "list", "--json")[1])
    assert {"movielens", "amazon", "recbole", "table"} <= {source["name"] for source in listed["sources"]}
    assert "ml-1m" in typed(monkeypatch, capsys, "data", "list")[1]
    code, out, _ = typed(monkeypatch, capsys, "data", "show", toy_pipeline, "--plot", tmp_path / "toy.png")
    assert code == 0 and "648" in out and (tmp_path / "toy.png").read_bytes().startswith(b"\x89PNG")
    shown = json.loads(typed(monkeypatch, capsys, "data", "show", toy_pipeline, "--json")[1])
    assert shown["events"] == shown["reading"]["rows_read"] == 36 * 18
    code, out, _ = typed(monkeypatch, capsys, "data", "check", toy_pipeline, "--sample", "20")
    assert code == 0 and re.search(r"histories: ok, \d+ questions", out) and "not checked" not in out
    code, out, _ = typed(monkeypatch, capsys, "data", "check", toy_pipeline, "--sample", "20", "--json")
    assert code == 0 and json.loads(out)["ok"] is True
    code, _, err = typed(monkeypatch, capsys, "data", "fetch", "ml-1mm")
    assert code == 2 and "did you mean 'ml-1m'" in err


def test_evaluate_prints_the_trivial_rows_beside_score(monkeypatch, capsys, toy_run, toy_pipeline):
    code, out, _ = typed(monkeypatch, capsys, "evaluate", toy_pipeline, "--against", "no-ci", "--json")
    card = json.loads(out)
    names = [row["name"] for row in card["rows"]]
    assert code == 0 and card["reference"] == "same predictor, no CI"
    assert names[0] == "SCORE" and "item's like-rate in train" in names and "+ user's like-rate so far" in names
    assert card["rows"][0]["auc_p"] is not None
    code, out, _ = typed(monkeypatch, capsys, "evaluate", toy_pipeline, "--against", "item-average")
    assert code == 0 and "item's like-rate" in out and "UAUC" in out and "reference" in out


def test_a_malformed_prompt_hides_none_of_the_others(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "assess.md").write_text("no head")
    (tmp_path / "prompts" / "mine.md").write_text("none either")
    for words in (["prompts", "list"], ["prompts", "check"]):
        code, out, err = typed(monkeypatch, capsys, *words)
        assert code in (1, 2) and "predict" in out and "describe_user" in out
        assert err.count("error: a prompt file has no head") == 2 and "assess.md" in err and "mine.md" in err


def test_evaluate_with_baselines_prints_every_recommender_and_fits_each_once(monkeypatch, capsys, toy_run, toy_pipeline):
    words = ["evaluate", toy_pipeline, "--baselines", "--against", "item-average", "--json"]
    code, out, _ = typed(monkeypatch, capsys, *words)
    card = json.loads(out)
    rows = {row["name"]: row for row in card["rows"]}
    learned = {"SASRec", "SASRec, to rank", "LightGCN", "LightGCN, to rank", "DIN", "MF", "MF, to rank", "item-kNN", "EASE"}
    assert code == 0 and set(rows) >= learned | {"SCORE", "SASRec alone (CRM)", "popularity", "+ user's like-rate so far"}
    # The pipeline's own recommender is one of them: the same settings and seed give the same scores.
    assert rows["SASRec"]["auc"] == rows["SASRec alone (CRM)"]["auc"]
    assert all(0 < rows[name]["ndcg@10"] <= 1 and 0 < rows[name]["recall@10"] <= 1 for name in learned)
    assert rows["SCORE"]["ndcg@10"] is None, "SCORE judges one item; it does not rank the catalogue"
    assert rows["SASRec"]["auc"]["value"] > rows["popularity"]["auc"]["value"]
    markers = list((Path(toy_run.runs) / "toy" / "baselines").glob("*/belongs.json"))
    stamps = {marker: marker.stat().st_mtime_ns for marker in markers}
    again = json.loads(typed(monkeypatch, capsys, *words)[1])
    assert again["rows"] == card["rows"] and len(markers) == 9
    assert stamps == {marker: marker.stat().st_mtime_ns for marker in markers}
    code, out, _ = typed(monkeypatch, capsys, *words[:-1])
    assert code == 0 and "NDCG@10" in out and "LightGCN, to rank" in out
    wide = [line for line in out.splitlines() if len(line) > 100]
    assert not wide, wide


def test_an_item_is_found_by_its_title_and_a_shorter_ranking_begins_a_longer_one(monkeypatch, capsys, toy_run, toy_pipeline):
    words = ["recommend", "--user", "0", "--pipeline", toy_pipeline, "--json"]
    by_title = json.loads(typed(monkeypatch, capsys, *words, "--item", "dark garden")[1])
    assert by_title["item"]["name"].startswith("Dark Garden (")
    code, _, err = typed(monkeypatch, capsys, *words, "--item", "Garden")
    assert code == 2 and "did you mean" in err and "Garden (" in err
    few, more = (json.loads(typed(monkeypatch, capsys, *words, "--top", n)[1]) for n in ("2", "4"))
    assert [one["item"] for one in few] == [one["item"] for one in more][:2]


def test_a_quick_look_does_not_replace_the_whole(monkeypatch, capsys, toy_run, toy_pipeline):
    folder = Path(toy_run.runs) / "toy" / "evaluation"
    typed(monkeypatch, capsys, "evaluate", toy_pipeline, "--json")
    whole = (folder / "test.json").read_bytes()
    assert typed(monkeypatch, capsys, "evaluate", toy_pipeline, "--rows", "20", "--json")[0] == 0
    assert (folder / "test.json").read_bytes() == whole and (folder / "test-20-rows.json").is_file()


def test_rows_of_other_settings_are_not_called_by_the_new_ones(monkeypatch, capsys, toy_run, toy_pipeline):
    code, _, err = typed(monkeypatch, capsys, "evaluate", toy_pipeline, "--set", "data.threshold=3")
    assert code == 1 and "made with other settings" in err and "threshold" in err and "score-rag run" in err
    code, out, _ = typed(monkeypatch, capsys, "evaluate", toy_pipeline, "--set", "crm.dropout=0.3", "--json")
    assert code == 0 and any("crm is stale (dropout" in note or "crm is stale (crm.dropout" in note for note in json.loads(out)["notes"])


def test_baselines_need_the_data_alone(monkeypatch, capsys, tmp_path, toy_pipeline):
    runs = f"runs={tmp_path / 'runs'}"
    assert typed(monkeypatch, capsys, "run", toy_pipeline, "--until", "data", "--set", runs)[0] == 0
    code, out, _ = typed(monkeypatch, capsys, "evaluate", toy_pipeline, "--baselines", "--set", runs, "--set", "crm.epochs=1", "--json")
    card = json.loads(out)
    assert code == 0 and "SCORE" not in [row["name"] for row in card["rows"]] and len(card["rows"]) == 13
    assert any("without SCORE" in note for note in card["notes"])
    for split, said in (("valid", "a little too good"), ("train", "how well they are remembered"), ("test", "without SCORE")):
        words = ["evaluate", toy_pipeline, "--baselines", "--set", runs, "--set", "crm.epochs=1", "--json", "--split", split]
        notes = json.loads(typed(monkeypatch, capsys, *words)[1])["notes"]
        assert any(said in note for note in notes) and any("too good" in note for note in notes) is (split == "valid")


def test_prompts_and_pipelines_are_listed_shown_checked_and_copied(monkeypatch, capsys, tmp_path, toy_run, toy_pipeline):
    assert "predict" in typed(monkeypatch, capsys, "prompts", "list")[1]
    assert {p["name"] for p in json.loads(typed(monkeypatch, capsys, "prompts", "list", "--json")[1])} >= {"assess", "predict"}
    assert typed(monkeypatch, capsys, "prompts", "check")[1].count("ok: ") == len(list((ROOT / "prompts").glob("*.md")))
    assert typed(monkeypatch, capsys, "prompts", "show", "predict")[1].startswith("---\n")
    words = ["prompts", "preview", "predict", "--pipeline", toy_pipeline, "--user", "0", "--item", "1"]
    assert "What this user did" in typed(monkeypatch, capsys, *words)[1]
    assert "sample" in typed(monkeypatch, capsys, "pipelines", "list")[1]
    assert "predict_evidence" in typed(monkeypatch, capsys, "pipelines", "show", "sample")[1]
    assert typed(monkeypatch, capsys, "pipelines", "show", "sample", "--full")[1].count("\n") > 60
    assert typed(monkeypatch, capsys, "init", tmp_path)[1].count("wrote") >= 6
    mine = tmp_path / "prompts" / "predict.md"
    mine.write_text(mine.read_text() + "!")
    assert "kept" in typed(monkeypatch, capsys, "init", tmp_path)[1] and mine.read_text().endswith("!")


def test_doctor_says_what_is_here(monkeypatch, capsys):
    code, out, _ = typed(monkeypatch, capsys, "doctor", "--json")
    found = json.loads(out)
    assert code == 0 and found["ok"] and "digest as expected" in found["bundled_encoder"]
    assert "ready" in typed(monkeypatch, capsys, "doctor")[1]


def help_page() -> str:
    """Every command's help, as `docs/cli.md` holds it."""
    runner = CliRunner()
    pages = ["# The command line\n\nGenerated from `score-rag ... --help` by `tests/test_cli.py`; not edited by hand.\n"]
    commands = typer.main.get_command(app).commands
    groups = {name: command.commands for name, command in commands.items() if hasattr(command, "commands")}
    for words in [[], *([name] for name in commands), *([group, name] for group, names in groups.items() for name in names)]:
        told = runner.invoke(app, [*words, "--help"], prog_name="score-rag", env={"COLUMNS": "100", "TERM": "dumb"}, color=False)
        assert told.exit_code == 0, told.output
        pages.append(f"## {' '.join(['score-rag', *words])}\n\n```\n{told.output.strip()}\n```\n")
    return re.sub(r" +\n", "\n", "\n".join(pages))


def test_the_help_page_in_docs_is_what_the_program_says():
    file = ROOT / "docs" / "cli.md"
    if os.environ.get("WRITE_DOCS"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(help_page(), encoding="utf-8")
    assert file.read_text(encoding="utf-8") == help_page(), "write it again: WRITE_DOCS=1 .venv/bin/pytest tests/test_cli.py"


def test_the_door_in_a_checkout_is_the_same_program():
    told = subprocess.run([sys.executable, ROOT / "cli.py", "--version"], capture_output=True, text=True, check=True)
    assert told.stdout.startswith("score-rag ")
