"""One recommendation with its evidence: by user, by name, by a stranger's history, as a ranking; one question and the batch agree."""

from __future__ import annotations

from functools import partial

import pytest

from score_rag import open_recommender
from score_rag.cli.remedies import advice
from score_rag.data.log import Event, Item
from score_rag.errors import InputError, StageError
from score_rag.files import shipped_folder
from score_rag.pipeline.guard import Compared, Guard
from score_rag.recommend.candidates import find_candidates
from score_rag.recommend.history import parse_history
from score_rag.recommend.items import find_item
from score_rag.recommend.preview import preview_prompt


@pytest.fixture(scope="module")
def recommender(toy_run):
    return open_recommender(toy_run)


def unseen(parts, user, taste):
    seen = {event.item_id for event in parts.interactions.log.of(user)}
    return next(item for item in parts.interactions.catalogue if item not in seen and int(item) % 2 == taste)


def test_a_recommendation_brings_its_evidence(recommender, toy_parts):
    item = unseen(toy_parts, "0", 0)
    found = recommender.recommend("0", item)
    assert found.verdict == ("Yes" if found.probability >= 0.5 else "No") and 0 < found.mass <= 1
    assert len(found.neighbours) == 2 and "0" not in [other.user_id for other in found.neighbours]
    names = {one.name: one.item_id for one in toy_parts.interactions.catalogue.values()}
    for other in found.neighbours:
        theirs = {event.item_id for event in toy_parts.interactions.train_log.of(other.user_id) if event.liked}
        mine = {event.item_id for event in toy_parts.interactions.log.of("0") if event.liked}
        told = [said.removeprefix("both liked ").split(", ") for said in other.in_common if said.startswith("both liked ")]
        assert all(names[name] in mine & theirs for group in told for name in group)
        assert bool(told) == bool(mine & theirs)
    assert found.prompt.startswith(found.item.name) and found.prompt.endswith(":")
    assert "bundled" in found.parts["predictor"] and "rule-based" in found.parts["reranker"]
    told = found.to_dict()
    assert told["item"]["item_id"] == item and told["item"]["name"] == found.item.name
    more = {"evidence", "left_out", "route"}
    assert set(told) == {"user_id", "item", "probability", "verdict", "mass", "neighbours", "prompt", "parts", "warnings", *more}
    assert set(told["evidence"]) == {"mood", "expectation.lightgcn", "expectation.din", "expectation.together"}
    assert all(fact["level"] in found.prompt for fact in told["evidence"].values()), "what is printed is what the model read"
    scores = {"retriever_score", "reranker_score"}
    assert {*told["neighbours"][0]} == {
        "user_id",
        "behaviour",
        "in_common",
        "verdict_on_item",
        "similar_liked",
        "similar_disliked",
        *scores,
    }
    assert recommender.recommend("0", found.item.name).probability == found.probability


def test_one_question_and_the_batch_write_the_same_prompt_and_probability(recommender, toy_parts):
    events = [event for event in toy_parts.interactions.rows("test")][:6]
    questions = toy_parts.finder.questions(events)
    texts = [told.text for told in toy_parts.write(questions)[1]]
    answers = toy_parts.predictor.score(texts)
    for event, text, answer in zip(events, texts, answers, strict=True):
        found = recommender.recommend(event.user_id, event.item_id, as_of=event.timestamp)
        assert found.prompt == text
        assert found.probability == pytest.approx(answer.probability, abs=1e-5)


def test_an_item_already_judged_is_asked_as_of_just_before(recommender, toy_parts):
    event = list(toy_parts.interactions.rows("test"))[-1]
    found = recommender.recommend(event.user_id, event.item_id)
    assert "just before" in found.warnings[0]
    assert found.prompt == recommender.recommend(event.user_id, event.item_id, as_of=event.timestamp).prompt


def test_a_stranger_s_history_is_enough(recommender, toy_parts):
    films = list(toy_parts.interactions.catalogue.values())
    history = f"{films[0].name}; {films[2].name}; -{films[1].name}"
    found = recommender.recommend(None, "4", history=history)
    learned = toy_parts.interactions.learned["label"]
    share = (learned.sum() + 1) / (len(learned) + 2)
    assert found.user_id is None and len(found.neighbours) == 2 and found.evidence["mood"].value == pytest.approx((2 + 5 * share) / 8)
    ranked = recommender.top(None, 3, history=history)
    assert len(ranked) == 3 and not {one.item.item_id for one in ranked} & {"0", "1", "2"}


def test_a_ranking_is_in_order_of_probability_and_of_things_not_yet_judged(recommender, toy_parts):
    found = recommender.top("1", 4)
    chances = [one.probability for one in found]
    route = toy_parts.guard.route
    assert len(found) == 4 and {one.route for one in found} == {route}
    assert route == "recommender" or chances == sorted(chances, reverse=True)
    assert not {one.item.item_id for one in found} & {event.item_id for event in toy_parts.interactions.log.of("1")}


@pytest.mark.parametrize("better", ["predictor", "recommender"])
def test_a_ranking_has_the_order_of_whoever_orders_better(toy_run, better):
    """Where the predictor was found worse, the recommender's order stands, and each place says so."""
    mine = open_recommender(toy_run)
    run = mine.run
    run.__dict__["guard"] = Guard(ndcg=(0.2, 0.1) if better == "predictor" else (0.1, 0.2))
    found = mine.top("1", 4)
    history = run.interactions.log.before("1", None)
    own = [item for item, _ in run.crm.recommend("1", 4, exclude={event.item_id for event in history})]
    chances = [one.probability for one in found]
    assert {one.route for one in found} == {better}
    if better == "recommender":
        assert [one.item.item_id for one in found] == own
    else:
        assert chances == sorted(chances, reverse=True)


