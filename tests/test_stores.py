"""Stores of the index: Chroma in a folder, a Chroma server, another LlamaIndex store; what they hold, whose it is, what is tidied up."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import httpx
import numpy as np
import pytest

from score_rag.errors import ChangeSetting, ConfigError, IndexMismatchError
from score_rag.files import read_json, sealed, write_json
from score_rag.index.check import check_index
from score_rag.index.reader import BehaviourIndex, documents_of
from score_rag.index.stores import open_store
from score_rag.index.writer import build_index, update_index
from score_rag.testing import WordEncoder

TASTES = ("Heat Ronin Casino", "Grease Cabaret Chicago", "Alien Predator Tremors", "Amelie Delicatessen Leon")


def people(count: int, *, extra: str = "") -> dict[str, str]:
    return {str(n): f"Liked: {TASTES[n % 4]} film{n} film{n * 7 % 10}.{extra}" for n in range(count)}


def _served_chroma(folder: Path) -> tuple[subprocess.Popen, str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = Path(sys.executable).with_name("chroma")
    process = subprocess.Popen(
        [program, "run", "--path", folder, "--host", "127.0.0.1", "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return process, f"http://127.0.0.1:{port}"
        except OSError:
            time.sleep(0.05)
    process.kill()
    raise AssertionError("the Chroma server did not start")


def qdrant(path: str):
    """What a pipeline file names: a function that returns a LlamaIndex vector store."""
    from llama_index.vector_stores.qdrant import QdrantVectorStore
    from qdrant_client import QdrantClient

    if path not in _OPEN:
        _OPEN[path] = QdrantClient(path=path)
    return QdrantVectorStore(collection_name="behaviours", client=_OPEN[path])


_OPEN: dict[str, object] = {}


@pytest.fixture
def chroma_server(tmp_path, monkeypatch):
    # Chroma's own client never closes its connections, which here is an error.
    opened, real = [], httpx.Client.__init__

    def noted(self, *given, **more):
        opened.append(self)
        real(self, *given, **more)

    monkeypatch.setattr(httpx.Client, "__init__", noted)
    process, url = _served_chroma(tmp_path / "server")
    yield url
    for client in opened:
        client.close()
    process.kill()
    process.wait()


async def in_a_loop(question):
    """An answer; connections that Chroma's async client keeps for each loop end with this one."""
    from chromadb.api.async_fastapi import AsyncFastAPI

    try:
        return await question
    finally:
        while AsyncFastAPI._clients:
            await AsyncFastAPI._clients.popitem()[1].aclose()


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")
@pytest.mark.parametrize("kind", ["chroma", "server", "qdrant"])
def test_every_store_answers_as_exact_search_does_through_updates(kind, tmp_path, request):
    encoder, folder = WordEncoder(), tmp_path / "index"
    store, options = {
        "chroma": lambda: ("chroma", {}),
        "server": lambda: (request.getfixturevalue("chroma_server"), {"collection": "ours"}),
        "qdrant": lambda: (f"{__name__}:qdrant", {"path": str(tmp_path / "qdrant")}),
    }[kind]()
    build_index(documents_of(people(30)), encoder, folder, store=store, store_options=options)
    update_index(folder, encoder, documents_of({"2": "Only operas now.", "99": "Operas too."}), delete=["5", "6"], store=store)
    before = BehaviourIndex.open(folder, encoder, store=store)
    update_index(folder, encoder, documents_of({"3": "Also operas."}), delete=["7"], store=store)
    index = before.current()
    found = check_index(folder, encoder, store=store)
    assert all(finding.ok for finding in found) and "found by their own vector" in found[-1].told, found
    for opened in (index, before):
        for text, user in (("operas", None), ("Heat Ronin", "0"), ("Alien film2", "17")):
            vector = encoder.encode([text])[0]
            opened.exact_below = 100
            exact = opened.query(vector, 5, exclude_user=user)
            opened.exact_below = 0
            assert opened.store is not None
            stored = opened.query(vector, 5, exclude_user=user)
            again = asyncio.run(in_a_loop(opened.aquery(vector, 5, exclude_user=user)))
            for hits in (stored, again):
                np.testing.assert_allclose([hit.score for hit in hits], [hit.score for hit in exact], atol=1e-5)
    if kind != "chroma":
        waiting = json.loads((folder / "waiting.json").read_text())
        assert len(waiting) == 2, "what users 3 and 7 were told as before is still there for readers of the generation before"
        update_index(folder, encoder, documents_of(people(1)), whole=True, store=store)
        opened = BehaviourIndex.open(folder, encoder, store=store).store
        assert not set(waiting) & set(opened.nearest(encoder.encode(["film"])[0], 60))
        build_index(documents_of(people(8)), encoder, folder, store=store, store_options=options)
        update_index(folder, encoder, documents_of({"new": "Operas."}), store=store)
        index = BehaviourIndex.open(folder, encoder, store=store)
        index.exact_below = 0
        assert {hit.user_id for hit in index.query(encoder.encode(["film"])[0], 20)} == {*people(8), "new"}
        if kind == "server":
            import chromadb

            place = {"host": "127.0.0.1", "port": int(store.rpartition(":")[2])}
            client = chromadb.HttpClient(**place, settings=chromadb.Settings(anonymized_telemetry=False))
            assert len(client.list_collections()) == 1, "that of the index that was built over is gone"
    if kind == "qdrant":
        _OPEN.pop(options["path"]).close()


