"""The approximate index: what it finds beside exact search, at any moment, through updates; what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_world import history, people

from score_rag.documents.versions import FOREVER
from score_rag.errors import ConfigError, IndexMismatchError, MissingPackageError
from score_rag.index.ann import AnnIndex
from score_rag.index.check import check_index
from score_rag.index.moments import Moments
from score_rag.index.reader import BehaviourIndex, documents_of
from score_rag.index.writer import build_index, update_index
from score_rag.retriever.settings import RetrieverSettings
from score_rag.testing import WordEncoder


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 12), st.booleans()), min_size=1, max_size=80), st.integers(1, 20), st.data())
def test_bits_of_a_moment_are_what_is_visible_then(documents, segment, data):
    rows = sorted((known, FOREVER if newest else known + lasts) for known, lasts, newest in documents)
    until, superseded = (np.array(column) for column in zip(*rows, strict=True))
    moments = Moments(until, superseded, segment=segment)
    for time in data.draw(st.lists(st.one_of(st.integers(-1, 45), st.just(FOREVER)), min_size=1, max_size=6)):
        found = np.unpackbits(moments.visible(time), count=len(rows), bitorder="little").astype(bool)
        assert found.tolist() == [known < time <= end for known, end in rows]
        assert moments.count(time) == found.sum()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """600 users with versions, in the approximate index."""
    place = tmp_path_factory.mktemp("ann") / "index"
    build_index(history(600), WordEncoder(), place, store="ann")
    return place


def opened(folder, **more) -> BehaviourIndex:
    index = BehaviourIndex.open(folder, WordEncoder(), **more)
    index.exact_below = 0
    return index


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 599), st.one_of(st.none(), st.integers(0, 45)), st.integers(1, 12), st.booleans())
def test_no_document_of_later_no_user_twice_and_never_the_own(folder, user, now, k, own):
    index = opened(folder)
    vector, excluded = index.vectors[index.newest[user]], str(user) if own else None
    places = index.stored_places(vector, k + 1, now)
    batch = index.search(vector[None], k, as_of=[now], exclude=[excluded])[0]
    time = FOREVER if now is None else now
    superseded = dict(index.documents.select("document_id", "superseded_at").iter_rows())
    for hits in (index.query(vector, k, as_of=now, exclude_user=excluded), batch):
        assert all(hit.known_until < time <= superseded[hit.document_id] for hit in hits)
        assert len({hit.user_id for hit in hits}) == len(hits) and excluded not in {hit.user_id for hit in hits}
        exact = index.exactly(vector, k, now, excluded)
        assert len(hits) == len(exact)
        assert all(found.score <= best.score + 1e-6 for found, best in zip(hits, exact, strict=True))
    assert set(places) <= set(index.visible_places(now))


def test_most_of_the_nearest_are_found_by_all_and_all_where_recall_is_one(folder, tmp_path):
    build_index(history(600), WordEncoder(), tmp_path / "all", store="ann", store_options={"recall": 1.0})
    # How many lists are looked into is measured for now; at other moments it is enough for most.
    for place, now, least in (
        (folder, None, 0.9),
        (folder, 12, 0.7),
        (folder, 30, 0.7),
        *((tmp_path / "all", now, 0.99) for now in (None, 30)),
    ):
        index, found, wanted = opened(place), 0, 0
        for user in range(0, 600, 7):
            vector = index.vectors[index.newest[user]]
            edge = index.exactly(vector, 10, now, None)[-1].score
            found += sum(hit.score >= edge - 1e-6 for hit in index._hits(vector, index.stored_places(vector, 10, now), 10, None))
            wanted += 10
        assert found / wanted >= least, (now, found / wanted)


def test_an_update_moves_what_stays_and_adds_what_is_new(folder, tmp_path, monkeypatch):
    place, frame = tmp_path / "index", history(600)
    build_index(frame, WordEncoder(), place, store="ann")
    put_in = []
    real = AnnIndex._add
    monkeypatch.setattr(AnnIndex, "_add", lambda self, places, report: (put_in.append(len(places)), real(self, places, report)))
    changed = pl.concat([documents_of({"7": "Only operas now."}), documents_of({"new": "Operas too."})])
    before = opened(place)
    update_index(place, WordEncoder(), changed, delete=["11", "12"])
    assert put_in == [2]
    after = opened(place)
    for text, user in (("Only operas now.", "7"), ("Operas too.", "new")):
        assert after.query(WordEncoder().encode([text])[0], 1)[0].user_id == user
    assert all(finding.ok for finding in check_index(place, WordEncoder())), check_index(place, WordEncoder())
    for user in range(0, 600, 40):
        for now in (None, 15):
            vector = before.vectors[before.newest[user]]
            hits = after.query(vector, 5, as_of=now)
            assert not {"11", "12"} & {hit.user_id for hit in hits}
            assert len(hits) == 5 and {hit.document_id for hit in hits} <= {
                after.documents["document_id"][int(place)] for place in after.visible_places(now)
            }
            assert now is not None or hits[0].score == pytest.approx(after.exactly(vector, 1, None, None)[0].score, abs=1e-6)
    # Who has the generation before keeps it.
    assert before.query(before.vectors[before.newest[11]], 1)
    put_in.clear()
    update_index(place, WordEncoder(), documents_of(people(2000)), whole=True)
    assert put_in == [2000], "so many more have lists of their own"


@pytest.mark.parametrize("harm", ["torn", "foreign", "missing"])
def test_a_file_that_is_not_what_was_written_is_refused(harm, tmp_path):
    place = tmp_path / "index"
    build_index(history(50), WordEncoder(), place, store="ann")
    file = place / "000001" / "ann.faiss"
    whole = file.read_bytes()
    if harm == "missing":
        file.unlink()
    else:
        file.write_bytes(whole[:-40] if harm == "torn" else whole[:-1] + bytes([whole[-1] ^ 1]))
    index = opened(place)
    with pytest.raises(IndexMismatchError, match="rebuild the index"):
        index.query(index.vectors[0], 3)
    assert not all(finding.ok for finding in check_index(place, WordEncoder()))
    index.exact_below = 20_000
    assert index.query(index.vectors[0], 3), "exact search needs none of it"


def test_exact_has_no_store_and_always_answers_exactly(tmp_path):
    build_index(history(50), WordEncoder(), tmp_path / "index", store="exact")
    update_index(tmp_path / "index", WordEncoder(), documents_of({"7": "Only operas now."}))
    assert {file.name for file in (tmp_path / "index" / "000002").iterdir()} == {"documents.parquet", "vectors.npy"}
    index = opened(tmp_path / "index")
    assert index.query(WordEncoder().encode(["operas"])[0], 1)[0].user_id == "7"
    assert all(finding.ok for finding in check_index(tmp_path / "index", WordEncoder()))


def test_settings_take_a_recall_and_nothing_else():
    assert RetrieverSettings(store="ann", store_options={"recall": 0.99}).store == "ann"
    with pytest.raises(ValueError, match="has no option 'lists'"):
        RetrieverSettings(store="ann", store_options={"lists": 3})
    with pytest.raises(ValueError, match="has no option"):
        RetrieverSettings(store="exact", store_options={"recall": 0.9})
    with pytest.raises((ConfigError, ValueError), match="recall"):
        RetrieverSettings(store="ann", store_options={"recall": 95})


def test_without_faiss_it_says_what_to_install_before_anything_is_embedded(tmp_path):
    with pytest.MonkeyPatch.context() as patch, pytest.raises(MissingPackageError, match=r"pip install 'score-rag\[ann\]'"):
        patch.setattr("score_rag.extras.find_spec", lambda name: None)
        build_index(history(5), None, tmp_path / "index", store="ann")
    assert json.dumps(sorted(file.name for file in tmp_path.rglob("*.npy"))) == "[]"


def test_opening_an_index_imports_no_faiss(folder):
    program = (
        "import sys; from score_rag.index.reader import BehaviourIndex; from score_rag.testing import WordEncoder;"
        f"i = BehaviourIndex.open({str(folder)!r}, WordEncoder()); i.query(i.vectors[0], 3); assert 'faiss' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
