"""What people see: any encoding, any width, markup in names, tables without idle rows, progress in logs, and how a stopped command ends."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from score_rag.cli.recommend_screen import show, show_ranking
from score_rag.cli.screen import bars, console, print_json
from score_rag.cli.signs import plain, write_plainly
from score_rag.cli.stopped import farewell, stoppable
from score_rag.context.levels import Fact
from score_rag.context.neighbours import Neighbour
from score_rag.data.log import Item
from score_rag.recommend.recommendation import Recommendation

ROOT = Path(__file__).resolve().parent.parent
FACT = Fact("good", "71", 0.71)
AMELIE = Item("5", "Amélie · 千 [bold]", 2001, ("Romance",))
EVIDENCE = {"expectation.lightgcn": FACT, "expectation.together": FACT, "crowd": FACT}


def neighbour(user_id: str, verdict: str) -> Neighbour:
    return Neighbour(user_id, "Liked: Ronin.", verdict, 0.8, FACT, (AMELIE,), in_common=("both liked Amélie",))


def recommendation(**changes: object) -> Recommendation:
    found = Recommendation(
        user_id="[red]42[/red]",
        item=AMELIE,
        probability=0.6,
        verdict="Yes",
        mass=1.0,
        neighbours=[neighbour("[/]7", "disliked"), neighbour("8", "")],
        prompt="Will → this user like it?",
        parts={"data": "liked is a rating of at least 4, disliked is any below (data.threshold)", "crm": "LightGCN [a, b]"},
        evidence=EVIDENCE,
        warnings=["mind [the] gap — always"],
    )
    return replace(found, **changes)


ENCODINGS = pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "ascii", "utf-8", "cp437"])


def narrow(monkeypatch, encoding: str) -> Callable[[], str]:
    """Make standard output one of this encoding; what is returned gives what was written."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="strict", newline="\n")
    monkeypatch.setattr(sys, "stdout", stream)
    write_plainly()

    def written() -> str:
        stream.flush()
        return raw.getvalue().decode(encoding)

    return written


@ENCODINGS
def test_a_recommendation_is_shown_in_whatever_the_stream_can_write(monkeypatch, encoding):
    written = narrow(monkeypatch, encoding)
    show(recommendation(), prompt=True)
    show_ranking([recommendation(), recommendation(probability=0.5)])
    sys.stdout.write("✓ → ✗ ≥\n")
    told = written()
    assert "P(like) 0.600" in told and "mind [the] gap" in told and "Will" in told
    assert ("█" * 18 if encoding in ("utf-8", "cp437") else "#" * 18) in told
    assert ("Amélie" if encoding != "ascii" else "Amelie") in told
    assert ("✓ → ✗ ≥" in told) if encoding == "utf-8" else ("+ > x" in told)
    widths = {len(line) for line in told.splitlines() if line.startswith(("|", "+-", "│", "╭", "╰"))}
    assert max(widths) <= 100


@ENCODINGS
def test_json_is_whole_in_whatever_the_stream_can_write(monkeypatch, encoding):
    written = narrow(monkeypatch, encoding)
    value = {"title": "Amélie → 千", "half": "\ud83d"}
    print_json(value)
    assert json.loads(written()) == value


def test_plain_signs_are_as_many_as_the_signs_were():
    text = "┏━┳┃│─╭╰ é ø ✓…█░ 千 \U0001f600"
    assert len(plain(text)) == len(text) and plain(text).isascii()
    assert plain("Straße, Łódź, Ångström") == "Strase, Lodz, Angstrom"


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "ascii"])
@pytest.mark.parametrize("words", [["--help"], ["data", "list"], ["pipelines", "list"], ["prompts", "list"], ["status", "sample"]])
def test_no_command_dies_of_an_encoding(encoding, words):
    told = subprocess.run(
        [sys.executable, ROOT / "cli.py", *words],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        cwd=ROOT,
    )
    assert told.returncode == 0 and b"Traceback" not in told.stderr and told.stdout.decode(encoding)


