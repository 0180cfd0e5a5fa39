"""What an answer rests on: attention that is the model's own, effects that are what asking again gives, pages and pictures that hold it."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from typer.testing import CliRunner

from score_rag.cli.app import app
from score_rag.context.finder import RetrievedContext
from score_rag.errors import InputError
from score_rag.evaluation.stored import find_table
from score_rag.explain.average import KIND, AveragePicture
from score_rag.explain.explainer import Explainer, explain_question
from score_rag.explain.explanation import CAUTION
from score_rag.explain.html import pieces, to_html
from score_rag.explain.leave_out import leave_out
from score_rag.pipeline.run import Run
from score_rag.pipeline.state import run_folder
from score_rag.recommend.recommender import Recommender

runner = CliRunner()


@pytest.fixture(scope="module")
def explainer(toy_parts):
    return Explainer(toy_parts)


@pytest.fixture(scope="module")
def found(explainer):
    return explainer.explain("3", "8")


def test_it_explains_the_answer_that_is_given(found, toy_parts):
    answer = Recommender(toy_parts).recommend("3", "8")
    assert found.recommendation.probability == pytest.approx(answer.probability, abs=1e-6)
    assert found.recommendation.prompt == answer.prompt == found.look.text
    assert [one.user_id for one in found.recommendation.neighbours] == [one.user_id for one in answer.neighbours]


def test_attention_is_the_models_own(found, explainer):
    import torch

    look = found.look
    tokens = explainer.reader.place(look.text)
    model = explainer.reader.model
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    inner.set_attn_implementation("eager")
    with torch.inference_mode():
        whole = model(input_ids=torch.tensor([tokens.ids]), output_attentions=True).attentions
    expected = np.stack([layer[0, :, -1].double().numpy() for layer in whole])
    assert tokens.ids == list(explainer.run.predictor.engine.encode(look.text))
    assert look.heads.shape == (*expected.shape[:2], len(look.segments) + 1)
    np.testing.assert_allclose(look.heads.sum(axis=2), 1.0, atol=1e-6)
    np.testing.assert_allclose(look.heads[:, :, -1], expected[:, :, 0], atol=1e-6)
    last = [place for place, name in enumerate(one.name for one in look.segments) if name == "instructions"]
    ends = [place for place, (start, end) in enumerate(tokens.places) for span in look.spans if span.name == "instructions"
            and span.start <= start < end <= span.end]  # fmt: skip
    np.testing.assert_allclose(look.heads[:, :, last[0]], expected[:, :, ends].sum(axis=2), atol=1e-6)
    assert sum(one.attention for one in look.segments) + look.special == pytest.approx(1.0)
    assert sum(one.attention for one in look.tokens) + look.special == pytest.approx(1.0)
    assert sum(one.tokens for one in look.segments) == pytest.approx(len(tokens.ids) - 1)


def test_effects_are_what_asking_again_gives(found, explainer):
    run, look = explainer.run, found.look
    question = _question(run, "3", "8")
    contexts, _ = run.write([question])
    without = {kind: run.writer.write([question], contexts, hide=(kind,))[0].text for kind in ("mood",)}
    kept = contexts[0].kept
    for place in range(len(kept)):
        fewer = RetrievedContext(contexts[0].retrieved, (*kept[:place], *kept[place + 1 :]))
        without[f"neighbour {place + 1}"] = run.writer.write([question], [fewer])[0].text
    assert len(kept) == 2
    for name, text in without.items():
        (answer,) = run.predictor.score([text])
        assert look.segment(name).without == pytest.approx(answer.probability, abs=1e-6)
        assert look.segment(name).effect == pytest.approx(look.answer.probability - answer.probability, abs=1e-6)
    everything = look.segment("instructions")
    assert everything.without is None and everything.effect is None


def _question(run, user, item):
    from score_rag.recommend.question import find_question

    return find_question(run.histories, user, item).question


def test_leaving_a_part_out_leaves_all_else_as_it_is(explainer):
    run = explainer.run
    (told,) = run.write([_question(run, "3", "8")], keep_values=True)[1]
    for name in ("neighbour 1", "neighbour 2", "mood", "target", *(f"expectation.{name}" for name in told.values["expectation"])):
        fewer = leave_out(told.values, name)
        changed = {key for key in told.values if told.values[key] != fewer[key]}
        assert changed == {"neighbours" if name.startswith("neighbour") else name.partition(".")[0]}
    assert leave_out(told.values, "neighbour 1")["neighbours"] == told.values["neighbours"][1:]
    assert leave_out(told.values, "instructions") is None


def test_values_are_kept_only_for_who_asks(explainer):
    run = explainer.run
    assert run.write([_question(run, "3", "8")])[1][0].values is None


def test_an_engine_without_attention_says_so_and_measures_all_the_same(toy_run, found, toy_parts):
    scoring = toy_run.predictor.scoring.model_copy(update={"engine": "onnx"})
    pipeline = toy_run.model_copy(update={"predictor": toy_run.predictor.model_copy(update={"scoring": scoring})})
    other = explain_question(Run(pipeline, toy_parts.folder), 3, 8)
    assert other.look.heads is None and other.look.special is None and other.look.tokens == ()
    assert any("no attention: the engine onnx" in note for note in other.notes)
    assert {one.name: one.effect for one in other.look.segments} == pytest.approx(
        {one.name: one.effect for one in found.look.segments}, abs=1e-6
    )
    assert all(one.attention is None for one in other.look.segments)
    page = to_html(other)
    assert "no attention" in page and "layer 1" not in page


def test_the_page_holds_the_prompt_and_escapes_it(found):
    hostile = replace(
        found, recommendation=replace(found.recommendation, item=replace(found.recommendation.item, title="<script>alert(1)</script>"))
    )
    page = to_html(hostile)
    assert "<script" not in page and "&lt;script&gt;" in page
    assert CAUTION in page and "prefers-color-scheme: dark" in page
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "".join(piece.text for piece in pieces(found.look)) == found.look.text


def test_the_average_is_of_all_questions(toy_run):
    result = runner.invoke(app, ["explain", str(toy_run.path), "--rows", "40", "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    stored = find_table(toy_run, "test", 40, KIND)
    assert stored["rows"] == told["rows"]
    frame = pl.read_parquet(run_folder(toy_run) / "evaluation/test-explained-40-rows.parquet")
    assert len(frame) == told["events"] and frame["user_id"].n_unique() == told["users"]
    for row in told["rows"]:
        assert row["attention"]["value"] == pytest.approx(frame[f"attention: {row['name']}"].mean(), abs=1e-5)
        if row["change"] is None:
            assert row["name"] == "instructions"
            continue
        without, whole, label = (frame[name].to_numpy() for name in (f"without: {row['name']}", "SCORE", "label"))
        there = ~np.isnan(without.astype(float))
        without, whole, label = without[there].astype(float), whole[there], label[there]
        gain = np.log(np.where(label == 1, whole, 1 - whole)) - np.log(np.where(label == 1, without, 1 - without))
        assert row["prompts"] == there.sum()
        assert row["change"]["value"] == pytest.approx(np.abs(whole - without).mean(), abs=1e-5)
        assert row["gain"]["value"] == pytest.approx(gain.mean(), abs=1e-5)
        assert row["gain"]["low"] <= row["gain"]["value"] <= row["gain"]["high"]
    again = AveragePicture.from_dict(stored)
    assert [row.name for row in again.rows] == [row["name"] for row in told["rows"]]
    screen = Console(width=80, file=io.StringIO())
    screen.print(*again.tables())
    printed = screen.file.getvalue()
    assert "…" not in printed
    for row in again.rows:
        if row.gain is not None:
            assert f"{row.gain.low:+.3f} to {row.gain.high:+.3f}" in printed and f"{row.gain.value:+.3f}" in printed
    assert sum(row["attention"]["value"] for row in told["rows"] if row["prompts"] == told["events"]) <= 1


def test_one_question_on_the_screen_and_in_files(toy_run, tmp_path):
    files = [tmp_path / "sub" / name for name in ("a.png", "a.svg", "a.html")]
    options = [part for file in files for part in (f"--{file.suffix[1:]}", str(file))]
    result = runner.invoke(app, ["explain", str(toy_run.path), "--user", "3", "--item", "8", *options])
    assert result.exit_code == 0, result.output
    told = " ".join(result.stdout.split())
    assert "attention says where the model looks, not why it answers" in told
    assert "neighbour 1" in told and "P without it" in told and "layer 2" in told
    assert files[0].read_bytes()[:4] == b"\x89PNG" and "<svg" in files[1].read_text() and "<table>" in files[2].read_text()
    assert files[2].read_text().count("<svg ") == 1


@pytest.mark.parametrize(
    "options",
    [
        ["--user", "3"],
        ["--rows", "5", "--user", "3"],
        ["--split", "test", "--user", "3", "--item", "8"],
        ["--rows", "5", "--html", "a.html"],
        ["--user", "3", "--item", "8", "--png", "a.jpg"],
        ["--user", "3", "--item", "8", "--history", "Heat"],
    ],
)
def test_options_that_do_not_go_together(toy_run, options):
    result = runner.invoke(app, ["explain", str(toy_run.path), *options])
    assert isinstance(result.exception, InputError)
