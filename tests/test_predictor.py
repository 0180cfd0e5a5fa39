"""The question as text, where Yes and No stand, and one probability whichever way it is computed."""

from __future__ import annotations

import numpy as np
import pytest

from score_rag.context.examples import sample_events
from score_rag.context.neighbours import ItemSimilarity, Witnesses
from score_rag.data.log import Event, Item, UserLog
from score_rag.errors import InputError, ModelError
from score_rag.index.reader import Hit
from score_rag.predictor.calibration import fit_calibration
from score_rag.predictor.predictor import Predictor, load_causal_model, score_tokens, shared_beginning
from score_rag.predictor.tokens import answer_ids, with_answer, wrap_chat


def test_answers_are_found_where_the_model_would_write_them(toy_parts):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(toy_parts.folder("predictor") / "base" / "tokenizer.json"))
    yes, no = answer_ids(lambda text: tokenizer.encode(text).ids, "Heat (1995), Crime:")
    assert tokenizer.decode([yes]).strip() == "Yes" and tokenizer.decode([no]).strip() == "No"
    assert (yes, no) == (toy_parts.predictor.settings["yes"], toy_parts.predictor.settings["no"])


def test_a_tokenizer_that_hides_the_answer_is_refused():
    with pytest.raises(ModelError, match="merges the answer"):
        answer_ids(lambda text: [len(text)], "Heat:")
    with pytest.raises(ModelError, match="same first token"):
        answer_ids(lambda text: [1] if text.endswith(":") else [1, 2], "Heat:")


def test_a_chat_model_is_asked_in_its_own_form():
    class Chat:
        chat_template = "x"

        def apply_chat_template(self, turns, *, tokenize, add_generation_prompt):
            return f"<user>{turns[0]['content']}</user><assistant>"

    assert wrap_chat(Chat(), "Heat:") == "<user>Heat:</user><assistant>"
    assert wrap_chat(object(), "Heat:") == "Heat:"
    assert with_answer("<assistant>\n", False) == "<assistant>\nNo"


@pytest.fixture(scope="module")
def asked(toy_parts):
    """Questions of several users, and their prompts as SCORE writes them."""
    events = sample_events(toy_parts.interactions, "test", 12, seed=0)
    questions = toy_parts.finder.questions(events)
    return questions, [told.text for told in toy_parts.write(questions)[1]]


def test_alone_in_a_batch_with_shared_beginning_merged_or_not_the_probability_is_one(toy_parts, asked):
    folder = toy_parts.folder("predictor")
    served, trained = Predictor.from_pretrained(folder, engine="onnx"), Predictor.from_pretrained(folder, engine="torch")
    together = np.array([answer.probability for answer in served.score(asked[1])])
    others = {
        "alone": [served.score([prompt])[0].probability for prompt in asked[1]],
        "torch with the adapter beside": [answer.probability for answer in trained.score(asked[1])],
        "torch alone": [trained.score([prompt])[0].probability for prompt in asked[1]],
    }
    for name, values in others.items():
        np.testing.assert_allclose(values, together, rtol=0, atol=1e-5, err_msg=name)
    assert together.std() > 100 * 1e-5, "scores that are all the same would agree by accident"


def test_calibration_blows_up_neither_rounding_nor_a_wrong_order():
    generator = np.random.default_rng(0)
    labels = (generator.random(400) < 0.3).astype(float)
    hardly = 0.5 + 0.001 * (labels + generator.normal(size=400))
    found = fit_calibration(hardly, labels)
    assert found.temperature == pytest.approx(1 / 20)
    assert found.probabilities(hardly).mean() == pytest.approx(labels.mean(), abs=1e-6), "the shift is fitted all the same"
    assert fit_calibration(-hardly, labels).temperature == 20
    free = fit_calibration(1000 * hardly, labels)
    assert 1 / 20 < free.temperature < 20
    assert free.probabilities(1000 * hardly).mean() == pytest.approx(labels.mean(), abs=1e-3)


def test_a_beginning_computed_once_gives_the_same_numbers(toy_parts):
    folder = toy_parts.folder("predictor")
    model = load_causal_model(str(folder / "base"))
    settings = toy_parts.predictor.settings
    generator = np.random.default_rng(0)
    beginning = generator.integers(3, 250, 90).tolist()
    rows = [beginning + generator.integers(3, 250, n).tolist() for n in (3, 9, 5, 9)]
    assert shared_beginning(rows) >= 90
    shared = score_tokens(model, rows, settings["yes"], settings["no"])
    np.testing.assert_allclose(shared, score_tokens(model, rows, settings["yes"], settings["no"], share=False), atol=1e-5)


def test_a_prompt_that_is_too_long_is_refused_and_an_empty_one_too(toy_parts):
    long = "Sunny Garden (1980), Comedy: Yes\n" * 200 + "Dark Garden (1981), Horror:"
    with pytest.raises(InputError, match="longer"):
        toy_parts.predictor.score([long])
    with pytest.raises(InputError, match="empty"):
        toy_parts.predictor.score(["  "])
    assert toy_parts.predictor.score([]) == []


def test_it_learnt_the_taste(toy_parts):
    from score_rag.evaluation.evaluate import evaluate_run

    card = evaluate_run(toy_parts.pipeline)
    (row,) = [row for row in card.rows if row.name == "SCORE"]
    assert row.auc.value > 0.7


CATALOGUE = {
    "1": Item("1", "Heat", 1995, ("Crime",), ("Michael Mann",), ("heist",)),
    "2": Item("2", "Thief", 1981, ("Crime",), ("Michael Mann",), ("heist",)),
    "3": Item("3", "Grease", 1978, ("Musical",), ("Randal Kleiser",), ()),
}


def test_a_neighbour_s_verdict_is_told_only_if_it_was_given_before():
    log = UserLog([Event("v", "2", True, 1), Event("v", "3", False, 2), Event("v", "1", True, 5)])
    witnesses = Witnesses(log, CATALOGUE)
    mine = [Event("u", "2", True, 1)]
    hit = Hit("v", "v@0", "text", 0.5, 5, 3)
    for now, verdict in ((5, ""), (6, "liked"), (None, "liked")):
        view = witnesses.view(hit, item_id="1", as_of=now, history=mine)
        assert view.verdict == verdict and [i.title for i in view.shared] == ["Thief"]
        assert [i.title for i in view.similar_liked] == ["Thief"] and view.similar_disliked == ()


def test_likeness_counts_rare_shared_facts_more():
    likeness = ItemSimilarity(CATALOGUE)
    assert likeness("1", "1") == pytest.approx(1.0) and likeness("1", "2") > 0.3 and likeness("1", "3") == 0.0


def test_a_base_that_is_not_here_is_named_with_what_to_do():
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        load_causal_model("nobody/has-this-llama")
    assert "predictor.base=bundled" in str(caught.value)