def test_the_width_is_that_of_columns_where_there_is_no_terminal(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert console().width == 100
    for text, width in (("57", 57), ("140", 140), ("0", 100), ("wide", 100)):
        monkeypatch.setenv("COLUMNS", text)
        assert console().width == width


def test_markup_in_ids_and_titles_is_shown_as_it_is(capsys):
    show(recommendation(), prompt=False)
    told = capsys.readouterr().out
    assert "will user [red]42[/red] like it?" in told and "Amélie · 千 [bold] (2001)" in told and "[/]7" in told and "[a, b]" in told
    show_ranking([recommendation(), recommendation()])
    told = capsys.readouterr().out
    assert "said by [/]7, 8" in told and "[bold]" in told


def test_markup_in_names_of_tables_and_stages_is_shown_as_it_is(capsys):
    from score_rag.cli import run, status
    from score_rag.pipeline.state import StageStatus

    stage = StageStatus("crm", "stale", "crm.experts: [] → [din] [/x]", "ran", {"kind": "[/x]", "epochs": 3}, 2.0)
    status.show([stage])
    console().print(run.line(stage))
    told = capsys.readouterr().out
    assert told.count("[din] [/x]") == 2


def test_what_all_expect_is_a_row_only_where_there_are_several(capsys):
    show(recommendation(), prompt=False)
    assert "expected by lightgcn" in (told := capsys.readouterr().out) and "expected by all of them" not in told
    show(recommendation(evidence={"expectation.din": FACT, **EVIDENCE}), prompt=False)
    assert "expected by din" in (told := capsys.readouterr().out) and "expected by all of them" in told


def test_disliked_says_below_which_rating(capsys):
    show(recommendation(), prompt=False)
    told = " ".join(capsys.readouterr().out.split())
    assert "disliked it" in told and told.count("disliked is any below (data.threshold)") == 1


def test_a_ranking_names_users_once_where_they_are_the_same_for_every_item(capsys):
    one = recommendation(user_id="1", neighbours=[neighbour("7", "liked"), neighbour("8", "")])
    other = replace(one, neighbours=[neighbour("7", ""), neighbour("8", "disliked")])
    show_ranking([one, other])
    told = capsys.readouterr().out
    assert "said by 7, 8" in told and "liked, -" in told and "-, disliked" in told and "7 (liked)" not in told
    show_ranking([one, replace(one, neighbours=[neighbour("9", "liked")])])
    told = capsys.readouterr().out
    assert "7 (liked), 8 (not judged)" in told and "9 (liked)" in told and "said by" not in told


def test_without_a_terminal_a_line_a_minute_says_how_far_it_is(capsys):
    with bars(every=0.05) as report:
        time.sleep(0.12)
        assert capsys.readouterr().err == "", "nothing is known yet"
        report("training", 45, 300)
        time.sleep(0.12)
        told = capsys.readouterr().err
        assert told.startswith("  training: 15%, 45 of 300; 0 min in all\n") and 1 <= told.count("\n") <= 3
        report("training", 300, 300)
        time.sleep(0.12)
    told = capsys.readouterr().err
    assert told.endswith("  at work; 0 min in all\n") and "100%" not in told
    with bars(quiet=True, every=0.01) as report:
        report("training", 1, 2)
        time.sleep(0.05)
    time.sleep(0.05)
    assert capsys.readouterr().err == ""


def test_stages_are_told_when_they_begin_and_when_they_end(tmp_path):
    from score_rag.pipeline.config import load_pipeline
    from score_rag.pipeline.runner import run
    from score_rag.pipeline.stage import Stage

    told: list[tuple[str, str]] = []
    pipeline = load_pipeline("sample", overrides=[f"runs={tmp_path}"])
    stages = [Stage(name, lambda context, folder: {}, reads=("seed",)) for name in ("data", "crm")]
    for expected in (["begun data", "ran data", "begun crm", "ran crm"], ["skipped data", "skipped crm"]):
        told.clear()
        run(
            pipeline,
            stages,
            begun=lambda stage: told.append(("begun", stage.name)),
            tell=lambda stage: told.append((stage.action, stage.name)),
        )
        assert [" ".join(one) for one in told] == expected


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_ends_with_one_line_and_leaves_its_folder_in_order(tmp_path, number, code):
    words = ["run", "sample", "--set", f"runs={tmp_path}", "--set", "data.max_users=40", "--until", "crm"]
    command = [sys.executable, str(ROOT / "cli.py"), *words]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None and process.stdout is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "crm" in line and "begun" in line:
                break
        process.send_signal(number)
        rest, out = process.stderr.read(), process.stdout.read()
    assert process.returncode == code and out == ""
    assert lines[0].split()[:3] == ["→", "data", "begun"] and any(line.startswith("✓ data") for line in lines)
    assert rest == f"stopped: finished stages are kept, and what a training had saved; to go on: score-rag {' '.join(words)}\n"
    assert (tmp_path / "sample" / "data" / "finished.json").is_file() and not (tmp_path / "sample" / "crm").exists()
    assert not list((tmp_path / "sample").glob("*.tmp")) and not (tmp_path / "sample" / ".lock.json").exists()


def test_each_command_says_what_it_keeps(capsys):
    assert "every answer is kept" in farewell(["assess", "run", "sample"])
    assert farewell(["recommend", "--history", "Heat; Ronin"]).endswith("score-rag recommend --history 'Heat; Ronin'")
    for ends in (KeyboardInterrupt(), SystemExit(130)):
        with pytest.raises(SystemExit) as left, stoppable(["doctor"]):
            raise ends
        assert left.value.code == 130 and capsys.readouterr().err == "stopped: nothing was changed; to go on: score-rag doctor\n"
    with pytest.raises(SystemExit) as left, stoppable(["doctor"]):
        raise SystemExit(3)
    assert left.value.code == 3 and capsys.readouterr().err == ""
