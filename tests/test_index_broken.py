"""Indexes that are broken, not ours, not writable or left half-made: refused or mended, with the command to type."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from index_world import built, people  # noqa: F401
from run_copies import reseal

from score_rag.cli.remedies import command
from score_rag.errors import IndexMismatchError, InputError
from score_rag.index.check import check_index
from score_rag.index.chroma import LocalChroma
from score_rag.index.reader import BehaviourIndex, documents_of
from score_rag.index.writer import build_index
from score_rag.testing import WordEncoder


def test_a_folder_with_other_things_is_not_written_to(tmp_path):
    (tmp_path / "2024" / "letters").mkdir(parents=True)
    with pytest.raises(InputError, match="other things"):
        build_index(documents_of(people(3)), WordEncoder(), tmp_path)
    (tmp_path / "index").mkdir()
    build_index(documents_of(people(3)), WordEncoder(), tmp_path / "index")
    (tmp_path / "index" / "2024").mkdir()
    for _ in range(2):
        build_index(documents_of(people(4)), WordEncoder(), tmp_path / "index")
    assert (tmp_path / "index" / "2024").is_dir()


def test_what_is_broken_is_refused_with_the_command_to_type(built, tmp_path):
    def broken(name: str) -> Path:
        copy = tmp_path / name
        shutil.copytree(built, copy)
        return copy

    def told(place: Path) -> IndexMismatchError:
        with pytest.raises(IndexMismatchError) as caught:
            index = BehaviourIndex.open(place, WordEncoder())
            _ = index.store
        assert shlex.split(command(caught.value.remedy)) == ["score-rag", "index", "rebuild", "PIPELINE", "--folder", str(place)]
        assert not all(finding.ok for finding in check_index(place, WordEncoder()))
        return caught.value

    with pytest.raises(IndexMismatchError, match="another encoder"):
        BehaviourIndex.open(built, WordEncoder(name="other"))
    place = broken("older")
    (place / "index.json").write_text(json.dumps({**json.loads((place / "index.json").read_text()), "format": 1}))
    assert "of another version" in str(told(place))
    place = broken("garbled")
    (place / "index.json").write_text("{")
    assert "cannot be read" in str(told(place))
    place = broken("unfinished")
    (place / "index.json").unlink()
    assert "no finished index" in str(told(place))
    place = broken("half a file")
    with (place / "000001" / "vectors.npy").open("r+b") as stream:
        stream.truncate(300)
    assert "cannot be read" in str(told(place))
    place = broken("other documents")
    pl.read_parquet(place / "000001" / "documents.parquet").head(7).write_parquet(place / "000001" / "documents.parquet")
    assert "not what was written" in str(told(place))
    reseal(place / "000001")
    assert "not whole" in str(told(place))
    for file in ("index.json", "000001/vectors.npy", "000001/documents.parquet"):
        place = broken(f"a bit of {Path(file).name}")
        raw = bytearray((place / file).read_bytes())
        raw[raw.rfind(b'"users": 4') + 9 if file == "index.json" else len(raw) // 2] ^= 1
        (place / file).write_bytes(raw)
        assert "not what was written" in str(told(place))
    place = broken("a store that lost some")
    LocalChroma(place / "000001" / "chroma").remove(LocalChroma(place / "000001" / "chroma").nearest(np.ones(64), 3))
    assert told(place).found == "37"
    place = broken("no database")
    (place / "000001" / "chroma" / "chroma.sqlite3").write_bytes(b"not a database, but long enough to look at" * 30)
    assert "store" in str(told(place))


def test_a_check_finds_what_opening_does_not_look_at(built, tmp_path):
    def wrong(change) -> list[str]:
        place = tmp_path / change.__name__
        shutil.copytree(built, place)
        change(place / "000001")
        reseal(place / "000001")
        return [finding.name for finding in check_index(place, WordEncoder()) if not finding.ok]

    def other_vectors(own: Path) -> None:
        vectors = np.load(own / "vectors.npy")
        np.save(own / "vectors.npy", vectors[::-1])

    def long_vectors(own: Path) -> None:
        np.save(own / "vectors.npy", np.load(own / "vectors.npy") * 2)

    def other_texts(own: Path) -> None:
        frame = pl.read_parquet(own / "documents.parquet").with_columns(text=pl.col("text") + " and more")
        frame.write_parquet(own / "documents.parquet")

    def other_store(own: Path) -> None:
        store = LocalChroma(own / "chroma")
        ids = store.collection.get(include=[])["ids"]
        turned = np.zeros((len(ids), 64), dtype=np.float32)
        turned[:, 0] = 1
        store.collection.upsert(ids=ids, embeddings=turned, documents=["?"] * len(ids))

    assert wrong(other_vectors) == ["encoder", "store"]
    assert wrong(long_vectors)[0] == "vectors"
    assert wrong(other_texts)[:1] == ["documents"]
    assert wrong(other_store) == ["store"]


def test_a_folder_that_must_not_be_written_to_is_read(built, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda place, mode: False)
    index = BehaviourIndex.open(built, WordEncoder())
    index.exact_below = 0
    assert index.store is None and len(index.query(np.asarray(index.vectors[0]), 5)) == 5


def test_what_a_writer_that_was_killed_had_begun_is_no_stranger(tmp_path):
    folder = tmp_path / "index"
    (folder / "000001").mkdir(parents=True)
    for name in ("000001/vectors.npy", ".index.json.abc12345.tmp", "..lock.json.abc12345.tmp", ".waiting.json.abc12345.tmp", ".lock"):
        (folder / name).write_text("half of")
    assert build_index(documents_of(people(3)), WordEncoder(), folder).users == 3
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tmp").write_text("mine")
    with pytest.raises(InputError, match="other things than an index"):
        build_index(documents_of(people(3)), WordEncoder(), tmp_path / "other")


class PanicException(BaseException):
    """As Rust's are named, and no ordinary exception either."""


