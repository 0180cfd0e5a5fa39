"""`score-rag assess`, and the report on what assessments are like."""

from __future__ import annotations

import json

import numpy as np
import pytest
from assess_world import INPUT, OUTPUT, PROMPT, answer, questions, quick  # noqa: F401
from test_cli import typed

from score_rag.errors import DataError, InputError
from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.runner import run
from score_rag.pipeline.stages import stages
from score_rag.reranker.assess import assess
from score_rag.reranker.assess_plot import plot_report
from score_rag.reranker.assess_report import report_assessments
from score_rag.reranker.assessment import Assessment
from score_rag.reranker.settings import AssessmentSettings
from score_rag.reranker.spend import journal_path, read_spend
from score_rag.testing import BatchServer, ChatServer

# LiteLLM's own types make pydantic warn when they are first used.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Item .* on TypedDict class:UserWarning"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
    pytest.mark.usefixtures("quick"),
]


@pytest.fixture
def assessed(toy_pipeline, tmp_path):
    """Words that name a toy run whose data and documents are finished."""
    changes = [f"runs={tmp_path / 'runs'}", "reranker.pairs=12"]
    pipeline = load_pipeline(str(toy_pipeline), overrides=changes)
    for stage in ("data", "documents"):
        run(pipeline, stages(pipeline), only=stage)
    return [toy_pipeline, *(word for change in changes for word in ("--set", change))]


def test_the_command_estimates_asks_counts_shows_and_reports(monkeypatch, capsys, assessed):
    def told(*words):
        code, out, err = typed(monkeypatch, capsys, "assess", words[0], *assessed, *words[1:])
        assert (code, err) == (0, ""), err
        return json.loads(out) if "--json" in words else out

    assert told("run", "--dry-run", "--json")["calls"] == 12 and told("status", "--json")["answered"] == 0
    assert "12 calls to score-rag/offline" in told("run", "--dry-run") and told("show") == ""
    assert told("run").startswith("12 of 12 questions answered by score-rag/offline\n0 calls")
    assert told("run", "--dry-run", "--json")["kept"] == 12 and told("status", "--json")["waiting"] == 0
    rows = told("show", "--json", "--limit", "12")
    assert len(rows) == 12 and rows[0]["outcome"] == "answered" and rows[0]["characteristics"]
    mine = told("show", "--json", "--user", rows[3]["user_id"], "--item", rows[3]["item_id"])
    assert rows[3] in mine and rows[3]["characteristics"][0] in told("show", "--user", rows[3]["user_id"])
    report = told("report", "--json")
    assert report[0]["group"] == "all" and report[0]["answered"] == 12
    for by in ("activity", "strength"):
        assert sum(row["questions"] for row in report if row["by"] == by) == 12
    assert 0 <= report[0]["other_items"] < 1 and "by the words that both use" in told("report")
    code, out, _ = typed(monkeypatch, capsys, "run", *assessed, "--dry-run", "--json")
    plans = {stage["name"]: stage["plan"] for stage in json.loads(out)}
    assert code == 0 and plans["reranker"] == "0 calls to score-rag/offline; 12 answers are kept from before"


def test_the_bar_says_what_was_spent_so_far(tmp_path):
    told = []
    settings = AssessmentSettings(assessor="openai/gpt-4o-mini", concurrency=1)
    with ChatServer(answer) as server:
        asked = {"prompt": PROMPT, "out": tmp_path / "a.jsonl", "report": lambda *one: told.append(one)}
        assess(questions(4), settings.changed(api_base=server.url), **asked)
    spends = [read_spend(journal_path(tmp_path / "a.jsonl"))]
    assert told[-2] == (f"asking for assessments · {spends[0]}", 4, 4) and told[-2][0].startswith("asking for assessments · $0.00")
    assert [done for _, done, _ in told[:4]] == [1, 2, 3, 4] and "· $" in told[0][0] and ", 1 calls, " in told[0][0]


def test_the_command_stops_at_a_limit_with_a_status_of_its_own_and_goes_on(monkeypatch, capsys, assessed):
    def say(body):
        return '{"characteristics": ["likes heist films"], "reason": "because"}'

    with ChatServer(say, fault=lambda count: "refusal" if count < 3 else None) as server:
        model = ["reranker.assessor=openai/gpt-4o-mini", f"reranker.api_base={server.url}", "reranker.max_failed=0.5"]
        model += ["reranker.concurrency=1", "reranker.max_answer_tokens=50"]
        words = [*assessed, *(word for change in model for word in ("--set", change))]
        code, out, _ = typed(monkeypatch, capsys, "assess", "run", *words, "--dry-run", "--json")
        planned = json.loads(out)
        assert code == 0 and planned["calls"] == 12 and not server.requests
        assert planned["cost"] == pytest.approx(planned["prompt_tokens"] * INPUT + 12 * 50 * OUTPUT)
        code, out, err = typed(monkeypatch, capsys, "assess", "run", *words, "--max-requests", "7")
        assert (code, out) == (3, "") and "the limit max_requests was reached" in err and "4 of 12 answers are kept" in err
        found = json.loads(typed(monkeypatch, capsys, "assess", "status", *words, "--json")[1])
        assert (found["answered"], found["waiting"], found["failed"], found["spend"]["requests"]) == (4, 8, {"refused": 1}, 7)
        assert "refused" in typed(monkeypatch, capsys, "assess", "show", *words)[1]
        code, out, _ = typed(monkeypatch, capsys, "assess", "run", *words, "--max-cost", "0.01")
        assert code == 0 and out.startswith("12 of 12 questions answered") and len(server.requests) == 15
        # Everybody is told the same here, and the report says so.
        report = json.loads(typed(monkeypatch, capsys, "assess", "report", *words, "--json")[1])
        assert report[0]["other_items"] == 1.0 and report[0]["words"] == 3.0
    with BatchServer(say) as server:
        model[1] = f"reranker.api_base={server.url}"
        words = [*assessed, *(word for change in [*model, "reranker.temperature=0.5"] for word in ("--set", change))]
        half = json.loads(typed(monkeypatch, capsys, "assess", "run", *words, "--dry-run", "--batch", "--json")[1])
        assert half["calls"] == 12 and half["cost"] == pytest.approx(planned["cost"] / 2)
        code, out, _ = typed(monkeypatch, capsys, "assess", "run", *words, "--batch", "--max-requests", "12")
        assert code == 0 and out.startswith("12 of 12 questions answered") and (len(server.batches), len(server.requests)) == (1, 12)
    code, _, err = typed(monkeypatch, capsys, "assess", "run", *assessed, "--set", "documents.every=5")
    assert code == 1 and "which is stale" in err and "--until documents" in err


