"""The server, in-process: what it answers, and where answers come from."""

from __future__ import annotations

import asyncio
import gc
import re
import shlex
import weakref
from pathlib import Path

import numpy as np
import pytest
from serve_world import posted, serving

from score_rag import open_recommender
from score_rag.crm.interface import UserHistory
from score_rag.explain.explainer import explain_question
from score_rag.pipeline import serving_index
from score_rag.pipeline.guard import Guard
from score_rag.pipeline.routes import ANSWERED_BY, KNOWN, ROUTES


async def test_answers_are_those_of_the_library_and_say_where_they_come_from(fresh):
    library = open_recommender(fresh)
    async with serving(fresh) as client:
        seen = {event.item_id for event in library.run.histories.log.of("0")}
        free = next(item for item in library.run.histories.catalogue if item not in seen)
        told = await posted(client, "/v1/explain", user_id="0", item=free)
        own = library.recommend("0", free)
        assert told["result"]["probability"] == pytest.approx(own.probability, abs=1e-5)
        assert told["result"]["prompt"] == own.prompt and told["result"]["neighbours"][0]["in_common"] is not None
        about = told["about"]
        assert about["route"] == "personalised" and about["why"] and about["index_generation"] == 0
        assert set(about["models"]) == {"data", "crm", "documents", "retriever", "reranker", "predictor"}
        assert all(len(digest) == 16 for digest in about["models"].values())
        assert {"look-up", "waiting", "neighbours", "prompt", "predictor", "all"} <= set(about["seconds"])
        ranked = (await client.get("/v1/recommend/1", params={"n": 4})).json()
        assert [one["item_id"] for one in ranked["results"]] == [one.item.item_id for one in library.top("1", 4)]
        assert [one["rank"] for one in ranked["results"]] == [1, 2, 3, 4]
        rest = (await client.get("/v1/recommend/1", params={"n": 2, "offset": 2})).json()
        assert [one["item_id"] for one in rest["results"]] == [one["item_id"] for one in ranked["results"]][2:]
        scored = await posted(client, "/v1/score", user_id="1", items=[one["item_id"] for one in ranked["results"]], rerank=False)
        assert [one["probability"] for one in scored["results"]] == pytest.approx(
            [one["probability"] for one in ranked["results"]], abs=1e-5
        )
        assert all(one["left_out"] == "" for one in scored["results"])
        near = (await client.get("/v1/neighbours/0", params={"n": 3})).json()["results"]
        assert len(near) == 3 and "0" not in [one["user_id"] for one in near] and near[0]["similarity"] >= near[1]["similarity"]


async def test_routes_and_the_four_answers_that_are_no_list(fresh):
    """Unknown, not yet indexed, empty and error differ."""
    async with serving(fresh) as client:
        fallback = await posted(client, "/v1/recommend", n=3)
        assert fallback["about"]["route"] == "fallback" and len(fallback["results"]) == 3
        stranger = await posted(client, "/v1/recommend", history=["0", "2", "-1"], n=3)
        assert stranger["about"]["route"] == "history only" and stranger["about"]["status"] == "ok"
        assert not {one["item_id"] for one in stranger["results"]} & {"0", "1", "2"}
        unknown = await client.get("/v1/recommend/nobody")
        assert unknown.status_code == 404 and unknown.json()["error"]["kind"] == "unknown_user"
        await posted(client, "/v1/feedback", user_id="nobody", item_id="4", liked=True)
        late = (await client.get("/v1/recommend/nobody")).json()
        assert late["about"]["status"] == "not_indexed" and late["about"]["route"] == "history only" and late["results"]
        empty = (await client.get("/v1/recommend/1", params={"category": "Western"})).json()
        assert empty["results"] == [] and empty["about"]["status"] == "empty"
        before = (await client.get("/v1/neighbours/1", params={"as_of": "1999-01-01"})).json()
        assert before["about"]["status"] == "empty" and before["about"]["route"] == "fallback"
        wrong = await client.get("/v1/recommend/1", params={"as_of": "soon"})
        assert wrong.status_code == 422 and wrong.json()["error"]["kind"] == "invalid"
        lost = await client.post("/v1/score", json={"user_id": "1", "items": ["1", "zzz", "yyy"]})
        assert lost.status_code == 404 and lost.json()["error"]["kind"] == "unknown_item" and "zzz, yyy" in lost.text
        assert (await client.get("/v1/nothing")).json()["error"]["kind"] == "unknown_path"
        both = await client.post("/v1/score", json={"user_id": "1", "history": "0", "items": ["1"]})
        assert both.status_code == 422


