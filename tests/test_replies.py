"""What language models say, read as assessments: found in what stands around them, or refused; whatever the damage."""

from __future__ import annotations

import json
import random
import time

import pytest
from assess_world import PROMPT, questions
from hypothesis import given, settings
from hypothesis import strategies as st

from score_rag.reranker.answers import answer_key, read_rows
from score_rag.reranker.assess import assess
from score_rag.reranker.assessment import Assessment
from score_rag.reranker.replies import InvalidReplyError, is_refusal, read_reply
from score_rag.reranker.settings import AssessmentSettings

GOOD = '{"characteristics": ["likes noir"], "reason": "because"}'


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"```json\n{GOOD}\n```",
        f"Sure, here it is: {GOOD} I hope that helps {{or not}}!",
        f'<think>Maybe {{"characteristics": ["likes war films"]}}?</think>\n{GOOD}',
        f'so {{"characteristics": ["likes war films"]}}</think>{GOOD}',
        f'{{"characteristics": ["...", "..."], "reason": "..."}}\n{GOOD}',
        f'{{"verdict": 1}} {GOOD}',
        '{"characteristics": [" likes noir ", ""], "reason": "because", "key": "another", "user_id": "7"}',
        f"{'{' * 150}{GOOD}",
    ],
)
def test_an_assessment_is_found_in_what_models_say_around_it(text):
    assert read_reply(text) == Assessment(characteristics=["likes noir"], reason="because")


@pytest.mark.parametrize(
    "text",
    [
        *("", "I cannot say", GOOD[:-5], "[1]", "{}", f"<think>{GOOD}", '{"a":' * 20_000, "[" * 99_999, "{" * 99_999, "<think>" * 10_000),
        *(f'{{"characteristics": {said}}}' for said in ("[]", '[""]', '"noir"', '["\\ud800"]', '["..."]', "1" * 9_999)),
        json.dumps({"characteristics": ["x"] * 13}),
    ],
    ids=lambda text: repr(text[:30]),
)
def test_what_is_no_assessment_is_refused_quickly(text):
    started = time.monotonic()
    with pytest.raises(InvalidReplyError):
        read_reply(text)
    assert time.monotonic() - started < 1


def test_refusals_in_words_are_told_from_rubbish():
    assert all(map(is_refusal, ["I'm sorry, I can't do that.", "Sorry, no.", "I cannot help.", "As an AI, I", "**I am unable to**"]))
    assert not any(map(is_refusal, ["", "likes noir", GOOD, "Can't Hardly Wait (1998)"]))


def test_a_hundred_thousand_damaged_replies_neither_crash_nor_change_places(tmp_path):
    draw, requests = random.Random(5), questions(8)
    out = tmp_path / "a.jsonl"
    whole = [f"<think>hm</think>Sure: ```json\n{json.dumps({'characteristics': [f'judged Film {n}'], 'key': 'x'})}\n```" for n in range(8)]

    def damaged(text: str) -> str:
        for _ in range(draw.choice([0, 1, 1, 2, 5])):
            place, end = sorted(draw.choices(range(len(text) + 1), k=2))
            part = draw.choice(
                ["", text[place:end] * 2, '"', "{", "}", "\\", "]", "\x00", "\ud83d", "\u202e", "</think>", "<think>", "null"]
            )
            text = text[:place] + part + text[end if draw.random() < 0.5 else place :]
        return text

    read = 0
    for _ in range(100_000):
        n = draw.randrange(8)
        try:
            found = read_reply(damaged(whole[n]))
        except InvalidReplyError:
            continue
        read += 1
        assert found.characteristics and all(isinstance(one, str) and one for one in found.characteristics)
        json.dumps(found.model_dump()).encode()
    assert 10_000 < read < 90_000
    # Through the whole job: what is kept under a key is what was said to its question, or nothing.
    said = {}

    def reply(conversation, request):
        said.setdefault(request.user_id, []).append(damaged(whole[int(request.user_id.split("-")[1])]))
        return said[request.user_id][-1]

    for _ in range(6):
        assess(requests, AssessmentSettings(retries=5, max_failed=1.0), prompt=PROMPT, out=out, ask=reply)
    keys = {answer_key(request, PROMPT, AssessmentSettings()): request.user_id for request in requests}
    for key, (row, kept) in read_rows(out).items():
        assert row["user_id"] == keys[key] and kept == read_reply(said[keys[key]][-1])


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), st.lists(st.sampled_from([GOOD, "{", "}", '"', "<think>", "</think>", "```", "[", ":", "\\"])).map("".join)))
def test_any_text_is_an_assessment_or_none(text):
    try:
        assert read_reply(text).characteristics
    except InvalidReplyError as error:
        assert str(error)
