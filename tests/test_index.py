"""The index: one writer, whole generations for readers, nothing embedded twice."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import asdict
from unittest import mock

import numpy as np
import polars as pl
import pytest
from conftest import write_tables
from hypothesis import given, settings
from hypothesis import strategies as st
from index_world import built, history, people  # noqa: F401
from run_copies import copy_run

from score_rag.cli.remedies import advice
from score_rag.documents.versions import DOCUMENT_COLUMNS, FOREVER
from score_rag.errors import DataError, IndexMismatchError, InputError, LockedError
from score_rag.files import digest_json
from score_rag.index import writer
from score_rag.index.check import check_index
from score_rag.index.exact import best_places, search_at, search_many
from score_rag.index.reader import BehaviourIndex, documents_of
from score_rag.index.writer import build_index, update_index
from score_rag.testing import WordEncoder


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30), st.integers(1, 12))
def test_the_best_are_those_of_a_whole_sort_ties_by_place(values, k):
    scores = np.array([-np.inf if value == -3 else value for value in values], dtype=float)
    expected = [place for place in sorted(range(len(scores)), key=lambda place: (-scores[place], place)) if scores[place] > -np.inf]
    assert best_places(scores, k).tolist() == expected[:k]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.one_of(st.none(), st.integers(0, 45)), st.sampled_from([1, 3, 7, 100]))
def test_the_prefix_one_by_one_in_blocks_and_brute_force_find_the_same(seed, now, tile):
    frame = history(12, seed=seed).sort("known_until", "document_id")
    vectors = WordEncoder(16).encode(frame["text"].to_list())
    until, superseded = frame["known_until"].to_numpy(), frame["superseded_at"].to_numpy()
    asked = WordEncoder(16).encode(["Heat film1", "Alien user2", "Cabaret"])
    time_ = FOREVER if now is None else now
    with mock.patch("score_rag.index.exact._TILE", tile):
        many = search_many(asked, vectors, until, superseded, 5, [now, now, 20], block=2)
    for row, moment in enumerate([time_, time_, 20]):
        visible = [place for place in range(len(frame)) if until[place] < moment <= superseded[place]]
        expected = sorted(-float(vectors[place] @ asked[row]) for place in visible)[:5]
        for found in (many[row], search_at(asked[row], vectors, until, superseded, 5, moment)):
            assert set(found.tolist()) <= set(visible)
            np.testing.assert_allclose(-(vectors[found] @ asked[row]), expected, atol=1e-5)


@given(st.lists(st.integers(-2, 2), min_size=1, max_size=30), st.integers(1, 9), st.sampled_from([1, 2, 5, 100]))
def test_of_equal_scores_the_earlier_document_is_found_wherever_tiles_are_cut(values, k, tile):
    vectors, always = np.array(values, dtype=np.float32)[:, None], np.zeros(len(values), dtype=np.int64)
    with mock.patch("score_rag.index.exact._TILE", tile):
        (found,) = search_many(np.ones((1, 1), dtype=np.float32), vectors, always, always + FOREVER, k, [None])
    assert found.tolist() == sorted(range(len(values)), key=lambda place: (-values[place], place))[:k]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 39), st.one_of(st.none(), st.integers(0, 45)), st.booleans())
def test_a_question_is_answered_alike_by_store_array_and_batch(built, user, now, own):
    encoder = WordEncoder()
    index = BehaviourIndex.open(built, encoder)
    exclude = str(user) if own else None
    vector = np.asarray(index.vectors[user])
    exact = index.query(vector, 6, as_of=now, exclude_user=exclude)
    index.exact_below = 0
    stored = index.query(vector, 6, as_of=now, exclude_user=exclude)
    (batch,) = index.search(vector[None], 6, as_of=[now], exclude=[exclude])
    later = asyncio.run(index.aquery(vector, 6, as_of=now, exclude_user=exclude))
    for hits in (stored, batch, later):
        np.testing.assert_allclose([hit.score for hit in hits], [hit.score for hit in exact], atol=1e-5)
        assert all(hit.user_id != exclude for hit in hits)
        assert len({hit.user_id for hit in hits}) == len(hits), "one document of a user at a time"
    if now is not None:
        assert all(hit.known_until < now for hit in exact)


def test_what_a_content_is_called_does_not_depend_on_slices(monkeypatch):
    rows = [("u@0", "u", 'a "b"', 1, 5, 9), ("u@1", "u", "wéi\n", 2, 9, FOREVER), ("v@0", "v", "", 1, 0, FOREVER)]
    documents = pl.DataFrame(rows, schema=DOCUMENT_COLUMNS, orient="row")
    expected = digest_json([documents[name].to_list() for name in documents.columns])
    for count in (1, 2, 3, 100):
        monkeypatch.setattr(writer, "_SLICE", count)
        assert writer.content_of(documents) == expected


def test_an_update_embeds_only_what_is_new_and_forgets_who_is_gone(tmp_path):
    encoder = WordEncoder()
    build_index(documents_of(people(20)), encoder, tmp_path)
    reader = BehaviourIndex.open(tmp_path, encoder)
    encoder.embedded.clear()
    now = {**{user: text for user, text in people(20).items() if user not in ("3", "4")}, "5": "Musicals only.", "new": "Westerns only."}
    done = update_index(tmp_path, encoder, documents_of(now), whole=True)
    assert sorted(encoder.embedded) == ["Musicals only.", "Westerns only."]
    assert (done.generation, done.users, done.embedded, done.deleted) == (2, 19, 2, 2)
    assert {hit.user_id for hit in reader.query(encoder.encode(["Musicals only."])[0], 20)} == set(people(20)), (
        "a reader keeps its generation"
    )
    newer = reader.current()
    for exact_below in (0, 100):
        newer.exact_below = exact_below
        hits = newer.query(encoder.encode(["Musicals only."])[0], 19)
        assert hits[0].user_id == "5" and {hit.user_id for hit in hits} == set(now)
    assert newer.current() is newer
    fresh = tmp_path / "fresh"
    build_index(documents_of(now), encoder, fresh)
    rebuilt = BehaviourIndex.open(fresh, encoder)
    assert rebuilt.documents.equals(newer.documents) and np.array_equal(rebuilt.vectors, newer.vectors)


def test_some_users_can_be_updated_and_deleted_by_themselves(tmp_path):
    encoder = WordEncoder()
    build_index(documents_of(people(10)), encoder, tmp_path)
    update_index(tmp_path, encoder, documents_of({"1": "Now it is operas.", "x": "Operas always."}), delete=["2"])
    index = BehaviourIndex.open(tmp_path, encoder)
    assert set(index.documents["user_id"]) == set(people(10)) - {"2"} | {"x"}
    assert {hit.user_id for hit in index.query(encoder.encode(["operas"])[0], 2)} == {"1", "x"}
    with pytest.raises(InputError, match="each a text"):
        update_index(tmp_path, encoder, documents_of({}), delete="10")
    with pytest.raises(DataError, match="no documents"):
        update_index(tmp_path, encoder, documents_of({}), whole=True)
    assert BehaviourIndex.open(tmp_path, encoder).generation == index.generation, "what failed has changed nothing"


def test_old_generations_go_but_for_the_one_that_readers_may_still_have(tmp_path):
    encoder = WordEncoder()
    build_index(documents_of(people(6)), encoder, tmp_path)
    for round_ in range(3):
        update_index(tmp_path, encoder, documents_of(people(6, extra=f" round {round_}")), whole=True)
    assert sorted(place.name for place in tmp_path.iterdir() if place.is_dir()) == ["000003", "000004"]


def test_a_second_writer_is_refused_at_once_and_told_who_writes(tmp_path):
    encoder = WordEncoder()
    build_index(documents_of(people(6)), encoder, tmp_path)
    code = """
        import sys, time
        from pathlib import Path
        from score_rag.files import folder_lock
        with folder_lock(Path(sys.argv[1]), doing="updating an index"):
            print("held", flush=True)
            time.sleep(60)
    """
    other = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(LockedError, match="another process is writing") as caught:
            update_index(tmp_path, encoder, documents_of(people(7)), whole=True)
        assert str(other.pid) in caught.value.found and "updating an index" in caught.value.found
        assert len(BehaviourIndex.open(tmp_path, encoder).query(encoder.encode(["Heat"])[0], 9)) == 6, "readers need no lock"
    finally:
        other.kill()
        other.wait()
        other.stdout.close()
    assert update_index(tmp_path, encoder, documents_of(people(7)), whole=True).users == 7


WRITER = """
    import sys
    from score_rag.index.reader import documents_of
    from score_rag.index.writer import update_index
    from score_rag.testing import WordEncoder
    encoder = WordEncoder()
    for round_ in range(1000):
        update_index(sys.argv[1], encoder, documents_of({str(n): f"Round {round_} of user {n}." for n in range(30)}), whole=True)
        print("written", flush=True)