async def test_what_was_seen_is_ranked_among_the_others_where_it_may_come_again(fresh, monkeypatch):
    monkeypatch.setattr("score_rag.serve.asking._LEAST", 2)
    async with serving(fresh) as client:
        run = client.service.run
        seen = {event.item_id for event in run.histories.log.of("0")}
        (scores,) = run.crm.score_places([UserHistory(run.histories.log.of("0"), "0")], [np.arange(len(run.crm.item_ids))])
        best = {run.crm.item_ids[place] for place in np.argsort(-scores, kind="stable")[:4].tolist()}
        assert best & seen, "the toy's users are best at what they judged"
        found = (await posted(client, "/v1/recommend", user_id="0", n=2, exclude_seen=False))["results"]
        assert {one["item_id"] for one in found} <= best
        others = (await posted(client, "/v1/recommend", user_id="0", n=2))["results"]
        assert len(others) == 2 and not {one["item_id"] for one in others} & seen


async def test_categories_candidates_and_what_was_seen(fresh):
    async with serving(fresh) as client:
        some = await posted(client, "/v1/recommend", user_id="0", categories=["comedy"], n=5)
        assert some["results"] and all(int(one["item_id"]) % 2 == 0 for one in some["results"])
        seen = client.service.run.histories.log.of("0")[0].item_id
        assert (await posted(client, "/v1/recommend", user_id="0", candidates=[seen]))["results"] == []
        assert len((await posted(client, "/v1/recommend", user_id="0", candidates=[seen], exclude_seen=False))["results"]) == 1


async def test_jina_s_form_orders_items(fresh):
    async with serving(fresh) as client:
        names = [client.service.run.histories.catalogue[item].name for item in ("1", "2", "3")]
        body = {"model": "any", "query": "0", "documents": [*names, {"text": "no film"}], "top_n": 4, "return_documents": True}
        told = await posted(client, "/v1/rerank", **body)
        assert sorted(one["index"] for one in told["results"]) == [0, 1, 2, 3] and told["unknown"] == [3]
        scores = [one["relevance_score"] for one in told["results"]]
        assert scores == sorted(scores, reverse=True) and told["results"][-1] == {
            "index": 3, "relevance_score": 0.0, "document": {"text": "no film"}
        }  # fmt: skip
        by_history = await posted(client, "/v1/rerank", query=f"{names[0]}; -{names[1]}", documents=[names[2]])
        assert by_history["about"]["route"] == "history only"
        lost = await posted(client, "/v1/rerank", 404, query="what is this", documents=names)
        assert lost["error"]["kind"] == "unknown_user"