def test_a_predictor_that_is_worse_than_its_recommender_says_so(toy_run):
    mine = open_recommender(toy_run)
    worse = Compared("LightGCN", 0.8, 0.8, auc_gain=(-0.2, -0.1), uauc_gain=(-0.2, 0.1))
    mine.run.__dict__["guard"] = Guard((Compared("predictor", 0.6, 0.6), worse), 100)
    assert any("is worse than LightGCN 0.800/0.800" in said for said in mine.recommend("0", "4").warnings)
    assert mine.top("1", 2)[0].route == "recommender"


def test_only_the_recommender_that_orders_can_take_the_order_over():
    own, same, worse = Compared("predictor", 0.7, 0.7), (-0.01, 0.01), (-0.2, -0.1)
    ours, other = (partial(Compared, name, 0.7, 0.7) for name in ("LightGCN", "DIN"))
    cases = [(same, same, None), (worse, same, None), (same, worse, None), (same, worse, (0.2, 0.1)), (same, same, (0.1, 0.2))]
    guards = [Guard((own, ours(auc_gain=a, uauc_gain=a), other(auc_gain=b, uauc_gain=b)), 100, ndcg) for a, b, ndcg in cases]
    assert [guard.route for guard in guards] == ["predictor", "recommender", "predictor", "predictor", "recommender"]
    assert [guard.worse_than for guard in guards] == [[], ["LightGCN"], ["DIN"], ["DIN"], []]
    assert [len(guard.warnings) for guard in guards] == [0, 1, 1, 1, 0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("99", "0"), "no user '99'"),
        (("0", "Sunny Gardn (1980)"), "did you mean 'Sunny Garden"),
        ((None, "0"), "neither a user nor a history"),
    ],
)
def test_what_is_unknown_is_named(recommender, arguments, said):
    with pytest.raises(InputError, match=said):
        recommender.recommend(*arguments)


def test_a_history_s_mistakes_are_told_at_once(toy):
    with pytest.raises(InputError) as caught:
        parse_history("Sunny Gardn (1980); nothing like it; Dark Garden (1981)", toy.catalogue, when=5)
    assert "Sunny Gardn (1980), nothing like it" in str(caught.value)
    with pytest.raises(InputError, match="empty"):
        parse_history(" ; ", toy.catalogue, when=5)
    read = parse_history("dark garden; -0", toy.catalogue, when=5)
    assert [(event.item_id, event.liked, event.timestamp) for event in read] == [("1", True, 5), ("0", False, 5)]


def test_every_shipped_prompt_can_be_previewed(toy_run):
    for name in (path.stem for path in shipped_folder("prompts").glob("*.md")):
        assert preview_prompt(toy_run, name, "0", "1").strip()


def test_an_unfinished_run_says_which_command_finishes_it(toy_run, tmp_path):
    with pytest.raises(StageError, match="'data' of 'toy' is not finished") as caught:
        open_recommender(toy_run.model_copy(update={"runs": str(tmp_path)}))
    assert advice(caught.value).startswith("score-rag run")


def test_candidates_are_the_recommender_s_own_best_that_were_not_judged(toy_parts):
    run, judged = toy_parts, {event.item_id for event in toy_parts.interactions.log.of("1")}
    history = run.interactions.log.before("1", None)
    assert find_candidates(run, "1", history, 5) == [item for item, _ in run.crm.recommend("1", 5, exclude=judged)]
    assert find_candidates(run, None, history, 5) == [item for item, _ in run.crm.recommend_history(history, 5, exclude=judged)]
    assert find_candidates(run, "nobody", history, 5) == find_candidates(run, None, history, 5)


def test_a_history_of_events_is_asked_as_a_typed_one_and_knows_no_future(recommender):
    films = list(recommender.run.histories.catalogue.values())
    typed = recommender.recommend(None, "4", history=f"{films[0].name}; -{films[1].name}")
    events = [Event("", "1", False, 6), Event("", "0", True, 5)]
    assert recommender.recommend(None, "4", history=events[::-1]).prompt == typed.prompt
    late = [*events, Event("", "2", True, 7)]
    assert (
        recommender.recommend(None, "4", history=late, as_of=7).prompt == recommender.recommend(None, "4", history=events, as_of=7).prompt
    )
    with pytest.raises(InputError, match="not in the catalogue"):
        recommender.recommend(None, "4", history=[Event("", "no such film", True, 5)])


def test_several_items_of_one_title_are_told_apart_by_name():
    items = {str(year): Item(str(year), "Heat", year) for year in (1986, 1995)}
    assert find_item(items, "heat (1995)") is find_item(items, "1995") is items["1995"]
    with pytest.raises(InputError, match="several items are called 'heat'"):
        find_item(items, "heat")
    with pytest.raises(InputError, match="did you mean 'Heat"):
        find_item(items, "hea")


def test_a_history_that_is_given_for_a_user_leaves_nothing_behind_for_their_own(toy_run):
    when = 10**9 * 2
    own = open_recommender(toy_run).recommend("7", "17", as_of=when)
    mine = open_recommender(toy_run)
    other = [event._replace(liked=True) for event in mine.run.histories.log.before("7", when)]
    changed = mine.recommend("7", "17", history=other, as_of=when)
    assert changed.evidence["mood"] != own.evidence["mood"], "it is asked about the history that is given"
    assert mine.recommend("7", "17", as_of=when) == own
    # And the other way round.
    assert mine.recommend("7", "17", history=other, as_of=when) == changed
