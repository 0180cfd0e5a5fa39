"""Files that are not what was written are refused, or made again: a flipped bit is never answered from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from run_copies import copy_run
from test_cli import typed
from test_pipeline import make, pipeline_at

from score_rag.cli.remedies import command
from score_rag.cli.status import stage_states
from score_rag.errors import AssessorError, DataError, IndexMismatchError, StageError
from score_rag.feedback.log import FeedbackLog
from score_rag.feedback.record import Feedback, from_line, to_line
from score_rag.files import VERIFY, check_sealed, digests_of, is_whole, read_json, sealed, write_json
from score_rag.files.lines import is_intact, marked_line
from score_rag.pipeline.adopt import adopt
from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.run import Run
from score_rag.pipeline.runner import run
from score_rag.pipeline.state import finished_record, judge


def flip(file: Path, place: int | None = None) -> None:
    """Another bit, in a file of its own: what is linked to it stays."""
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2 if place is None else place] ^= 1
    aside = file.with_name("aside")
    aside.write_bytes(raw)
    aside.replace(file)


@pytest.fixture
def copied(toy_run, tmp_path):
    copy_run(toy_run.runs, tmp_path / "runs", leave=("scratch",))
    return load_pipeline(str(toy_run.path), overrides=[f"runs={tmp_path / 'runs'}"])


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("data/events.parquet", "interactions"),
        ("crm/model.safetensors", "crm"),
        ("crm/expectations.parquet", "experts"),
        ("documents/prompts/describe_user.md", "describer"),
        ("retriever/encoder/tokenizer.json", "encoder"),
        ("retriever/encoder/model.onnx", "encoder"),
        ("reranker/reranker.json", "scorer"),
        ("predictor/guard.json", "guard"),
        ("predictor/levels.json", "writer"),
        ("predictor/predictor.json", "predictor"),
    ],
)
def test_a_part_with_a_flipped_bit_is_refused_with_the_command_that_makes_it_again(copied, file, part):
    place = Path(copied.runs) / "toy" / file
    flip(place)
    with pytest.raises(StageError, match="not what was written") as caught:
        getattr(Run.open(copied), part)
    assert caught.value.where == str(place)
    assert command(caught.value.remedy, pipeline=caught.value.pipeline).endswith(
        f"--only {place.parts[len(Path(copied.runs).parts) + 1]} --force"
    )


def test_weights_for_training_are_looked_at_by_whoever_trains_on(copied):
    from score_rag.encoders.torch_encoder import BulkEncoder
    from score_rag.pipeline.stages import stages

    place = Path(copied.runs) / "toy" / "retriever" / "encoder"
    flip(place / "model.safetensors")
    Run.open(copied).encoder.encode(["Liked: Heat."])
    with pytest.raises(StageError, match="not what was written"):
        BulkEncoder(place)
    retriever = next(one for one in stages(copied) if one.name == "retriever")
    assert judge(copied, retriever, inputs=False, read=False) == ("finished", "")
    state, why = judge(copied, retriever, inputs=False)
    assert state == "stale" and why.startswith("output file encoder/model.safetensors was changed")


def test_the_check_can_be_turned_off(copied, monkeypatch):
    flip(Path(copied.runs) / "toy" / "documents" / "prompts" / "describe_user.md")
    monkeypatch.setenv(VERIFY, "0")
    assert Run.open(copied).describer is not None


def test_run_makes_again_what_was_changed_and_status_tells_of_it(tmp_path):
    pipeline, done = pipeline_at(tmp_path), []
    parts = make(done)
    run(pipeline, parts)
    done.clear()
    file = tmp_path / "runs" / "sample" / "crm" / "out.txt"
    before = file.read_text()
    flip(file)
    found = run(pipeline, parts)
    assert [one.name for one in found if one.action == "ran"] == ["crm"] == done, "what comes after is of the same content, and stays"
    assert found[1].reason == "output file out.txt was changed: its bytes are not those that were written" and file.read_text() == before


def test_status_reads_every_file_where_it_is_asked_to(copied, monkeypatch, capsys):
    words = ("status", copied.path, "--set", f"runs={copied.runs}", "--verify")
    code, out, _ = typed(monkeypatch, capsys, *words)
    assert code == 0 and "every file of data, crm, documents, retriever, reranker, predictor is what was written" in " ".join(out.split())
    flip(Path(copied.runs) / "toy" / "crm" / "model.safetensors")
    asked = (str(copied.path), [f"runs={copied.runs}"])
    assert [one.state for one in stage_states(*asked)] == ["finished"] * 6
    assert [one.state for one in stage_states(*asked, verify=True)][:3] == ["finished", "stale", "finished"]
    code, out, _ = typed(monkeypatch, capsys, *words)
    assert code == 1 and "is what was written" not in out


def test_a_record_that_was_changed_is_none(copied):
    file = Path(copied.runs) / "toy" / "crm" / "finished.json"
    flip(file, file.read_bytes().index(b'"valid_auc": ') + 13)
    assert read_json(file) and finished_record(copied, "crm") is None
    with pytest.raises(StageError, match="is not finished"):
        _ = Run.open(copied).crm


def test_a_run_of_an_earlier_version_is_opened_and_run_still_sees_what_was_changed(copied):
    from score_rag.pipeline.stages import stages

    folder = Path(copied.runs) / "toy" / "documents"
    record = {name: value for name, value in read_json(folder / "finished.json").items() if name not in ("digests", "seal")}
    write_json(folder / "finished.json", record)
    documents = next(one for one in stages(copied) if one.name == "documents")
    assert Run.open(copied).describer is not None and judge(copied, documents, inputs=False)[0] == "finished"
    flip(folder / "documents.parquet")
    assert judge(copied, documents, inputs=False) == ("stale", "an output file was changed: its bytes are not those that were written")


def test_what_was_changed_is_not_taken_over_by_another_run(copied, tmp_path):
    from score_rag.pipeline.stages import stages

    other = copied.model_copy(update={"runs": str(tmp_path / "others")})
    flip(Path(copied.runs) / "toy" / "crm" / "model.safetensors")
    assert adopt(other, stages(other)[:3], [Path(copied.runs) / "toy"]) == ["data", "documents"]


def test_a_file_outside_a_stage_has_no_record(tmp_path):
    (tmp_path / "a").write_text("a")
    check_sealed(tmp_path / "a")
    write_json(tmp_path / "finished.json", sealed({"digests": digests_of(tmp_path)}))
    check_sealed(tmp_path)
    (tmp_path / "a").unlink()
    with pytest.raises(StageError, match="not what was written") as caught:
        check_sealed(tmp_path)
    assert caught.value.found == "No such file or directory"
    assert is_whole({"no": "seal"}) and is_whole(sealed({"numbers": {1: 0.1, 10: 2}}))


def test_a_serving_index_whose_events_were_changed_is_not_used(fresh):
    from score_rag import open_recommender
    from score_rag.pipeline import serving_index

    serving_index.build(fresh)
    flip(serving_index.index_folder(fresh) / "000001" / "source" / "events.parquet")
    recommender = open_recommender(fresh)
    assert recommender.run.generation == 0 and "the serving index is not used" in recommender.run.notes[0]
    with pytest.raises(IndexMismatchError, match="not what was written"):
        serving_index.update(fresh)


def test_a_damaged_judgement_is_counted_and_left_out_whichever_bit_it_is(tmp_path):
    log = FeedbackLog(tmp_path)
    log.append([Feedback(f"e{n}", "7", "17", True, 1_700_000_000 + n) for n in range(2)])
    whole = log.path.read_bytes()
    first = whole.index(b"\n")
    for place in range(first):
        raw = bytearray(whole)
        raw[place] ^= 1 << place % 8
        log.path.write_bytes(raw)
        found = FeedbackLog(tmp_path)
        (*others, last) = found.current()
        assert last.event_id == "e1" and (others == [] or (others[0].key == ("7", "17", 1_700_000_000) and others[0].liked))
        assert others or found.damaged == 1


def test_lines_without_a_mark_are_read(tmp_path):
    one = Feedback("e", "7", "17", True, 5, received=1.0)
    assert from_line(to_line(one).strip()) == one
    old = to_line(one).partition(b',"crc"')[0] + b"}"
    assert from_line(old) == one and not is_intact(to_line(one).replace(b'"17"', b'"16"').strip())
    assert is_intact(marked_line({"reason": "naïve – ☂"})) and marked_line({"a": 1}).endswith('"}\n')


def test_a_kept_answer_that_was_changed_is_named(tmp_path):
    from score_rag.reranker.answers import read_answers

    line = marked_line({"key": "k", "characteristics": ["likes heists"], "reason": "because"})
    (tmp_path / "a.jsonl").write_text(line + line.replace("heists", "hoists") + line)
    with pytest.raises(AssessorError, match="malformed") as caught:
        read_answers(tmp_path / "a.jsonl")
    assert "line 2" in str(caught.value.where)


def test_a_training_does_not_go_on_from_what_was_changed(toy, tmp_path):
    import numpy as np

    from score_rag.crm.mf import MF
    from score_rag.training.checkpoints import BestWeights, last_checkpoint

    def fitted(folder=None, stop=0):
        def report(what, done, total):
            if done == stop:
                raise InterruptedError

        return MF(dim=8).fit(toy, epochs=4, patience=4, batch_size=64, seed=5, device="cpu", checkpoint=folder, report=report)

    right = fitted()._tensors()
    with pytest.raises(InterruptedError):
        fitted(tmp_path / "kept", stop=2)
    for name in ("state.safetensors", "state.json"):
        shutil.copytree(tmp_path / "kept", tmp_path / name)
        flip(tmp_path / name / name)
        again = fitted(tmp_path / name)._tensors()
        assert all(np.array_equal(again[one], right[one]) for one in right), "it began again"

    import torch

    best = BestWeights(tmp_path / "stock")
    best.offer(1, 0.5, {"w": torch.ones(300)})
    flip(tmp_path / "stock" / "best" / "best.safetensors", -1)
    with pytest.raises(DataError, match="not what was written"):
        BestWeights(tmp_path / "stock").resume(1)
    write_json(tmp_path / "stock" / "made_from.json", "this")
    for step in (1, 2):
        made = tmp_path / "stock" / f"checkpoint-{step}"
        made.mkdir()
        (made / "optimizer.pt").write_bytes(bytes(100))
        write_json(made / "complete", digests_of(made))
    assert last_checkpoint(tmp_path / "stock", made_from="this") == tmp_path / "stock" / "checkpoint-2"
    flip(tmp_path / "stock" / "checkpoint-2" / "optimizer.pt")
    assert last_checkpoint(tmp_path / "stock", made_from="this") == tmp_path / "stock" / "checkpoint-1"
