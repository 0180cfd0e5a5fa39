"""Prompt files: strict, byte-exact, the same as LlamaIndex templates."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from score_rag.context.levels import Fact
from score_rag.context.neighbours import Neighbour
from score_rag.context.variables import Told
from score_rag.data.log import Item
from score_rag.errors import InputError, PromptError
from score_rag.files import shipped_folder
from score_rag.prompts import find_prompt, prompt_names, read_prompt

HEAT = Item("1", "Heat", 1995, ("Crime",), ("Michael Mann",), ("heist",))
RONIN = Item("2", "Ronin", 1998, ("Action", "Thriller"), ("John Frankenheimer",), ())
GOOD, DULL = Fact("good", "71", 0.71), Fact("dull", "42", 0.42)
OTHER = Neighbour("7", "Liked: Ronin.", "liked", 0.8, GOOD, (RONIN,), (), (RONIN,))
EXPECTED = {"lightgcn": GOOD, "din": DULL, "together": GOOD}
KNOWN = {"mood": DULL, "expectation": EXPECTED}
VALUES = {
    "describe_user": {"liked": [HEAT], "disliked": [RONIN], "genres": ["Crime"], "decades": ["1990s"], "avoided": ["Action"]},
    "describe_titles": {"latest": [RONIN, HEAT]},
    "describe_liked": {"liked": [HEAT], "disliked": [RONIN]},
    "describe_genres": {"liked": [HEAT, RONIN], "disliked": []},
    "describe_profile": {
        "usual_genres": ["Crime"],
        "usual_decades": ["1990s"],
        "genres": ["Crime"],
        "decades": [],
        "creators": ["Michael Mann"],
        "keywords": ["heist"],
        "avoided": ["Action"],
        "judged": 2,
        "liked_share": 50,
        "liked": [HEAT],
        "disliked": [RONIN],
    },
    "assess": {"history": "Liked: Heat.", "target": "Ronin (1998). Action."},
    "predict": {"history": [Told(HEAT, True)], "neighbours": [OTHER], "target": RONIN},
    "predict_evidence": {"neighbours": [OTHER], "target": RONIN, **KNOWN},
    "predict_expectation": {"target": RONIN, "expectation": KNOWN["expectation"]},
    "predict_neighbours": {"neighbours": [OTHER], "target": RONIN, "mood": DULL},
    "rerank": {"history": "Liked: Heat.", "target": "Ronin (1998). Action."},
    "rerank_behaviour": {"behaviour": "Liked: Ronin.", "verdict": "liked", "target": "Ronin (1998). Action."},
    "predict_history": {"history": [Told(HEAT, True, KNOWN)], "target": RONIN, **KNOWN},
}
PLAIN = Item("3", "Per Gessle")
SHIPPED = sorted(shipped_folder("prompts").glob("*.md"))


def test_every_shipped_prompt_is_a_case_here():
    assert {path.stem for path in SHIPPED} == set(VALUES)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_prompt_renders_and_llama_index_gives_the_same_text(path):
    prompt = read_prompt(path)
    values = VALUES[path.stem]
    text = prompt.render(**values)
    assert "{{" not in text and "{%" not in text
    # LlamaIndex's own template drops or keeps blank lines beside block tags as it likes; the words must be the same, in order.
    assert prompt.as_llama_index().format(**values).split() == text.split()
    assert "\n\n\n" not in text


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_prompt_says_what_each_variable_is(path):
    prompt = read_prompt(path)
    assert prompt.description and all(prompt.variables.values())
    assert set(prompt.variables) == set(VALUES[path.stem])


def test_the_paper_s_question_is_byte_for_byte_this():
    """Other users' behaviour, the user's own, the item last."""
    assert find_prompt("predict").render(**VALUES["predict"]) == (
        "What other users with a similar taste did:\n"
        "User 1 (liked Ronin (1998)): Liked: Ronin.\n"
        "\n"
        "What this user did, oldest first:\n"
        "liked Heat (1995) (Crime)\n"
        "\n"
        "The item in question: Ronin (1998) (Action, Thriller)\n"
        "Will this user like it? Answer Yes or No.\n"
        "Answer:"
    )
    alone = find_prompt("predict").render(**{**VALUES["predict"], "neighbours": []})
    assert alone.startswith("What this user did, oldest first:\nliked Heat")


def test_the_bundled_llama_s_question_is_byte_for_byte_this():
    assert find_prompt("predict_evidence").render(**VALUES["predict_evidence"]) == (
        "Ronin (1998), Action Thriller\nsimilar 71 liked\nmood 42 expected 71 42 71:"
    )
    assert find_prompt("predict_expectation").render(**VALUES["predict_expectation"]) == "Ronin (1998), Action Thriller\nexpected 71 42 71:"
    assert find_prompt("predict_history").render(**VALUES["predict_history"]) == (
        "Heat (1995), Crime mood 42 expected 71 42 71: Yes\nRonin (1998), Action Thriller mood 42 expected 71 42 71:"
    )


def test_what_the_reranker_reads_is_byte_for_byte_this():
    said = {name: find_prompt(name).render(**VALUES[name]) for name in ("rerank", "rerank_behaviour", "predict_neighbours")}
    assert said == {
        "rerank": "Will this user like Ronin (1998). Action. Liked: Heat.",
        "rerank_behaviour": "Liked it. Liked: Ronin.",
        "predict_neighbours": "Ronin (1998), Action Thriller\nsimilar 71 liked\nmood 42:",
    }


def test_the_forms_of_documents_are_byte_for_byte_these():
    said = {name: find_prompt(name).render(**VALUES[name]) for name in VALUES if name.startswith("describe_")}
    assert {name: text.rstrip("\n") for name, text in said.items()} == {
        "describe_user": "Prefers Crime, 1990s.\nLikes less: Action.\nLiked: Heat.\nDisliked: Ronin.",
        "describe_titles": "Judged: Ronin; Heat.",
        "describe_liked": "Liked: Heat.\nDisliked: Ronin.",
        "describe_genres": "Liked: Heat (Crime); Ronin (Action, Thriller).",
        "describe_profile": (
            "Likes mostly 1990s, Crime.\nPrefers Crime, Michael Mann, heist.\nLikes less: Action.\n"
            "Rates 50 % of 2 positively.\nLiked: Heat.\nDisliked: Ronin."
        ),
    }
    nothing = {name: [] for name in VALUES["describe_profile"]} | {"judged": 2, "liked_share": 0}
    assert find_prompt("describe_profile").render(**nothing).strip() == "Rates 0 % of 2 positively."


def write(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    return folder / f"{name}.md"


HEAD = "---\ndescription: d\nvariables:\n  item: the item\n---\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no head at all", "no head"),
        ("---\ndescription: d\nvariables: [item]\n---\nx", "wrong keys"),
        ("---\n: : :\n---\nx", "YAML|wrong keys"),
        (HEAD + "{{ item }} {{ thing }}", "thing"),
        (HEAD + "{% if item %}", "template|compile|end of template"),
    ],
)
def test_a_malformed_prompt_is_refused_with_its_file(tmp_path, text, said):
    path = write(tmp_path, "p", text)
    with pytest.raises(PromptError, match=said) as caught:
        read_prompt(path)
    assert str(path) in str(caught.value)


def test_missing_and_unknown_variables_are_errors_not_blanks(tmp_path):
    prompt = read_prompt(write(tmp_path, "p", HEAD + "{{ item }}"))
    for values in ({}, {"item": 1, "more": 2}):
        with pytest.raises(PromptError, match="wrong variables"):
            prompt.render(**values)
    with pytest.raises(PromptError, match="cannot be filled in"):
        read_prompt(write(tmp_path, "q", HEAD + "{{ item.nothing }}")).render(item=1)


def test_ones_own_prompt_wins_over_the_shipped_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = find_prompt("predict")
    write(tmp_path / "prompts", "predict", shipped.path.read_text(encoding="utf-8").replace("What this user did", "So far"))
    mine = find_prompt("predict")
    assert mine.path == Path("prompts/predict.md") and mine.sha256 != shipped.sha256
    assert set(prompt_names()) == set(VALUES)
    with pytest.raises(InputError, match="did you mean 'predict'"):
        find_prompt("predictt")


@pytest.mark.parametrize("name", sorted(VALUES))
def test_an_item_without_genres_leaves_no_stray_signs(name):
    values = {key: value for key, value in VALUES[name].items() if key != "neighbours"} | {"neighbours": []}
    told = name == "assess" or name.startswith("rerank")
    items = {
        "target": "Per Gessle." if told else PLAIN,
        "behaviour": "Liked: Per Gessle.",
        "liked": [PLAIN],
        "disliked": [PLAIN],
        "latest": [PLAIN],
    }
    history = [Told(PLAIN, True, KNOWN)] if name.startswith("predict") else "Liked: Per Gessle."
    prompt = read_prompt(shipped_folder("prompts") / f"{name}.md")
    values |= {key: value for key, value in {**items, "history": history}.items() if key in values}
    text = prompt.render(**{key: value for key, value in values.items() if key in VALUES[name]})
    assert "Per Gessle" in text and not re.search(r",\s*(,|$|:|\.|;)|, mood|, expected|\(\)", text, re.MULTILINE), text


def test_genres_stand_after_the_name_as_before():
    text = read_prompt(shipped_folder("prompts") / "predict_evidence.md").render(**VALUES["predict_evidence"])
    assert text.splitlines()[0] == "Ronin (1998), Action Thriller"
    line = read_prompt(shipped_folder("prompts") / "predict_history.md").render(**VALUES["predict_history"]).splitlines()[0]
    assert line == "Heat (1995), Crime mood 42 expected 71 42 71: Yes"
