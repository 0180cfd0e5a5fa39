"""Shards on a Ray cluster of three nodes: the bytes of one process, whoever dies meanwhile; every error of a kind of its own."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import polars as pl
import pytest
import ray_world
from ray_world import ray_cluster
from test_cli import typed
from test_shard_commands import candidates

from score_rag.errors import InputError, MissingPackageError
from score_rag.pipeline.run import Run
from score_rag.shards import EmbedJob, ScoreJob, Shard, check_shards, merge_shards, run_shard
from score_rag.shards.cluster import ClusterError, LostShardError, StalledShardError, drive, hand_out, run_on_ray
from score_rag.shards.cluster.worker import ShardWorker
from score_rag.shards.order import Order
from score_rag.shards.source import find_source

pytestmark = [pytest.mark.filterwarnings("ignore::ResourceWarning"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture(scope="module")
def cluster():
    with ray_cluster(1, 1) as (found, _):
        yield found


def parts(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("*.parquet") if not file.name.startswith(".")}


@pytest.mark.slow
def test_a_cluster_s_shards_are_those_of_one_process(monkeypatch, capsys, cluster, toy_run, toy_pipeline, tmp_path):
    run = Run.open(toy_run)
    documents = find_source(run.folder("documents") / "documents.parquet")
    for index in range(5):
        run_shard(EmbedJob(run, documents), Shard(index, 5), tmp_path / "here", batch_rows=16)
    words = ["embed", toy_pipeline, "--output", tmp_path / "ray", "--engine", "ray", "--ray-address", cluster.address, "--batch-rows", 16]
    code, out, err = typed(monkeypatch, capsys, *words, "--shards", 5, "--json")
    assert code == 0, err
    assert json.loads(out) == {
        "shards": 5, "rows": documents.rows, "failed": 0, "skipped": 0, "tries": {}, "output": str(tmp_path / "ray"),
    }  # fmt: skip
    assert parts(tmp_path / "ray") == parts(tmp_path / "here") and check_shards(tmp_path / "ray").ok
    assert not list((tmp_path / "ray").glob(".shared-*")) and not list((tmp_path / "ray").glob(".part-*"))
    # The folder says how many shards there are; what is done is skipped.
    code, out, err = typed(monkeypatch, capsys, *words, "--json")
    assert code == 0 and json.loads(out)["skipped"] == 5, err


@pytest.mark.slow
def test_what_no_cluster_can_do_is_told_and_an_error_of_a_shard_keeps_its_kind(
    monkeypatch, capsys, cluster, toy_run, toy_pipeline, tmp_path
):
    words = ["embed", toy_pipeline, "--output", tmp_path / "ray", "--engine", "ray", "--ray-address", cluster.address]
    assert typed(monkeypatch, capsys, *words, "--shards", 2)[0] == 0
    code, _, err = typed(monkeypatch, capsys, *words, "--cpus-per-shard", 8)
    assert code == 1 and "no node of the cluster has room" in err and "1 cores and 0 GPUs" in err
    code, _, err = typed(monkeypatch, capsys, *words, "--shards", 4)
    assert code == 2 and "another job" in err and "shards 4" in err
    monkeypatch.setattr(drive, "write_text", lambda *given: None)
    code, _, err = typed(monkeypatch, capsys, *words)
    assert code == 2 and "does not see the driver's files" in err


@pytest.mark.slow
def test_a_shard_that_hangs_is_named(cluster, toy, toy_run, toy_pipeline, tmp_path):
    """Its actor's process is stopped in the middle of the work (SIGSTOP)."""
    candidates(toy, tmp_path / "in.parquet")
    out, stopped = tmp_path / "out", []

    def stop() -> None:
        until = time.monotonic() + 200
        while not list(out.glob(".part-*/good-*.parquet")) and time.monotonic() < until:
            time.sleep(0.02)
        (holder,) = out.glob(".part-*/.lock.json")
        stopped.append(json.loads(holder.read_text())["pid"])
        os.kill(stopped[0], signal.SIGSTOP)

    stopper = threading.Thread(target=stop)
    stopper.start()
    try:
        with pytest.raises(StalledShardError, match=r"shard 0/1 hangs: no progress for 45 seconds"):
            order = Order("score", str(toy_pipeline), source=tmp_path / "in.parquet")
            run_on_ray(order, out, shards=1, address=cluster.address, timeout=45, batch_rows=1, checkpoint=0)
        stopper.join()
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGKILL)
    assert stopped and check_shards(out).faults == {"0/1": "not done"} and list(out.glob(".part-*/good-*.parquet"))