def test_the_report_tells_what_is_said_of_the_user_from_what_is_said_of_anybody():
    requests = questions(20)
    own = [Assessment(characteristics=[f"judged film{n}", f"likes genre{n}"]) for n in range(20)]
    anybody = [Assessment(characteristics=[f"judged place{n % 5}", "likes films"]) for n in range(20)]
    asked = {"outcomes": [None] * 20, "activity": range(20)}
    (all_own, *_), (all_any, *thirds) = (report_assessments(requests, said, **asked) for said in (own, anybody))
    assert all_own.same_item == pytest.approx(1 / 3) and all_any.same_item == 1.0 and all_any.distinctness == 0.0
    assert all_any.other_items == pytest.approx(3 / 5) and (all_any.characteristics, all_any.words) == (2.0, 4.0)
    assert [row.questions for row in thirds] == [7, 6, 7] and [row.group for row in thirds] == ["up to 6", "over 6 to 12", "over 12"]
    equal = report_assessments(requests, own, outcomes=[None] * 20, activity=[3] * 20, strength=[0.1] * 12 + [0.9] * 8)
    assert [(row.by, row.group, row.questions) for row in equal[1:]] == [
        ("activity", "up to 3", 20),
        ("strength", "up to 0.10", 12),
        ("strength", "over 0.10 to 0.90", 8),
    ]
    lost = report_assessments(requests, [None] * 20, outcomes=["invalid"] * 20, activity=range(20))
    assert lost[0].failed == {"invalid": 20} and lost[0].words is None


def test_the_report_tells_how_well_assessments_foresee_with_an_interval_over_users():
    requests = questions(20)
    agreement = np.array([0.5] * 10 + [-0.1] * 9 + [np.nan])
    asked = {"outcomes": [None] * 20, "activity": range(20), "agreement": agreement}
    rows = report_assessments(requests, [Assessment(characteristics=["likes noir"])] * 20, **asked)
    found = rows[0].agreement
    assert found.value == pytest.approx((10 * 0.5 - 9 * 0.1) / 19) and found.low < found.value < found.high
    assert rows[1].agreement.value == 0.5 == rows[1].agreement.low and rows[3].agreement.value == pytest.approx(-0.1)
    assert json.loads(json.dumps(rows[0].to_dict()))["agreement"]["value"] == found.value


def test_pictures_of_a_report_are_the_same_for_the_same_report_and_other_for_another(tmp_path):
    requests = questions(20)
    said = [Assessment(characteristics=[f"judged film{n}", f"likes genre{n}"]) for n in range(20)]
    told = {"outcomes": [None] * 20, "activity": range(20), "strength": [n / 20 for n in range(20)]}
    plain = report_assessments(requests, said, **told)
    measured = report_assessments(requests, said, **told, agreement=np.linspace(-0.2, 0.4, 20))
    for kind in ("png", "svg"):
        first, again, other = (
            plot_report(rows, tmp_path / f"{name}.{kind}", title="$ [x]").read_bytes()
            for name, rows in (("a", measured), ("b", measured), ("c", plain))
        )
        assert first == again != other and len(first) > 5000
    with pytest.raises(InputError, match="PNG or SVG"):
        plot_report(plain, tmp_path / "a.pdf")
    with pytest.raises(DataError, match="no assessments"):
        plot_report(report_assessments(requests, [None] * 20, **told), tmp_path / "d.png")
    assert sorted(one.name for one in tmp_path.iterdir()) == [f"{n}.{kind}" for n in "abc" for kind in ("png", "svg")]


def test_the_command_measures_what_assessments_foresee_and_draws_it(monkeypatch, capsys, toy_run, toy_pipeline, tmp_path):
    words = [toy_pipeline, "--set", "reranker.pairs=24"]
    assert typed(monkeypatch, capsys, "assess", "run", *words)[0] == 0
    picture = tmp_path / "report.svg"
    code, out, err = typed(monkeypatch, capsys, "assess", "report", *words, "--measure", "--plot", picture)
    assert (code, err) == (0, "") and "foresees" in out and f"plot written to {picture}" in out and picture.stat().st_size > 5000
    code, _, err = typed(monkeypatch, capsys, "assess", "report", *words, "--measure", "--plot", tmp_path / "report.pdf")
    assert code == 2 and "PNG or SVG" in err