def test_a_writer_that_died_inside_a_shared_store_is_tidied_up_after(tmp_path, chroma_server, monkeypatch):
    encoder, folder = WordEncoder(), tmp_path / "index"
    build_index(documents_of(people(10)), encoder, folder, store=chroma_server)
    with monkeypatch.context() as patch:
        patch.setattr("score_rag.index.writer.content_of", lambda documents: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            update_index(folder, encoder, documents_of({"a": "Operas.", "b": "Ballets."}))
    store = BehaviourIndex.open(folder, encoder).store
    assert store.count() == 12, "they had been put in"
    assert {hit.user_id for hit in BehaviourIndex.open(folder, encoder).query(encoder.encode(["Operas."])[0], 20)} == set(people(10))
    update_index(folder, encoder, documents_of({"c": "Circuses."}))
    assert store.count() == 11


DYING = """
    import os, sys
    from score_rag.index import writer as write
    from score_rag.index.reader import documents_of
    from score_rag.testing import WordEncoder
    real, when = write.write_json, sys.argv[2]
    def dying(path, value):
        if when == "before" and path.name == "index.json":
            os._exit(9)
        real(path, value)
        if when == "after" and path.name == "index.json":
            os._exit(9)
    write.write_json = dying
    write.update_index(sys.argv[1], WordEncoder(), documents_of({"0": "Changed.", "a": "Operas."}))
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_writer_killed_beside_the_moment_of_truth_leaves_nothing_for_ever(when, tmp_path, chroma_server):
    encoder, folder = WordEncoder(), tmp_path / "index"
    build_index(documents_of(people(10)), encoder, folder, store=chroma_server)
    died = subprocess.run([sys.executable, "-c", textwrap.dedent(DYING), str(folder), when])
    assert died.returncode == 9
    index = BehaviourIndex.open(folder, encoder)
    assert index.generation == (1 if when == "before" else 2) and index.store.count() == 12
    index.exact_below = 0
    assert len({hit.user_id for hit in index.query(encoder.encode(["film"])[0], 20)}) == index.settings["users"]
    update_index(folder, encoder, documents_of({"c": "Circuses."}))
    now = BehaviourIndex.open(folder, encoder)
    assert now.store.count() == now.settings["users"] == (11 if when == "before" else 12)


def test_a_collection_of_somebody_else_is_left_alone(tmp_path, chroma_server):
    import chromadb

    place = {"host": "127.0.0.1", "port": int(chroma_server.rpartition(":")[2])}
    client = chromadb.HttpClient(**place, settings=chromadb.Settings(anonymized_telemetry=False))
    theirs = client.create_collection("theirs-12345678")
    with pytest.raises(IndexMismatchError, match="not created by score-rag") as caught:
        open_store(chroma_server, {"collection": "theirs"}, tmp_path, index="12345678")
    assert caught.value.remedy == ChangeSetting({"retriever.store_options.collection": "NAME"}) and theirs.count() == 0


def test_two_indexes_on_one_server_do_not_meet(tmp_path, chroma_server):
    encoder = WordEncoder()
    for name, count in (("one", 6), ("other", 9)):
        build_index(documents_of(people(count)), encoder, tmp_path / name, store=chroma_server)
    update_index(tmp_path / "other", encoder, documents_of({}), delete=["0", "1", "2"])
    update_index(tmp_path / "other", encoder, documents_of({}), delete=["3"])
    one = BehaviourIndex.open(tmp_path / "one", encoder)
    assert one.store.count() == 6 and BehaviourIndex.open(tmp_path / "other", encoder).store.count() == 6


def test_a_name_that_only_a_file_gives_is_not_followed(tmp_path):
    encoder = WordEncoder()
    build_index(documents_of(people(6)), encoder, tmp_path)
    settings = {name: value for name, value in read_json(tmp_path / "index.json").items() if name != "seal"}
    trap = {"store": "os:mkdir", "store_options": {"path": str(tmp_path / "trapped")}}
    write_json(tmp_path / "index.json", sealed({**settings, **trap}))
    index = BehaviourIndex.open(tmp_path, encoder)
    index.exact_below = 0
    assert len(index.query(encoder.encode(["Heat"])[0], 3)) == 3 and index.store is None
    assert "not looked at" in check_index(tmp_path, encoder)[-1].told
    with pytest.raises(IndexMismatchError, match="Python name"):
        update_index(tmp_path, encoder, documents_of(people(7)))
    assert not (tmp_path / "trapped").exists()


def test_secrets_stay_in_the_environment(tmp_path, chroma_server, monkeypatch):
    monkeypatch.setenv("CHROMA_TOKEN", "not-for-files")
    options = {"headers": {"X-Chroma-Token": "$CHROMA_TOKEN"}}
    build_index(documents_of(people(3)), WordEncoder(), tmp_path / "index", store=chroma_server, store_options=options)
    assert all(b"not-for-files" not in file.read_bytes() for file in (tmp_path / "index").rglob("*") if file.is_file())
    monkeypatch.delenv("CHROMA_TOKEN")
    with pytest.raises(ConfigError, match="environment"):
        _ = BehaviourIndex.open(tmp_path / "index", WordEncoder()).store


def test_stores_that_are_not_there_are_named(tmp_path):
    def refused(store: str, error: type[Exception] = ConfigError, **options) -> str:
        with pytest.raises(error) as caught:
            build_index(documents_of(people(3)), WordEncoder(), tmp_path, store=store, store_options=options)
        return str(caught.value)

    assert "there is no such store" in refused("qdrant")
    assert "cannot be loaded" in refused("nobody.has_this:Store")
    assert "refuses its options" in refused(f"{__name__}:qdrant", strange=1)
    assert "no LlamaIndex vector store" in refused("collections:OrderedDict")
    assert "did you mean 'collection'" in refused("http://localhost:1", colection="x")
    assert "has no option" in refused("chroma", collection="x")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        assert "does not answer" in refused(f"http://127.0.0.1:{probe.getsockname()[1]}", IndexMismatchError)
    assert not (tmp_path / "index.json").exists() and not any(place.is_dir() for place in tmp_path.iterdir())