@pytest.mark.slow
def test_a_node_that_dies_leaves_its_shard_to_another(toy, toy_run, toy_pipeline, tmp_path):
    candidates(toy, tmp_path / "in.parquet")
    run = Run.open(toy_run)
    for index in range(6):
        run_shard(ScoreJob(run, find_source(tmp_path / "in.parquet")), Shard(index, 6), tmp_path / "here", batch_rows=2)
    out, killed = tmp_path / "ray", []

    def kill(cluster, node) -> None:
        until = time.monotonic() + 300
        while len(list(out.glob(".part-*/good-*.parquet"))) < 3 and time.monotonic() < until:
            time.sleep(0.05)
        cluster.remove_node(node, allow_graceful=False)
        killed.append([file.name for file in out.glob("part-*.json")])

    with ray_cluster(1, 1, 1) as (cluster, nodes):
        killer = threading.Thread(target=kill, args=(cluster, nodes[1]))
        killer.start()
        order = Order("score", str(toy_pipeline), source=tmp_path / "in.parquet")
        done = run_on_ray(order, out, shards=6, address=cluster.address, batch_rows=2, checkpoint=0)
        killer.join()
    assert len(killed[0]) < 6 and done.tries and set(done.tries.values()) == {2}
    assert [one.shard for one in done.shards] == [f"{index}/6" for index in range(6)] and not any(one.skipped for one in done.shards)
    assert check_shards(out).ok and parts(out) == parts(tmp_path / "here")
    for name in ("ray", "here"):
        merge_shards(tmp_path / name, tmp_path / f"{name}.parquet")
    assert (tmp_path / "ray.parquet").read_bytes() == (tmp_path / "here.parquet").read_bytes()
    assert len(pl.read_parquet(tmp_path / "ray.parquet")) == 4 * len(toy.log)


@pytest.mark.slow
def test_what_every_actor_dies_of_is_given_up(cluster, toy_pipeline, tmp_path, monkeypatch):
    monkeypatch.setattr(hand_out, "new_actor", dying(hand_out.new_actor))
    order = Order("embed", str(toy_pipeline))
    with pytest.raises(LostShardError, match=r"shard 0/1 was lost, 3 times"):
        run_on_ray(order, tmp_path / "out", shards=1, address=cluster.address)


def dying(make):
    """An actor that is killed as soon as it is there."""

    def made(ray, *given, **room):
        actor = make(ray, *given, **room)
        ray.kill(actor)
        return actor

    return made


def test_a_node_without_the_folder_says_so(toy_pipeline, tmp_path):
    (tmp_path / "token").write_text("mine", encoding="utf-8")
    order = Order("score", str(toy_pipeline), source=tmp_path / "none.parquet")
    for token in (("nothing", "mine"), ("token", "another's"), ("token", "mine")):
        found = ShardWorker(order, tmp_path, token, patience=0).work(Shard(0, 1), batch_rows=1, checkpoint=0)
        assert isinstance(found, InputError) and "one file system" in str(found.expected)
    assert "none.parquet" in found.where


def test_options_and_addresses_that_do_not_fit(monkeypatch, capsys, toy_pipeline, tmp_path):
    words = ["embed", toy_pipeline, "--output", tmp_path / "out"]
    for more, code, told in (
        (["--shards", 3], 2, "these options are for a cluster"),
        (["--engine", "ray", "--shard", "1/2"], 2, "a cluster does all shards"),
        (["--engine", "ray", "--ray-address", "127.0.0.1:1"], 1, "no Ray cluster at this address"),
    ):
        found, _, err = typed(monkeypatch, capsys, *words, *more)
        assert found == code and told in err, err
    code, _, err = typed(monkeypatch, capsys, "assess", "run", toy_pipeline, "--engine", "ray")
    assert code == 2 and "needs a folder" in err
    with pytest.raises(ClusterError):
        run_on_ray(Order("embed", str(toy_pipeline)), tmp_path / "out", address="127.0.0.1:1")


def test_without_ray_it_says_what_to_install(monkeypatch, toy_pipeline, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPackageError) as caught:
        run_on_ray(Order("embed", str(toy_pipeline)), tmp_path / "out")
    assert caught.value.hint == "pip install 'score-rag[ray]'"


@pytest.mark.slow
def test_the_tests_tell_nobody(cluster):
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0" and cluster.address.startswith("127.0.0.1:") and ray_world.ROOT.is_dir()
