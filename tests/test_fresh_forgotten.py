"""What is forgotten, or comes one by one, is as if it had never come, or had come at once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fresh_world import NOW, even, judged, known_of, warmed

from score_rag import open_recommender
from score_rag.cli.feedback import forgotten
from score_rag.data.log import Item
from score_rag.errors import InputError
from score_rag.feedback.record import Feedback
from score_rag.pipeline import serving_index
from score_rag.pipeline.fresh import open_feedback


def test_one_by_one_and_all_at_once_are_the_same(fresh):
    """A run that took judgements in as they came, and one that found them in the log; overwritten and backdated ones among them."""
    slow = open_recommender(fresh)
    slow.run.warm()
    log = open_feedback(fresh)
    told = judged("new", ["4", "5", "6"], liked=even) + judged("0", ["7", "8"], first=1_000_050_000)
    facts = Item("x1", "Sunny Kite", 1990, ("Comedy",), (), ("wedding",))
    told += [Feedback("x", "3", "x1", True, NOW, item=facts), Feedback("y", "3", "x2", True, NOW + 1)]
    for one in told:
        log.append([one])
        slow.run.catch_up()
    log.append([Feedback(told[0].event_id, "new", "9", False, NOW + 9), told[3]], overwrite=True)
    quick = open_recommender(fresh)
    for user, item in [("new", "2"), ("0", "1"), ("5", "x1"), ("3", "2"), ("5", "x2"), ("new", "4"), ("0", "7")]:
        one, other = slow.recommend(user, item), quick.recommend(user, item)
        assert (one.prompt, one.warnings, one.item) == (other.prompt, other.warnings, other.item)
        assert one.probability == pytest.approx(other.probability, abs=1e-6)
    a, b = slow.run, quick.run
    assert {user: a.histories.log.of(user) and [e[:4] for e in a.histories.log.of(user)] for user in b.histories.log.users} == {
        user: [e[:4] for e in b.histories.log.of(user)] for user in b.histories.log.users
    }
    assert known_of(a) == known_of(b)
    for when in (None, NOW, NOW + 1, NOW + 5, NOW + 10, 1_000_050_000, 1_000_050_001, 1_000_030_000):
        assert a.writer.evidence.rates.mean(when) == b.writer.evidence.rates.mean(when)
        for item in b.histories.catalogue:
            assert a.writer.evidence.rates.counts(item, when) == b.writer.evidence.rates.counts(item, when)
            assert a.judges.before(item, when, None) == b.judges.before(item, when, None)


@pytest.mark.parametrize("indexed", [False, True])
def test_what_is_forgotten_is_as_if_it_had_never_come(fresh, indexed):
    """Also where it stood in the place of the data's own judgements, of all splits, or of another judgement of the same second."""
    if indexed:
        serving_index.build(fresh)
    clean = known_of(warmed(fresh))
    run, log = warmed(fresh), open_feedback(fresh)
    held_out = next(iter(run.interactions.rows("test")), None)
    own = [run.interactions.log.of("0")[0], run.interactions.log.of("3")[-1], *([held_out] if held_out else [])]
    against = [Feedback(f"own{n}", one.user_id, one.item_id, not one.liked, one.timestamp) for n, one in enumerate(own)]
    told = [*judged("new", ["4", "5"]), *judged("0", ["7", "8"]), *against]
    log.append(told)
    log.append([Feedback("twice", "new", "4", False, NOW)])
    run.catch_up()
    assert known_of(run) == known_of(warmed(fresh)) != clean
    log.append([replace(told[0], liked=True, item_id="9")], overwrite=True)
    run.catch_up()
    assert known_of(run) == known_of(warmed(fresh)), "what was moved away took nobody else's judgement with it"
    late = warmed(fresh)
    log.forget(["twice"])
    log.forget(user_id="new")
    log.forget([one.event_id for one in told])
    for one in (run, late):
        one.catch_up()
        assert known_of(one) == known_of(warmed(fresh)) == clean
        assert "new" not in one.histories.log


def test_the_index_tells_of_nobody_who_was_forgotten_after_its_next_update(fresh):
    log = open_feedback(fresh)
    log.append(judged("gone", ["2", "4", "6", "8", "10"]))
    serving_index.build(fresh)
    assert "gone" in set(open_recommender(fresh).run.index.documents["user_id"])
    log.forget(user_id="gone")
    assert not all(one.ok for one in serving_index.check(fresh)), "it says that it is behind"
    serving_index.update(fresh)
    recommender = open_recommender(fresh)
    assert "gone" not in set(recommender.run.index.documents["user_id"])
    with pytest.raises(InputError, match="gone"):
        recommender.recommend("gone", "1")


def test_the_command_takes_it_off_the_disk(fresh):
    log = open_feedback(fresh)
    log.append([*judged("gone", ["2", "4"]), *judged("stays", ["2"])])
    recommender = open_recommender(fresh)
    recommender.recommend("gone", "1")
    ids, told = forgotten(str(fresh.path), ["gone", "gone"], ["nobody"], [])
    assert len(ids) == 2 and (told.kept, told.removed) == (1, 4)
    assert b"gone" not in log.path.read_bytes()
    with pytest.raises(InputError, match="gone"):
        recommender.recommend("gone", "1")
    assert len(recommender.run.histories.log.of("stays")) == 1
    assert forgotten(str(fresh.path), ["gone"], [], [])[0] == []
    with pytest.raises(InputError, match="whose feedback"):
        forgotten(str(fresh.path), [], [], [])