async def test_jina_s_form_orders_any_texts(fresh):
    """Where no document names an item, by the cross-encoder; as the reranker itself does."""
    async with serving(fresh) as client:
        texts = ["Liked: a sunny comedy.", "", "Disliked: a dark thriller.\nAnd more.", "word " * 5000] + ["one more text"] * 70
        query = "Will this user like a comedy?"
        told = await posted(client, "/v1/rerank", query=query, documents=[texts[0], *({"text": text} for text in texts[1:])])
        own = 1 / (1 + np.exp(-client.service.run.scorer.score_pairs([query] * len(texts), texts).astype(float)))
        assert (
            told["ordered_by"] == "reranker" and told["about"]["route"] == "texts only" and told["about"]["why"] and told["unknown"] == []
        )
        assert "reranker" in told["about"]["seconds"] and "document" not in told["results"][0]
        found = {one["index"]: one["relevance_score"] for one in told["results"]}
        assert [found[place] for place in range(len(texts))] == pytest.approx(own.tolist(), abs=1e-5)
        assert [one["relevance_score"] for one in told["results"]] == sorted(found.values(), reverse=True)
        best = await posted(client, "/v1/rerank", query=query, documents=texts[:3], top_n=1, return_documents=True)
        assert len(best["results"]) == 1 and best["results"][0]["document"] == {"text": texts[best["results"][0]["index"]]}
        name = client.service.run.histories.catalogue["1"].name
        by_history = await posted(client, "/v1/rerank", query=name, documents=texts[:3])
        assert by_history["about"]["route"] == "texts only", "a film's name is a text too"
        as_texts = await posted(client, "/v1/rerank", query="what is this", documents=[name, "text"], by="texts")
        assert as_texts["ordered_by"] == "reranker"
        neither = await posted(client, "/v1/rerank", 404, query="0", documents=texts[:3])
        assert neither["error"]["kind"] == "unknown_item" and "user's id" in neither["error"]["message"]
        empty = await posted(client, "/v1/rerank", query="0", documents=texts[:3], by="items")
        assert empty["about"]["status"] == "empty" and empty["unknown"] == [0, 1, 2]


async def test_score_and_explain_say_the_same_of_the_same_question(fresh):
    """Of new items, of judged ones (as before the judgement), reranked and not, and at a time in the past."""
    async with serving(fresh) as client:
        log = client.service.run.histories.log
        judged = log.of("0")[-1]
        free = next(item for item in client.service.run.histories.catalogue if log.first("0", item) is None)
        differ = False
        for rerank in (True, False):
            more = {} if rerank else {"rerank": False}
            for who in ({"user_id": "0"}, {"user_id": "0", "as_of": judged.timestamp}, {"history": ["2", "-5"]}):
                items = [judged.item_id, free, "1", "2"]
                scored = (await posted(client, "/v1/score", items=items, **who, **more))["results"]
                for item, one in zip(items, scored, strict=True):
                    told = await posted(client, "/v1/explain", item=item, **who, **more)
                    assert told["result"]["probability"] == pytest.approx(one["probability"], abs=1e-5)
                    assert [other["user_id"] for other in told["result"]["neighbours"]] == one["neighbours"]
                    assert (told["as_of"], told["result"]["route"]) == (one["as_of"], one["route"])
                    assert told["result"]["answered_by"] == one["answered_by"] == "predictor"
                    differ |= who == {"user_id": "0"} and item == judged.item_id and told["as_of"] == log.first("0", item).timestamp
        assert differ, "a judged item is asked about as of just before"
        few, many = ["1"] * 20, ["1"] * 21
        for items, more, reranked in ((few, {}, True), (many, {}, False), (many, {"rerank": True}, True), (few, {"rerank": False}, False)):
            assert (await posted(client, "/v1/score", items=items, user_id="0", **more))["reranked"] is reranked
        refused = await posted(client, "/v1/explain", 422, user_id="0", item="1", rerank=False, parts=True)
        assert "reranked" in refused["error"]["message"]


