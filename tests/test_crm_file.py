"""Vectors out of files, what the CRM stage writes, and neighbours against brute force."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from score_rag.crm.artefacts import read_crm_vectors, read_neighbours, read_vectors, write_crm
from score_rag.crm.din import DIN
from score_rag.crm.file import FileVectors, read_vector_file
from score_rag.crm.neighbours import neighbours
from score_rag.crm.registry import read_model
from score_rag.crm.sasrec import SASRec
from score_rag.errors import ConfigError, DataError, StageError
from score_rag.files import read_json
from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.runner import run
from score_rag.pipeline.stages import stages
from score_rag.pipeline.state import finished_folder, status


def tastes(names):
    return [[1.0, 0.0] if int(name) % 2 == 0 else [0.0, 1.0] for name in names]


@pytest.fixture
def files(toy, tmp_path):
    """User vectors as Parquet (one user missing, one unknown), item vectors as .npy with ids beside it."""
    users = toy.log.users[1:]
    pl.DataFrame({"user": [*users, "999"], "vector": [*tastes(users), [5.0, 5.0]]}).write_parquet(tmp_path / "users.parquet")
    items = list(toy.catalogue)
    np.save(tmp_path / "items.npy", np.array(tastes(items)))
    (tmp_path / "items.txt").write_text("\n".join(items), encoding="utf-8")
    return tmp_path / "users.parquet", tmp_path / "items.npy"


def test_vectors_from_files_take_the_recommenders_place(files, toy, tmp_path):
    model = FileVectors(user_vectors=str(files[0]), item_vectors=str(files[1])).fit(toy)
    assert model.metrics == {"dim": 2, "users_without_vector": 1, "items_without_vector": 0, "unknown_users": 1, "unknown_items": 0}
    user, missing = toy.log.users[1], toy.log.users[0]
    mine, other = (str((int(user) + step) % 2) for step in (0, 1))
    assert model.score(user, [mine, other]).tolist() == [1.0, 0.0]
    # Who has no vector is the mean of what they liked, which is of one taste here.
    assert model.user_vectors([missing]).tolist() == tastes([missing])
    assert not model.user_vectors([missing], as_of=0).any() and not model.user_vectors(["nobody"]).any()
    model.save_pretrained(tmp_path / "model")
    again = read_model(tmp_path / "model").bind(toy.log)
    np.testing.assert_array_equal(again.score_catalogue(toy.log.users), model.score_catalogue(toy.log.users))


@pytest.mark.parametrize(
    ("ids", "vectors", "message"),
    [
        (["0", "0"], [[1.0, 2.0], [1.0, 2.0]], "more than once"),
        (["0", "1"], [[1.0, float("nan")], [1.0, 2.0]], "not finite"),
        (["0", "1"], [[1.0, None], [1.0, 2.0]], "not finite"),
        (["0", "1"], [[1.0], [1.0, 2.0]], "differ in width"),
        (["0", "1"], [None, [1.0, 2.0]], "differ in width"),
        (["x", "y"], [[1.0, 2.0], [1.0, 2.0]], "none of these ids"),
        (["0", "1"], [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]], "user and item vectors differ in width"),
    ],
)
def test_bad_vectors_are_refused(files, toy, tmp_path, ids, vectors, message):
    pl.DataFrame({"id": ids, "vector": vectors}, schema_overrides={"vector": pl.List(pl.Float64)}).write_parquet(tmp_path / "bad.parquet")
    with pytest.raises(DataError, match=message):
        FileVectors(user_vectors=str(tmp_path / "bad.parquet"), item_vectors=str(files[1])).fit(toy)


def test_bad_files_are_refused(tmp_path):
    with pytest.raises(DataError, match="no file of vectors"):
        read_vector_file(tmp_path / "nowhere.npy")
    (tmp_path / "objects.txt").write_text("u\n", encoding="utf-8")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="malformed"):
        read_vector_file(tmp_path / "objects.npy")
    np.save(tmp_path / "alone.npy", np.eye(2))
    with pytest.raises(DataError, match="no ids beside"):
        read_vector_file(tmp_path / "alone.npy")
    (tmp_path / "alone.json").write_text('["a"]')
    with pytest.raises(DataError, match="do not fit together"):
        read_vector_file(tmp_path / "alone.npy")
    pl.DataFrame({"id": ["a"], "name": ["b"]}).write_parquet(tmp_path / "names.parquet")
    with pytest.raises(DataError, match="two columns"):
        read_vector_file(tmp_path / "names.parquet")
    (tmp_path / "no.parquet").write_text("no")
    with pytest.raises(DataError, match="malformed"):
        read_vector_file(tmp_path / "no.parquet")


def test_artefacts_come_back(toy, tmp_path):
    model = SASRec(dim=16, layers=1).fit(toy, epochs=4, batch_size=8, learning_rate=1e-2, seed=3, device="cpu")
    write_crm(model, toy, tmp_path, neighbours_k=3)
    assert len(read_neighbours(tmp_path)) == 3 * len(toy.train_log)
    ids, _ = read_vectors(tmp_path, "users")
    assert ids == toy.train_log.users
    stored = read_crm_vectors(tmp_path)
    scores = stored.items @ stored.users[stored.place_of["0"]] + stored.biases
    expected = model.bind(toy.train_log).recommend("0", 5)
    assert [stored.item_ids[place] for place in np.argsort(-scores, kind="stable")[:5]] == [item for item, _ in expected]
    with pytest.raises(StageError, match="missing"):
        read_neighbours(tmp_path / "nowhere")


def test_a_model_without_item_vectors_has_none_to_rank_by(toy, tmp_path):
    model = DIN(dim=8).fit(toy, epochs=1, seed=3, device="cpu")
    write_crm(model, toy, tmp_path, neighbours_k=3)
    assert not (tmp_path / "items.safetensors").exists() and read_crm_vectors(tmp_path) is None


@pytest.mark.parametrize("kind", ["lightgcn", "din", "mf", "file", "item-knn"])
def test_any_of_them_can_be_the_stage(kind, toy_pipeline, files, tmp_path):
    words = [f"runs={tmp_path / 'runs'}", f"crm.model={kind}", "crm.epochs=1"]
    words += [f"crm.user_vectors={files[0]}", f"crm.item_vectors={files[1]}"] if kind == "file" else []
    pipeline = load_pipeline(str(toy_pipeline), overrides=words)
    found = run(pipeline, stages(pipeline), until="crm")[-1]
    folder = finished_folder(pipeline, "crm")
    assert read_json(folder / "config.json")["model"] == kind and len(read_neighbours(folder))
    assert ("valid_auc" in found.metrics) == (kind not in ("file", "item-knn"))
    assert not (tmp_path / "runs" / "toy" / "scratch" / "crm").exists()
    assert bool(read_json(folder / "finished.json")["key"]["inputs"]) == (kind == "file")


def test_files_of_one_name_and_their_ids_are_all_inputs(toy, toy_pipeline, tmp_path):
    for name, ids in (("users", toy.train_log.users), ("items", list(toy.catalogue))):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "v.npy", np.random.default_rng(0).normal(size=(len(ids), 3)).astype(np.float32))
        (tmp_path / name / "v.json").write_text(json.dumps(ids), encoding="utf-8")
    words = [f"runs={tmp_path / 'runs'}", "crm.model=file"]
    words += [f"crm.user_vectors={tmp_path / 'users' / 'v.npy'}", f"crm.item_vectors={tmp_path / 'items' / 'v.npy'}"]
    pipeline = load_pipeline(str(toy_pipeline), overrides=words)
    run(pipeline, stages(pipeline), until="crm")
    assert len(read_json(finished_folder(pipeline, "crm") / "finished.json")["key"]["inputs"]) == 4
    for name in ("users/v.json", "items/v.json", "users/v.npy", "items/v.npy"):
        file = tmp_path / name
        whole = file.read_bytes()
        file.write_bytes(whole.replace(b'["', b'["x') if name.endswith("json") else whole[:-4] + b"\0\0\x80?")
        crm = status(pipeline, stages(pipeline))[1]
        assert crm.state == "stale" and "v." in crm.reason, name
        file.write_bytes(whole)
    assert status(pipeline, stages(pipeline))[1].state == "finished"
    (tmp_path / "users" / "v.json").unlink()
    with pytest.raises(DataError, match="no ids beside"):
        run(pipeline, stages(pipeline), until="crm")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("v.npy", b"", "malformed"),
        ("v.npy", np.float32(1.0), "rows of numbers"),
        ("v.npy", np.zeros((1, 2), dtype=np.float32), "not UTF-8"),
        ("v.parquet", pl.DataFrame({"id": ["u"], "v": [["a", "b"]]}), "lists of String"),
    ],
)
def test_what_holds_no_vectors_is_refused(tmp_path, name, content, said):
    file = tmp_path / name
    if isinstance(content, pl.DataFrame):
        content.write_parquet(file)
    elif isinstance(content, bytes):
        file.write_bytes(content)
    else:
        np.save(file, content)
    (tmp_path / "v.txt").write_bytes(b"\xff\n")
    with pytest.raises(DataError, match=said):
        read_vector_file(file)


def test_settings_that_do_not_fit_are_refused(toy_pipeline):
    for words, message in ((["crm.model=file"], "crm.user_vectors: Field required"), (["crm.model=din", "crm.loss=softmax"], "only bce")):
        with pytest.raises(ConfigError, match=message):
            load_pipeline(str(toy_pipeline), overrides=words)


@given(st.integers(2, 12), st.integers(1, 5), st.integers(0, 1000), st.integers(1, 5))
def test_neighbours_equal_brute_force(users, k, seed, block):
    vectors = np.random.default_rng(seed).integers(-2, 3, (users, 3)).astype(np.float32)
    names = [f"u{n}" for n in range(users)]
    found = neighbours(vectors, names, k=k, block=block)
    known = [n for n in range(users) if np.abs(vectors[n]).sum()]
    for n in range(users):
        others = sorted((other for other in known if other != n), key=lambda other: (-float(vectors[n] @ vectors[other]), other))
        expected = [names[other] for other in others[:k]] if n in known else []
        assert found.filter(found["user_id"] == names[n])["neighbour_id"].to_list() == expected
