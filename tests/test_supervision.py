"""What SARE is taught by: assessments, measured usefulness, both; and how held-out questions are counted."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from score_rag.context.examples import _drawn
from score_rag.context.finder import RetrievedContext
from score_rag.errors import ConfigError, ModelError, PromptError
from score_rag.index.reader import Hit
from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.measuring import Probe
from score_rag.pipeline.runner import run
from score_rag.pipeline.stages import STAGE_REGISTRY, stages
from score_rag.prompts import find_prompt, read_prompt
from score_rag.reranker.examples import RankedList, assessment_targets, measured_targets, ranked_lists, sample_requests
from score_rag.reranker.held_out import HeldOut, expected_reciprocal_rank
from score_rag.reranker.pair_texts import PairTexts


def test_an_assessment_s_target_is_the_behaviour_most_like_it_shared_among_equals():
    eye = np.eye(3, dtype=np.float32)
    wanted = np.array([[0.1, 0.9, 0.3], [0.6, 0.6, 0.1], [1, 0, 0]], dtype=np.float32)
    first, second, third = assessment_targets(wanted, [eye, eye, eye[:0]])
    assert first.tolist() == [0, 1, 0] and second.tolist() == [0.5, 0.5, 0] and third.tolist() == []


def test_a_measured_target_follows_the_gains():
    small, large = measured_targets([np.array([0.0, 0.05]), np.array([0.0, 1.0])])
    assert 0.5 < small[1] < 0.7 and large[1] > 0.99 and small.sum() == pytest.approx(1)
    assert measured_targets([np.zeros(0)])[0].tolist() == []


def test_lists_are_told_best_first_and_those_that_teach_nothing_are_left_out():
    told = [["a", "b", "c"], ["a"], ["a", "b"]]
    (found,) = ranked_lists(["q", "r", "s"], told, [np.array([0.1, 0.6, 0.3]), np.array([1.0]), np.array([0.5, 0.5])])
    assert found == RankedList("q", ["b", "c", "a"], [0.6, 0.3, 0.1]) and found.best == 1


@pytest.mark.parametrize(("count", "best"), [(2, 1), (5, 1), (5, 2), (6, 5), (4, 4)])
def test_a_random_order_s_reciprocal_rank_is_the_mean_over_all_orders(count, best):
    ranks = [1 / (1 + min(order.index(one) for one in range(best))) for order in itertools.permutations(range(count))]
    assert expected_reciprocal_rank(count, best) == pytest.approx(np.mean(ranks))


def test_a_quarter_of_the_held_out_questions_chooses_and_equal_logits_count_against():
    lists = [RankedList(f"q{n}", ["a", "b", "c"], [0.7, 0.2, 0.1]) for n in range(8)]
    held = HeldOut(lists)
    assert [one.query for one in held.choosing] == ["q0", "q1"] and len(held.reported) == 6
    logits = {"a": 0.5, "b": 0.5, "c": 0.1}
    choosing, reported = held.examine(lambda pairs: np.array([logits[text] for _, text in pairs]))
    assert choosing == 0.5 and reported == {"mrr": 0.5, "margin": 0.0}
    assert held.random == pytest.approx(11 / 18)


def test_pairs_say_what_the_prompts_say_and_verdicts_only_where_known(tmp_path):
    texts = PairTexts.shipped()
    assert texts.tell("Liked: Heat (1995).", verdict=True, target="Ronin (1998).") == "Liked it. Liked: Heat (1995)."
    assert texts.tell("Liked: Heat (1995).") == "Liked: Heat (1995)."
    texts.write(tmp_path)
    assert PairTexts.read(tmp_path).ask("H", None) == "H"
    with pytest.raises(PromptError, match="cannot tell the cross-encoder a question"):
        PairTexts(find_prompt("predict"), texts.behaviour)


def test_the_finder_tells_the_cross_encoder_a_verdict_of_strictly_before(toy_parts):
    log, finder = toy_parts.interactions.train_log, toy_parts.finder
    events = [event for event in toy_parts.interactions.rows("train") if len(log.earlier(event)) >= 3]
    for event in events:
        (question,) = finder.questions([event])
        same = [
            other for other in toy_parts.interactions.rows("train") if other.item_id == event.item_id and other.user_id != event.user_id
        ]
        judge = next((other for other in same if other.timestamp >= event.timestamp), None)
        early = next((other for other in same if other.timestamp < event.timestamp), None)
        if judge is not None and early is not None and log.verdict(judge.user_id, event.item_id, event.timestamp) is None:
            break
    read = []

    class Reads:
        texts = PairTexts.shipped()

        def score_pairs(self, queries, behaviours, **_):
            read.extend(behaviours)
            return np.zeros(len(behaviours))

    finder = toy_parts.make_finder(Reads())
    finder.keep([question], [[Hit(one.user_id, "d", "Text.", 0.5, 0, 1) for one in (judge, early)]])
    assert read == ["Text.", f"{'Liked' if early.liked else 'Disliked'} it. Text."]


def test_gains_are_what_telling_somebody_adds_to_the_true_answer_s_log_likelihood(toy_parts, tmp_path):
    run = toy_parts
    requests = sample_requests(run.interactions, run.describer, 12, seed=0)
    events = [request.event for request in requests]
    probe, metrics = Probe.fit(run, find_prompt("predict_neighbours"), tmp_path, without=events)
    askable = [event for event in run.interactions.rows("train") if len(run.interactions.log.earlier(event)) >= 3]
    assert metrics["questions"] <= len(askable) - len(events)
    finder = run.make_finder(None)
    questions = finder.questions(events)
    hits = [found[:3] for found in finder.retrieve(questions)]
    gains = probe.gains(questions, hits, [event.liked for event in events])
    assert [len(one) for one in gains] == [len(one) for one in hits] and np.concatenate(gains).std() > 0
    for question, event, found, gain in list(zip(questions, events, hits, gains, strict=True))[:4]:
        for hit, value in zip(found, gain, strict=True):
            told = [RetrievedContext(), RetrievedContext((hit,), ((hit, hit.score),), False)]
            alone, beside = probe.engine.score([one.text for one in probe.writer.write([question] * 2, told)])
            chances = [one.probability if event.liked else 1 - one.probability for one in (alone, beside)]
            assert value == pytest.approx(np.log(chances[1] / chances[0]), abs=1e-5)


def test_a_long_behaviour_is_measured_as_it_is_told_and_a_probe_can_learn_from_fewer_events(toy_parts, tmp_path):
    events = [request.event for request in sample_requests(toy_parts.interactions, toy_parts.describer, 2, seed=0)]
    probe, metrics = Probe.fit(toy_parts, find_prompt("predict"), tmp_path, without=events, examples=40)
    assert metrics["questions"] == 40
    questions = toy_parts.make_finder(None).questions(events)
    hits = [[Hit("0", "0@0", "Liked: " + "Heat; " * 2000, 0.5, 0, 1)] for _ in questions]
    gains = probe.gains(questions, hits, [event.liked for event in events])
    assert np.isfinite(np.concatenate(gains)).all() and [len(one) for one in gains] == [1, 1]


def test_a_prompt_that_tells_no_neighbours_is_refused_before_anything_runs():
    overrides = ["reranker.supervision=measured", "reranker.measure_prompt=predict_expectation"]
    with pytest.raises(PromptError, match="tells no neighbours"):
        STAGE_REGISTRY["reranker"].check(load_pipeline("sample", overrides=overrides))


@pytest.mark.parametrize(
    ("setting", "architecture", "labels", "said"),
    [
        ("similarity_encoder", "XLMRobertaForSequenceClassification", 1, "cannot be used as a bi-encoder"),
        ("similarity_encoder", "LlamaForCausalLM", 2, "cannot be used as a bi-encoder"),
        ("encoder", "LlamaForCausalLM", 2, "cannot be used as a cross-encoder"),
        ("encoder", "BertForSequenceClassification", 3, "a classifier of 3 classes"),
        ("encoder", "BertForSequenceClassification", 1, None),
        ("similarity_encoder", "BertModel", 2, None),
    ],
)
def test_a_model_of_the_wrong_kind_is_refused_before_anything_runs(toy_pipeline, tmp_path, setting, architecture, labels, said):
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.safetensors").touch()
    told = {"architectures": [architecture], "id2label": {str(n): f"L{n}" for n in range(labels)}, "max_position_embeddings": 512}
    (model / "config.json").write_text(json.dumps(told))
    pipeline = load_pipeline(str(toy_pipeline), overrides=[f"reranker.{setting}={model}", f"runs={tmp_path}"])
    if said is None:
        STAGE_REGISTRY["reranker"].check(pipeline)
        return
    with pytest.raises(ModelError, match="cannot be used as") as caught:
        run(pipeline, stages(pipeline))
    assert said in str(caught.value) and f"reranker.{setting}=bundled" in str(caught.value) and not (tmp_path / "toy" / "data").exists()


def test_what_teaches_decides_which_prompts_the_stage_reads():
    def names(value):
        return set(STAGE_REGISTRY["reranker"].prompt_names(load_pipeline("sample", overrides=[f"reranker.supervision={value}"])))

    own = {"rerank", "rerank_behaviour"}
    assert names("assessment") == own | {"assess"} and names("measured") == own | {"predict_neighbours"}
    assert names("both") == own | {"assess", "predict_neighbours"}


def test_shipped_measure_prompt_tells_of_other_users_nothing_but_the_chosen():
    prompt = read_prompt(find_prompt("predict_neighbours").path)
    assert set(prompt.variables) == {"neighbours", "mood", "target"}
    with pytest.raises(ConfigError):
        load_pipeline("sample", overrides=["reranker.supervision=guessed"])


def test_a_training_question_is_told_any_of_those_who_were_found_and_not_the_most_alike_alone():
    found = tuple(Hit(str(place), str(place), "Text.", 1 - place / 10, 0, 1) for place in range(6))
    context = RetrievedContext(found, tuple((hit, hit.score) for hit in found[:2]), False)
    drawn = _drawn([context] * 300 + [RetrievedContext()], np.random.default_rng(0))
    assert drawn[-1].kept == ()
    told = [[int(hit.user_id) for hit, _ in one.kept] for one in drawn[:-1]]
    assert all(len(one) == 2 and one == sorted(one) for one in told)
    counts = np.bincount(np.ravel(told), minlength=6)
    assert counts.min() > 60, "each is told about one time in three"
    assert all(score == hit.score for one in drawn for hit, score in one.kept)


@pytest.mark.parametrize(("after", "margin", "said"), [(0.36, 0.10, True), (0.50, 0.10, True), (0.60, 0.08, False)])
def test_a_reranker_that_is_no_better_than_chance_is_said_to_be(after, margin, said):
    from score_rag.cli.run import guard_lines

    told = guard_lines({"mrr_after": after, "mrr_margin": margin, "mrr_random": 0.41, "held_out_reported": 27})
    assert any("no better than chance" in line for line in told) == said


@pytest.mark.parametrize(("after", "said"), [(0.42, True), (0.44, False), (0.5, False)])
def test_an_encoder_that_finds_less_than_before_is_told_in_red(after, said):
    from score_rag.cli.run import guard_lines

    told = guard_lines({"recall_at_10_before": 0.44, "recall_at_10_after": after, "held_out_reported": 10})
    assert any("on 10 held-out users" in line and "before 0.44" in line for line in told) == said