async def test_every_route_is_one_of_the_list_and_the_docs_have_them_all(fresh, monkeypatch):
    async with serving(fresh) as client:
        kite = {"title": "Sunny Kite", "year": 1990}
        await posted(client, "/v1/feedback", user_id="3", item_id="kite", liked=True, item=kite)
        seen = set()
        for path, body in (
            ("/v1/score", {"user_id": "0", "items": ["1", "kite"]}),
            ("/v1/score", {"items": ["1"]}),
            ("/v1/recommend", {"history": ["1"], "n": 2}),
            ("/v1/explain", {"user_id": "0", "item": "kite"}),
            ("/v1/rerank", {"query": "sunny", "documents": ["a text"]}),
        ):
            told = await posted(client, path, **body)
            results = told.get("results", [told.get("result")])
            seen |= {told["about"]["route"], *(one["route"] for one in results if "route" in one)}
            assert {one["answered_by"] for one in results if "answered_by" in one} <= set(ANSWERED_BY)
        assert seen == set(KNOWN)
        monkeypatch.setattr(Guard, "route", "recommender")
        ranked = await posted(client, "/v1/recommend", user_id="1", n=2)
        assert ranked["ordered_by"] == "recommender" and {one["answered_by"] for one in ranked["results"]} == {"recommender"}
    docs = (Path(__file__).parent.parent / "docs" / "serving.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `([a-z -]+)` \| ", docs, re.M) == list(ROUTES) == [*ANSWERED_BY, *KNOWN]


async def test_a_server_that_ended_keeps_no_models(fresh):
    async with serving(fresh) as client:
        await posted(client, "/v1/score", user_id="1", items=["1"])
        run = weakref.ref(client.service.run)
    gc.collect()
    assert run() is None


async def test_a_new_generation_is_taken_without_a_gap(fresh):
    async with serving(fresh) as client:
        held = client.service.run
        work = asyncio.get_running_loop().run_in_executor(None, serving_index.build, fresh)
        generations = []
        while not generations or generations[-1] == 0:
            answer = await client.get("/v1/recommend/1", params={"n": 1})
            assert answer.status_code == 200
            generations.append(answer.json()["about"]["index_generation"])
        await work
        assert generations[-1] == 1 and client.service.run.predictor is held.predictor
        assert b"score_rag_index_generation 1.0" in (await client.get("/metrics")).content


async def test_explain_takes_the_prompt_apart_where_that_is_asked_for(fresh):
    own = explain_question(open_recommender(fresh).run, "0", "1")
    async with serving(fresh) as client:
        plain = await posted(client, "/v1/explain", user_id="0", item="1")
        assert "explanation" not in plain
        told = await posted(client, "/v1/explain", user_id="0", item="1", parts=True)
        assert told["result"]["prompt"] == plain["result"]["prompt"] == own.look.text and told["as_of"] == plain["as_of"]
        assert told["result"]["probability"] == pytest.approx(plain["result"]["probability"], abs=1e-5)
        parts = told["explanation"]["segments"]
        assert [one["name"] for one in parts] == [one.name for one in own.look.segments]
        assert [one["effect"] for one in parts] == pytest.approx([one.effect for one in own.look.segments], abs=1e-5)
        weights = client.service.run.attention
        client.service.recommender._run = client.service.run.renewed()
        await posted(client, "/v1/explain", user_id="0", item="1", parts=True)
        assert client.service.run.attention is weights, "another generation of the index loads no weights again"


CURLS = re.findall(r"^curl (.*)$", (Path(__file__).parent.parent / "docs" / "server.md").read_text(encoding="utf-8"), re.M)


async def test_the_examples_of_the_docs_are_answered(fresh):
    """Each `curl` line of docs/server.md, in order: its words as curl reads them."""
    assert len(CURLS) > 10
    async with serving(fresh) as client:
        for line in CURLS:
            words = shlex.split(line)
            headers, body, method, address = {}, None, None, None
            while words:
                match words.pop(0):
                    case "-s":
                        pass
                    case "-H":
                        name, _, value = words.pop(0).partition(": ")
                        headers[name] = value
                    case "-d":
                        body = words.pop(0)
                    case "-X":
                        method = words.pop(0)
                    case word:
                        address = word
            path = address.removeprefix("localhost:8000")
            answer = await client.request(method or ("POST" if body else "GET"), path, content=body, headers=headers)
            assert answer.status_code == 200, (line, answer.text)
        known = (await client.get("/v1/users/new")).json()["user"]
        assert known["judgements"] == 2 and {one["name"] for one in known["history"]} >= {"Heat (1995)"}
