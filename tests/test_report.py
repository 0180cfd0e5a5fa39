"""The report of a run holds what ran and what was measured, opens from disk without a network, and escapes what comes from data."""

from __future__ import annotations

import json
import re

import polars as pl
import pytest
from browser import LOOKS, chromium, keep_screenshot, opened
from typer.testing import CliRunner

from score_rag.cli.app import app
from score_rag.errors import StageError
from score_rag.evaluation.evaluate import evaluate_run
from score_rag.evaluation.evidence import evidence_reports
from score_rag.explain.rows import explain_rows
from score_rag.files import read_json, write_json
from score_rag.pages.table import PageTable
from score_rag.pipeline.state import finished_record, run_folder
from score_rag.report.kinds import StoredKind, register, show_table
from score_rag.report.report import to_html, to_markdown, write_sections

runner = CliRunner()


@pytest.fixture(scope="module")
def evaluated(toy_run):
    """The toy run with a table of each kind."""
    evaluate_run(toy_run)
    evidence_reports(toy_run, ["evidence", "shuffled"])
    explain_rows(toy_run, 40)
    return toy_run


@pytest.fixture(scope="module")
def page(evaluated, tmp_path_factory):
    file = tmp_path_factory.mktemp("report") / "report.html"
    result = runner.invoke(app, ["report", str(evaluated.path), "--output", str(file)])
    assert result.exit_code == 0, result.output
    return file


def test_every_stored_table_is_there_with_its_numbers(page, evaluated):
    text = page.read_text(encoding="utf-8")
    files = sorted((run_folder(evaluated) / "evaluation").glob("*.json"))
    assert len(files) >= 4
    for file in files:
        assert f'id="table-{file.stem}"' in text
    card = read_json(run_folder(evaluated) / "evaluation/test.json")
    for row in card["rows"]:
        assert f"{row['auc']['value']:.4f}".removeprefix("0") in text
    for wanted in (
        "Reliability of SCORE",
        "Information used: all",
        "Settings that are not at their defaults (seed 3)",
        "Good and bad evidence",
    ):
        assert wanted in text
    for stage in ("data", "crm", "documents", "retriever", "reranker", "predictor"):
        assert finished_record(evaluated, stage)["content"][:16] in text


def test_stages_record_memory_and_machine(toy_run):
    for stage in ("data", "predictor"):
        record = finished_record(toy_run, stage)
        assert 20e6 < record["memory"] < 1e12
        assert record["machine"]["cores"] >= 1 and record["machine"]["python"].startswith("3.")
        assert record["written"].endswith("Z")


def test_good_and_bad_evidence_is_what_the_predictions_say(page, evaluated):
    text = page.read_text(encoding="utf-8")
    frame = pl.read_parquet(run_folder(evaluated) / "evaluation/test-evidence.parquet")
    column = "removed: all of other users"
    found = re.findall(r"<h4>User (\d+), .*?</h4>\s*<p>P\(like\) ([\d.]+) with it, ([\d.]+) without; the user (liked|disliked) it", text)
    assert 2 <= len(found) <= 6
    good = text.index('id="good"') if 'id="good"' in text else None
    for user, whole, without, verdict in found:
        rows = frame.filter((pl.col("user_id").cast(str) == user) & (pl.col("label") == (verdict == "liked")))
        assert any(f"{a:.3f}" == whole and f"{b:.3f}" == without for a, b in zip(rows["SCORE"], rows[column], strict=True))
    if good is not None:
        first = found[0]
        assert (float(first[1]) > float(first[2])) == (first[3] == "liked"), "the first ones moved the right way"


def test_markdown_says_the_same(evaluated, tmp_path):
    file = tmp_path / "report.md"
    assert runner.invoke(app, ["report", str(evaluated.path), "--output", str(file), "--markdown"]).exit_code == 0
    text = file.read_text(encoding="utf-8")
    card = read_json(run_folder(evaluated) / "evaluation/test.json")
    assert all(f"{row['uauc']['value']:.4f}".removeprefix("0") in text for row in card["rows"])
    assert "<" not in text.replace("\\<", "") and "## Cost" in text


def test_a_kind_that_nobody_announced_is_shown_and_can_be_announced(evaluated):
    hostile = "<img src=x onerror=alert(1)>"
    content = {
        "kind": "novelty",
        "title": "novel",
        "rows": [{"name": hostile, "auc": {"value": 0.71234, "low": 0.7, "high": None}}],
        "notes": [],
    }
    file = run_folder(evaluated) / "evaluation/test-novelty.json"
    write_json(file, content)
    try:
        page = to_html(evaluated, write_sections(evaluated))
        markdown = to_markdown(evaluated, write_sections(evaluated))
    finally:
        file.unlink()
    assert "0.7123 (0.7 to -)" in page and "0.7123 (0.7 to -)" in markdown
    assert "<img" not in page and "&lt;img src=x" in page and "<img" not in markdown.replace("\\<", "")

    class Novelty:
        def tables(self):
            from rich.table import Table

            table = Table("what", title="announced")
            table.add_row("[bold]this[/]")
            return [table]

    register("novelty", StoredKind("New", lambda content: Novelty()))
    title, tables, charts = show_table("novelty", content)
    assert (title, charts) == ("New", []) and tables == [PageTable("announced", ["what"], [["this"]], [False], [])]


def test_a_stale_table_is_marked(evaluated):
    file = run_folder(evaluated) / "evaluation/test.json"
    before = file.read_text(encoding="utf-8")
    content = json.loads(before)
    content["made_from"]["predictor"] = "another"
    write_json(file, content)
    try:
        page = to_html(evaluated, write_sections(evaluated))
    finally:
        file.write_text(before, encoding="utf-8")
    assert re.search(r'class="note bad">STALE, stored .*predictor: another one was made since', page)


def test_a_run_without_data_has_no_report(toy_run, tmp_path):
    with pytest.raises(StageError):
        write_sections(toy_run.model_copy(update={"runs": str(tmp_path)}))


def test_the_page_opens_in_a_browser_without_a_network(page, evaluated, tmp_path):
    one = tmp_path / "answer.html"
    result = runner.invoke(app, ["explain", str(evaluated.path), "--user", "3", "--item", "8", "--html", str(one)])
    assert result.exit_code == 0, result.output
    with chromium() as browser:
        for file in (page, one):
            for width, scheme in LOOKS:
                with opened(browser, file, width=width, scheme=scheme) as (tab, seen):
                    assert seen.requests == [] and seen.console == []
                    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"
                    assert tab.locator("table caption").count() == tab.locator("table").count() > 0
                    assert tab.locator("script").count() == 0
                    ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
                    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
                    keep_screenshot(tab, f"{file.stem}-{width}-{scheme}")
        with opened(browser, page) as (tab, _):
            assert tab.locator("figure svg").count() >= 4
            for link in tab.locator("nav a").all():
                assert tab.locator(link.get_attribute("href")).count() == 1
            identifiers = tab.evaluate("[...document.querySelectorAll('section[id]')].map(one => one.id)")
            assert len(identifiers) == len(set(identifiers))


def test_a_page_that_loads_from_elsewhere_is_noticed(tmp_path):
    file = tmp_path / "bad.html"
    file.write_text("<img src='http://127.0.0.1:9/a.png'><script>console.error('oh')</script>", encoding="utf-8")
    with chromium() as browser, opened(browser, file) as (_, seen):
        assert seen.requests == ["http://127.0.0.1:9/a.png"]
        assert any("oh" in line for line in seen.console)
