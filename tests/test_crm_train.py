"""The training loop: chosen epochs, and resumption to the same bits wherever it was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest

from score_rag.crm.din import DIN
from score_rag.crm.judgements import data_digest
from score_rag.crm.lightgcn import LightGCN
from score_rag.crm.mf import MF
from score_rag.crm.ranking import RankingTask
from score_rag.crm.sasrec import SASRec
from score_rag.crm.train import Validation
from score_rag.data.interactions import Interactions
from score_rag.errors import InputError

MAKERS = {
    "sasrec": lambda: SASRec(dim=8, layers=1, heads=2),
    "lightgcn": lambda: LightGCN(dim=8),
    "mf": lambda: MF(dim=8),
    "din": lambda: DIN(dim=8),
}
FIT = {"epochs": 4, "patience": 4, "batch_size": 16, "learning_rate": 1e-2, "seed": 5, "device": "cpu"}


class Killed(RuntimeError):
    pass


def kill_at(epoch):
    def report(what, done, total):
        if done == epoch:
            raise Killed

    return report


@pytest.mark.parametrize("kind", MAKERS)
def test_killed_at_any_epoch_it_ends_with_the_same_bits(kind, toy, tmp_path):
    whole = MAKERS[kind]().fit(toy, **FIT)
    for epoch in (1, 2, 3) if kind == "sasrec" else (2,):
        folder = tmp_path / str(epoch)
        with pytest.raises(Killed):
            MAKERS[kind]().fit(toy, **FIT, checkpoint=folder, report=kill_at(epoch))
        said = []
        resumed = MAKERS[kind]().fit(toy, **FIT, checkpoint=folder, report=lambda what, done, total, said=said: said.append(done))
        assert said == list(range(epoch + 1, 5)), "it went on, it did not begin again"
        assert resumed.metrics == whole.metrics
        for name, tensor in whole._tensors().items():
            np.testing.assert_array_equal(resumed._tensors()[name], tensor, err_msg=name)
    assert MAKERS[kind]().fit(toy, **FIT, checkpoint=folder).metrics == whole.metrics


def test_a_checkpoint_of_other_settings_or_data_is_not_resumed(toy, tmp_path):
    import polars as pl

    MAKERS["mf"]().fit(toy, **FIT, checkpoint=tmp_path / "state")
    other = Interactions(toy.events.with_columns(label=1 - pl.col("label")), toy.items)
    for world, fit in ((toy, FIT | {"seed": 6}), (toy, FIT | {"negative_weight": 0.5}), (other, FIT)):
        fresh, said = MAKERS["mf"]().fit(world, **fit), []
        found = MAKERS["mf"]().fit(
            world, **fit, checkpoint=tmp_path / "state", report=lambda what, done, total, said=said: said.append(done)
        )
        assert said[0] == 1 and found.metrics == fresh.metrics


CODE = """
import sys
from pathlib import Path
from score_rag.crm.sasrec import SASRec
from score_rag.testing import toy_world
def fit(name, **more):
    model = SASRec(dim=8, layers=1, heads=2)
    model.fit(toy_world(), epochs=12, patience=12, batch_size=4, seed=5, device="cpu", **more).save_pretrained(Path(sys.argv[1]) / name)
fit("broken", checkpoint=Path(sys.argv[1]) / "state", report=lambda what, done, total: print(done, flush=True))
fit("whole")
"""


def test_sigkill_in_the_middle_of_an_epoch_leaves_no_trace(tmp_path):
    command, env = [sys.executable, "-c", CODE, str(tmp_path)], {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    assert process.stdout is not None
    for _ in range(5):
        process.stdout.readline()
    time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    ended = subprocess.run(command, check=True, capture_output=True, env=env, text=True)
    assert 5 <= int(ended.stdout.split()[0]) <= 12
    for file in ("model.safetensors", "config.json"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "broken" / file).read_bytes()


def test_a_catalogue_that_was_corrected_is_other_data(toy):
    """A checkpoint holds what genres and years said; it must not come back after they changed."""
    corrected = Interactions(toy.events, toy.items.with_columns(year=pl.col("year") + 1))
    again = Interactions(toy.events, toy.items)
    assert data_digest(toy) == data_digest(again) != data_digest(corrected)
    assert data_digest(toy) != data_digest(Interactions(toy.events, toy.items.with_columns(genres=pl.col("genres").list.head(1))))


def test_din_draws_as_many_items_as_it_is_told(toy):
    one, eight = (DIN(dim=8).fit(toy, epochs=1, negatives=n, seed=3, device="cpu").score("0", ["1", "2"]) for n in (1, 8))
    assert not np.array_equal(one, eight)


def test_the_best_epoch_is_kept_and_patience_ends_it(toy):
    model = MF(dim=8).fit(toy, epochs=30, patience=2, learning_rate=0.1, batch_size=16, seed=1, device="cpu")
    scores = model.metrics["valid_auc_by_epoch"]
    assert model.metrics["valid_auc"] == max(scores) and model.metrics["epoch"] == scores.index(max(scores)) + 1
    assert len(scores) == 30 or len(scores) == model.metrics["epoch"] + 2
    assert Validation(model, toy, "auc")() == model.metrics["valid_auc"]


def test_nothing_to_learn_from_is_said(toy):
    with pytest.raises(InputError, match="no training events"):
        MF().fit(toy.with_events(toy.events.filter(toy.events["split"] == "test")))


def test_without_validation_events_the_last_epoch_is_kept(toy):
    model = MF(dim=4).fit(toy.with_events(toy.events.filter(toy.events["split"] == "train")), epochs=3, seed=1, device="cpu")
    assert model.metrics["epoch"] == 3 and model.metrics["valid_auc"] is None


def test_ranking_asks_for_what_was_liked_later_and_not_known_yet(toy):
    task = RankingTask(toy, "test")
    for asked, known, relevant in zip(task.asked, task.known, task.relevant, strict=True):
        later = {int(e.item_id) for e in toy.rows("test") if e.user_id == asked.user_id and e.liked}
        assert set(relevant.tolist()) == later - set(known.tolist())
        assert {e.item_id for e in asked.history} == {str(n) for n in known}
    model = SASRec(dim=16, layers=1).fit(toy, epochs=8, batch_size=8, learning_rate=1e-2, seed=3, device="cpu")
    assert task.rank(model).recall.mean() > 0.9, "ten candidates are right, and about ten are unseen of either taste"
    assert len(RankingTask(toy, "test", most=3)) == 3