@pytest.mark.parametrize(("raised", "told"), [(PanicException, IndexMismatchError), (KeyboardInterrupt, KeyboardInterrupt)])
def test_a_damaged_database_that_makes_chroma_panic_is_refused(tmp_path, monkeypatch, raised, told):
    import chromadb

    store = LocalChroma(tmp_path / "chroma")
    store.add(["a"], np.ones((1, 4), dtype=np.float32), ["text"], [{"known": 1}])

    def panics(*_, **__):
        raise raised("database disk image is malformed")

    monkeypatch.setattr(type(store.collection), "query", panics)
    with pytest.raises(told, match="does not answer" if told is IndexMismatchError else "malformed"):
        store.nearest(np.ones(4), 1)
    store.close()
    monkeypatch.setattr(chromadb, "PersistentClient", panics)
    with pytest.raises(told, match="cannot be opened" if told is IndexMismatchError else "malformed") as refused:
        LocalChroma(tmp_path / "chroma")
    if told is IndexMismatchError:
        assert refused.value.where == str(tmp_path / "chroma") and "malformed" in refused.value.found


def test_a_page_of_zeros_in_the_store_is_refused_or_answers(tmp_path):
    """Two in five pages keep the database from opening; some of those made Rust panic."""
    store = LocalChroma(tmp_path / "whole")
    store.add([str(n) for n in range(20)], np.eye(20, dtype=np.float32), ["text"] * 20, [{"known": n} for n in range(20)])
    store.close()
    pages, refused = (tmp_path / "whole" / "chroma.sqlite3").stat().st_size // 4096, 0
    for page in range(1, pages, 2):
        place = tmp_path / str(page)
        shutil.copytree(tmp_path / "whole", place)
        with (place / "chroma.sqlite3").open("r+b") as stream:
            stream.seek(4096 * page)
            stream.write(bytes(512))
        try:
            opened = LocalChroma(place)
            opened.nearest(np.eye(20, dtype=np.float32)[0], 3)
            opened.close()
        except IndexMismatchError:
            refused += 1
    assert 3 < refused < pages // 2
