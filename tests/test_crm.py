"""What every recommender must do, learned or counted, in a world of two tastes: one mix-in, run by each of them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from score_rag.crm import interface
from score_rag.crm.baseline import LikeRate, Popularity
from score_rag.crm.din import DIN
from score_rag.crm.item_item import EASE, ItemKNN
from score_rag.crm.lightgcn import LightGCN
from score_rag.crm.mf import MF
from score_rag.crm.neighbours import neighbours
from score_rag.crm.registry import make_model, read_model, settings_of
from score_rag.crm.sasrec import SASRec
from score_rag.data.interactions import Interactions
from score_rag.data.log import Event
from score_rag.errors import InputError, ModelError
from score_rag.evaluation.baselines import score_events, trivial_models
from score_rag.metrics.auc import auc


class Recommending:
    """The mix-in. Even users like even films, so held-out labels can be told; averages cannot tell them, for every rate is a half.

    Attributes:
        least: AUC on held-out events.
        make: A class method that gives a function from the toy world to a fitted recommender; each class has its own.
        alike: Whether neighbours must share the taste (None: there are no neighbours).
    """

    least = 0.9
    alike: bool | None = True

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, toy):
        return cls.make()(toy)

    def test_it_orders_held_out_events(self, model, toy):
        events = list(toy.rows("test"))
        assert auc([event.liked for event in events], model.score_events(events)) >= self.least

    def test_one_by_one_equals_together(self, model, toy):
        events = list(toy.rows("test"))[:20]
        together = model.score_events(events)
        alone = [model.score(event.user_id, [event.item_id], event.timestamp)[0] for event in events]
        np.testing.assert_allclose(together, alone, atol=1e-5)
        every = model.score_catalogue(["0", "1"])
        np.testing.assert_allclose(every[1], model.score("1", model.item_ids), atol=1e-5)

    def test_vectors_of_users_in_blocks_are_those_of_all_at_once(self, model, toy, monkeypatch):
        expected = model.user_vectors(toy.log.users)
        monkeypatch.setattr(interface, "_USERS", 7)
        np.testing.assert_allclose(model.user_vectors(toy.log.users), expected, atol=1e-5)

    def test_saved_and_read_it_is_the_same(self, model, toy, tmp_path):
        model.save_pretrained(tmp_path)
        again = read_model(tmp_path).bind(toy.log)
        events = list(toy.rows("test"))
        # What was trained in torch is served in numpy: equal to rounding.
        np.testing.assert_allclose(again.score_events(events), model.score_events(events), atol=1e-5)
        np.testing.assert_allclose(again.user_vectors(toy.log.users), model.user_vectors(toy.log.users), atol=1e-5)
        assert again.metrics == model.metrics and type(again) is type(model)
        assert not [path for path in tmp_path.iterdir() if path.suffix not in (".json", ".safetensors")]

    def test_it_recommends_the_best_but_what_is_left_out(self, model, toy):
        scores = model.score("0", model.item_ids)
        best = [item for item, _ in model.recommend("0", 30)]
        assert sorted(best, key=model.item_ids.index) == model.item_ids and np.all(
            np.diff([scores[model.item_ids.index(i)] for i in best]) <= 0
        )
        assert [item for item, _ in model.recommend("0", 5, exclude=best[:3])] == best[3:8]

    def test_a_stranger_is_told_by_their_history(self, model, toy):
        history = [Event("", item, int(item) % 2 == 0, 1) for item in ("0", "1", "2", "3", "4", "5")]
        scores = model.score_history(history, ["8", "9", "10", "11"])
        assert np.isfinite(scores).all() and len(model.recommend_history(history, 3)) == 3
        if self.alike:
            assert scores[0] > scores[1] and scores[2] > scores[3]
            (vector,) = model.history_vectors([history])
            theirs = model.user_vectors(["0", "1", "2", "3"]) @ vector
            assert theirs[[0, 2]].mean() > theirs[[1, 3]].mean()

    def test_nobody_known_is_no_neighbour_and_nothing_crashes(self, model, toy):
        assert not model.history_vectors([[]]).any() and not model.user_vectors(["nobody"]).any()
        assert np.isfinite(model.score("nobody", ["0", "1"])).all()
        np.testing.assert_allclose(model.score("nobody", ["0", "1"]), model.score_history([], ["0", "1"]), atol=1e-6)
        users = [*toy.log.users, "nobody"]
        found = neighbours(model.user_vectors(users), users, k=3)
        assert "nobody" not in {*found["user_id"], *found["neighbour_id"]}
        if self.alike is None:
            assert not len(found)
        else:
            same = [int(user) % 2 == int(other) % 2 for user, other in found.select("user_id", "neighbour_id").iter_rows()]
            assert np.mean(same) > 0.9

    def test_strange_items_are_refused(self, model):
        with pytest.raises(InputError, match="does not know these items"):
            model.score("0", ["nowhere"])

    def test_the_future_is_not_read(self, model, toy):
        now = int(toy.events["timestamp"][len(toy.events) // 2])
        label = pl.when(pl.col("timestamp") >= now).then(1 - pl.col("label")).otherwise(pl.col("label"))
        turned = Interactions(toy.events.with_columns(label=label), toy.items)
        asked = [(user, now) for user in toy.log.users]
        before = [model.bind(toy.log).score(user, model.item_ids, when) for user, when in asked]
        after = [model.bind(turned.log).score(user, model.item_ids, when) for user, when in asked]
        model.bind(toy.log)
        np.testing.assert_array_equal(before, after)

    def test_a_history_of_unknown_items_is_refused(self, model):
        stranger = [Event("x", "nowhere", True, 1)]
        for ask in (lambda: model.score_history(stranger, ["0"]), lambda: model.recommend_history(stranger, 2)):
            with pytest.raises(InputError, match="does not know these items"):
                ask()

    def test_cold_items_have_scores(self, toy):
        """Two items without training events, and a user who has only validation events."""
        cold = (pl.col("item_id").cast(str).is_in(["22", "23"])) | (pl.col("user_id").cast(str) == "7")
        events = toy.events.with_columns(split=pl.when(cold).then(pl.lit("valid")).otherwise(pl.col("split").cast(str)))
        world = Interactions(events, toy.items)
        model = self.make()(world)
        assert np.isfinite(model.score_events(list(world.rows("valid")))).all()
        assert np.isfinite(model.user_vectors(["7"], as_of=world.train_end)).all()


class TestSASRec(Recommending):
    @classmethod
    def make(cls):
        fit = dict(epochs=8, patience=8, learning_rate=1e-2, batch_size=8, seed=3, device="cpu")
        return lambda world: SASRec(dim=16, layers=1, heads=2).fit(world, **fit)


class TestSASRecWithSoftmax(Recommending):
    @classmethod
    def make(cls):
        fit = dict(epochs=8, patience=8, learning_rate=1e-2, batch_size=8, seed=3, choose_by="ndcg", device="cpu")
        return lambda world: SASRec(dim=16, layers=1, heads=2, loss="softmax").fit(world, **fit)


class TestMF(Recommending):
    @classmethod
    def make(cls):
        return lambda world: MF(dim=8).fit(world, epochs=20, patience=20, learning_rate=3e-2, batch_size=32, seed=3, device="cpu")


class TestLightGCN(Recommending):
    @classmethod
    def make(cls):
        return lambda world: LightGCN(dim=8).fit(world, epochs=8, patience=8, learning_rate=3e-2, batch_size=64, seed=3, device="cpu")


class TestDIN(Recommending):
    @classmethod
    def make(cls):
        return lambda world: DIN(dim=8, dropout=0.1).fit(
            world, epochs=14, patience=14, learning_rate=2e-2, batch_size=32, seed=3, device="cpu"
        )


class TestItemKNN(Recommending):
    @classmethod
    def make(cls):
        return ItemKNN(nearest=10, shrink=1.0).fit


class TestEASE(Recommending):
    @classmethod
    def make(cls):
        return EASE(penalty=50.0).fit


class TestItemRate(Recommending):
    least, alike = 0.2, None

    @classmethod
    def make(cls):
        return LikeRate().fit


class TestItemAndUserRate(TestItemRate):
    @classmethod
    def make(cls):
        return LikeRate(user="train").fit


class TestItemAndEarlierUserRate(TestItemRate):
    @classmethod
    def make(cls):
        return LikeRate(user="earlier").fit


class TestPopularity(TestItemRate):
    @classmethod
    def make(cls):
        return Popularity().fit


def test_rates_are_the_rows_that_every_report_prints(toy):
    rows = toy.events.filter(toy.events["split"] == "test")
    printed = {name: score_events(model, rows) for name, model in trivial_models(toy).items()}
    events = list(toy.rows("test"))
    models = [LikeRate(), LikeRate(user="train"), LikeRate(user="earlier"), Popularity()]
    for model, expected in zip(models, printed.values(), strict=True):
        np.testing.assert_allclose(model.fit(toy).score_events(events), expected, rtol=1e-6)


def test_models_are_made_by_name_with_the_settings_they_have(tmp_path):
    assert settings_of("mf") == {"dim", "dropout", "content", "loss", "history"} and "heads" in settings_of("sasrec")
    made = make_model("mf", dim=4, history="positives")
    assert (
        isinstance(made, MF)
        and made.settings.model_dump() == {"dim": 4, "dropout": 0.2, "content": True, "loss": "bce"}
        and made.history == "positives"
    )
    with pytest.raises(InputError, match="did you mean 'sasrec'"):
        make_model("sasrek")
    with pytest.raises(ModelError, match="no trained recommender"):
        read_model(tmp_path)
    with pytest.raises(InputError, match="no log"):
        MF().score("0", ["1"])
    with pytest.raises(InputError, match="divide"):
        SASRec(dim=10, heads=3)


def test_a_setting_that_no_recommender_has_is_refused():
    with pytest.raises(InputError, match="'dmi'"):
        make_model("mf", dmi=3)
    with pytest.raises(InputError, match="'heads'"):
        make_model("mf", heads=3)
    assert make_model("mf", dim=9).settings.dim == 9
