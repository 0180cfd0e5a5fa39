"""Vectors of an index are made in blocks: of any size the same bytes, and no more held than a block."""

from __future__ import annotations

import io
import tracemalloc

import numpy as np
import polars as pl
import pytest
from index_world import history, people

from score_rag.index import embed, fill
from score_rag.index.chroma import LocalChroma
from score_rag.index.embed import write_vectors
from score_rag.index.reader import BehaviourIndex, documents_of
from score_rag.index.writer import build_index, update_index
from score_rag.progress import silent
from score_rag.testing import WordEncoder

TEXTS = ["Heat", "Ronin", "Heat", "Grease", "Cabaret", "Grease", "Grease", "Alien", "Heat", "Ronin", "Leon"]


class CountingEncoder(WordEncoder):
    """Keeps how many texts it was asked for at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []

    def encode(self, texts, *, report=silent):
        self.asked.append(len(texts))
        return super().encode(texts, report=report)


def saved(vectors: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, vectors)
    return file.getvalue()


@pytest.mark.parametrize("block", [1, 2, 3, 5, 11, 100])
def test_blocks_of_any_size_write_the_bytes_of_all_at_once_and_embed_a_text_once(tmp_path, monkeypatch, block):
    monkeypatch.setattr(embed, "_BLOCK", block)
    encoder, told = CountingEncoder(), []
    frame = pl.DataFrame({"text": TEXTS})
    vectors, count = write_vectors(tmp_path / "vectors.npy", frame, encoder, report=lambda *said: told.append(said))
    assert (tmp_path / "vectors.npy").read_bytes() == saved(WordEncoder().encode(TEXTS))
    assert np.array_equal(vectors, WordEncoder().encode(TEXTS))
    assert encoder.embedded == list(dict.fromkeys(TEXTS)) and count == 6
    assert max(encoder.asked) <= block and 0 not in encoder.asked
    assert [done for _, done, _ in told] == [1, 2, 3, 4, 5, 6] and {total for *_, total in told} == {6}


@pytest.mark.parametrize("block", [1, 4, 1000])
def test_an_update_in_blocks_is_what_a_new_build_is(tmp_path, monkeypatch, block):
    monkeypatch.setattr(embed, "_BLOCK", block)
    build_index(documents_of(people(20)), WordEncoder(), tmp_path / "old", store="exact")
    # One text is new and somebody else's as well, one was another's before.
    now = {**people(23), "3": "Operas.", "7": people(1)["0"], "9": "Operas.", "22": "Operas."}
    encoder = CountingEncoder()
    done = update_index(tmp_path / "old", encoder, documents_of(now), whole=True)
    assert sorted(encoder.embedded) == sorted({"Operas.", people(23)["20"], people(23)["21"]}) and done.embedded == 3
    build_index(documents_of(now), WordEncoder(), tmp_path / "new", store="exact")
    assert (tmp_path / "old/000002/vectors.npy").read_bytes() == (tmp_path / "new/000001/vectors.npy").read_bytes()


def test_an_update_without_new_texts_asks_the_encoder_for_nothing(tmp_path):
    build_index(documents_of(people(8)), WordEncoder(), tmp_path, store="exact")
    encoder = CountingEncoder()
    assert update_index(tmp_path, encoder, documents_of({}), delete=["2"]).embedded == 0
    assert not encoder.asked and len(BehaviourIndex.open(tmp_path, encoder).vectors) == 7


def test_memory_is_that_of_a_block_however_many_documents(tmp_path, monkeypatch):
    monkeypatch.setattr(embed, "_BLOCK", 500)
    encoder = WordEncoder()
    encoder.encode = lambda texts, *, report=silent: np.ones((len(texts), 384), dtype=np.float32)
    most = []
    for count in (5_000, 20_000):
        frame = pl.DataFrame({"text": [f"document {number}" for number in range(count)]})
        tracemalloc.start()
        write_vectors(tmp_path / "vectors.npy", frame, encoder)
        most.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    block = 500 * 384 * 4
    # All vectors would be 40 blocks; a row costs its place, where it is known and two flags beside.
    assert most[1] < 4 * block and most[1] - most[0] < 15_000 * 64


def test_a_store_is_handed_so_many_documents_at_a_time(tmp_path, monkeypatch):
    handed, add = [], LocalChroma.add

    def counted(self, ids, vectors, texts, facts, report=silent):
        assert len(ids) == len(vectors) == len(texts) == len(facts)
        handed.append(len(ids))
        add(self, ids, vectors, texts, facts, report)

    monkeypatch.setattr(LocalChroma, "add", counted)
    monkeypatch.setattr(fill, "_BLOCK", 7)
    told = []
    frame = history(18)
    build_index(frame, WordEncoder(), tmp_path, report=lambda *said: told.append(said))
    assert handed == [7, 7, 4]
    assert [said for said in told if said[0] == "writing the store"] == [("writing the store", done, 18) for done in (7, 14, 18)]
    index = BehaviourIndex.open(tmp_path, WordEncoder())
    index.exact_below = 0
    for place in index.newest.tolist():
        # Each is found by its own vector, so vectors and documents belong together in every block.
        assert index.documents["document_id"][place] == index.query(np.asarray(index.vectors[place]), 1)[0].document_id