"""


def rounds(index: BehaviourIndex) -> set[str]:
    return {text.split(" of ")[0] for text in index.documents["text"]}


def test_readers_beside_a_writer_that_is_killed_see_whole_generations_only(tmp_path):
    encoder = WordEncoder()
    build_index(documents_of({str(n): f"Round start of user {n}." for n in range(30)}), encoder, tmp_path)
    index = BehaviourIndex.open(tmp_path, encoder)
    index.exact_below = 0
    seen = set()
    for number, pause in enumerate((0.3, 0.8, 0.55)):
        writer = subprocess.Popen([sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path)], stdout=subprocess.PIPE, text=True)
        writer.stdout.readline()
        end = time.monotonic() + pause
        # On a busy machine, until another generation has come.
        while time.monotonic() < end or (len(seen) <= number and time.monotonic() < end + 60):
            index = index.current()
            hits = index.query(np.asarray(index.vectors[0]), 30)
            assert len(hits) == 30 and len(rounds(index)) == 1
            assert {hit.text.split(" of ")[0] for hit in hits} == rounds(index)
            seen |= rounds(index)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        assert all(finding.ok for finding in check_index(tmp_path, encoder)), check_index(tmp_path, encoder)
    assert len(seen) > 2, "generations came and went meanwhile"
    assert update_index(tmp_path, encoder, documents_of(people(5)), whole=True).users == 5
    assert sum(place.is_dir() for place in tmp_path.iterdir()) == 2, "what the killed writers left is swept away"


def test_the_serving_index_follows_the_data_without_training(toy, toy_run, tmp_path):
    from score_rag.cli.index import facts, next_command
    from score_rag.pipeline import serving_index
    from score_rag.pipeline.config import load_pipeline

    copy_run(toy_run.runs, tmp_path / "runs")
    data = write_tables(toy, tmp_path / "data")
    pipeline = load_pipeline(str(toy_run.path), overrides=[f"runs={tmp_path / 'runs'}", f"data.path={data}"])
    place = tmp_path / "runs" / "toy" / "index"
    done = serving_index.build(pipeline)
    assert done.users == 36 and serving_index.update(pipeline).embedded == 0
    with pytest.raises(InputError, match="already") as caught:
        serving_index.build(pipeline)
    assert advice(caught.value) == f"rebuild it, or bring it up to date: score-rag index update {pipeline.words}"
    with pytest.raises(InputError, match="training events only") as caught:
        serving_index.update(pipeline, tmp_path / "runs" / "toy" / "retriever" / "index")
    assert advice(caught.value) == f"score-rag run {pipeline.words}"
    with pytest.raises(IndexMismatchError, match="no finished index") as caught:
        serving_index.update(pipeline, tmp_path / "nowhere")
    assert advice(caught.value) == f"score-rag index build {pipeline.words} --folder {tmp_path / 'nowhere'}"
    whole = (place / "index.json").read_text()
    (place / "index.json").write_text("{")
    with pytest.raises(IndexMismatchError, match="cannot be read") as caught:
        serving_index.update(pipeline)
    assert advice(caught.value) == f"score-rag index rebuild {pipeline.words}"
    (place / "index.json").write_text(whole)
    found = serving_index.check(pipeline)
    assert [one.folder for one in found] == [tmp_path / "runs" / "toy" / "retriever" / "index", place]
    assert all(one.ok and one.findings and one.remedy is None for one in found), found
    last = int(toy.events["timestamp"].max())
    rows = pl.read_csv(data / "interactions.csv")
    more = (
        rows.filter(pl.col("user_id") == 7)
        .head(6)
        .with_columns(timestamp=pl.lit(last + 9, dtype=pl.Int64), item_id=pl.Series([0, 2, 4, 6, 8, 10]))
    )
    pl.concat([rows, more]).write_csv(data / "interactions.csv")
    own, serving = serving_index.check(pipeline)
    (stale,) = [finding for finding in serving.findings if not finding.ok]
    assert own.ok and (stale.name, stale.told) == ("up to date", "1 user changed since")
    assert next_command(serving) == f"score-rag index update {pipeline.words}" and next_command(own) is None
    assert facts(serving) == {"ok": False, "findings": [asdict(one) for one in serving.findings], "next": next_command(serving)}
    (elsewhere,) = serving_index.check(pipeline, tmp_path / "nowhere")
    assert next_command(elsewhere) == f"score-rag index rebuild {pipeline.words} --folder {tmp_path / 'nowhere'}"
    done = serving_index.update(pipeline)
    assert 0 < done.embedded < done.documents / 4
    assert all(one.ok for one in serving_index.check(pipeline))
    assert serving_index.rebuild(pipeline, tmp_path / "runs" / "toy" / "retriever" / "index").users == 36
