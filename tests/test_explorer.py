"""The explorer's pages, in-process: what they show, how errors become pages, and that nothing that people or data say becomes markup."""

from __future__ import annotations

import re
import shutil
from html import unescape
from html.parser import HTMLParser

import pytest
from serve_world import KEY, serving

from score_rag import open_recommender
from score_rag.evaluation.evaluate import evaluate_run
from score_rag.explain.explainer import Explainer
from score_rag.pipeline.state import run_folder
from score_rag.serve.explorer.router import explorer
from score_rag.serve.safety import FORM_PATHS, OPEN_PATHS, PAGE_PATHS

NASTY = "\"><script>alert(1)</script><b x=''>"
FORM = {"content-type": "application/x-www-form-urlencoded"}


async def shown(client, path, status=200, **query):
    answer = await client.get(path, params=query or None)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("default-src 'self'")
    return answer.text


class Marks(HTMLParser):
    """Which elements and attributes (with an @) a page has; scripts that stand in it, and addresses elsewhere, are `!`."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag, attrs) -> None:
        self.found |= {tag, *(f"@{name}" for name, _ in attrs)}
        given = dict(attrs)
        if tag == "script" and given.get("src") != "/static/htmx.min.js":
            self.found.add("!")
        self.found |= {"!" for name in ("src", "href", "action") if not (given.get(name) or "/").startswith(("/", "#"))}


def marked_up(text: str) -> set[str]:
    marks = Marks()
    marks.feed(text)
    return marks.found


PLAIN = frozenset(
    """html head meta title link script body a header div img nav ul ol li main h1 h2 h3 h4 p strong details summary span svg rect line form
    label input button textarea datalist option table thead tbody tr th td mark pre fieldset legend code br
    @lang @charset @name @content @rel @href @type @src @defer @class @alt @aria-label @aria-hidden @aria-live @viewbox @width @height @x
    @y1 @y2 @x1 @x2 @preserveaspectratio @hx-get @hx-post @hx-trigger @hx-target @action @method @value @list @maxlength @required
    @autocomplete @autocapitalize @placeholder @tabindex @scope @title @id @role @checked @spellcheck""".split()  # noqa: SIM905
)
"""What the templates are made of."""


def probability(text: str) -> float:
    return float(re.search(r"P (0\.\d{3}|1\.000)", text)[1])


async def test_a_ranking_opens_to_its_evidence_and_both_say_what_the_library_says(fresh):
    library = open_recommender(fresh)
    async with serving(fresh) as client:
        start = await shown(client, "/")
        assert start.count('href="/ranking?user=') == 8 and "36 users, 24 items" in start
        text = await shown(client, "/ranking", user="1", n="4")
        own = library.top("1", 4)
        names = [unescape(name) for name in re.findall(r"</span>([^<]+)</h2>", text)]
        assert names == [one.item.name for one in own]
        assert [float(value) for value in re.findall(r"P (\d\.\d{3})", text)] == pytest.approx([one.probability for one in own], abs=6e-4)
        assert "personalised" in text
        address = unescape(re.search(r'hx-get="(/why[^"]+)"', text)[1])
        told = Explainer(library.run).explain("1", own[0].item.item_id)
        page = await shown(client, address)
        assert probability(page) == pytest.approx(told.look.answer.probability, abs=6e-4)
        for part in told.look.segments:
            assert part.name in page
            if part.without is not None:
                assert f"{part.without:.3f}" in page
        for other in told.recommendation.neighbours:
            assert f">User {other.user_id}</a>" in page
        assert "attention says where the model looks, not why" in page and "<h1>" in page
        whole = re.search(r"<pre[^>]*>(.*?)</pre>", page, re.S)[1]
        assert unescape(re.sub(r"</?mark[^>]*>", "", whole)) == told.look.text
        part = await client.get(address, headers={"hx-request": "true"})
        assert "<html" not in part.text and "<h1>" not in part.text and "What each part changes" in part.text


async def test_a_changed_history_changes_the_answer_as_the_library_says(fresh):
    """Even users like even films: an even one liked instead of disliked speaks for another."""
    async with serving(fresh) as client:
        run = client.service.run
        item = next(item for item in run.histories.catalogue if item not in {event.item_id for event in run.histories.log.of("0")})
        asked = {"history": "0; 2; -1", "item": item}
        plain = probability(await shown(client, "/why", **asked))
        page = await shown(client, "/why", **asked, add="-4; -6; 3; 5", without=["0", "2"])
        other = Explainer(open_recommender(fresh).run).explain(None, item, history="-1; -4; -6; 3; 5").look.answer.probability
        assert probability(page) == pytest.approx(other, abs=6e-4) and f"without them {plain:.3f}" in page
        assert abs(other - plain) > 0.01
        assert page.count(" checked>") == 2 and "As it is" in page
        user = await shown(client, "/why", user="0", item=item, add="-4")
        assert "With your changes" in user
        judged = run.histories.log.of("0")[-1].item_id
        assert "has judged this item already" in await shown(client, "/why", user="0", item=judged)
        assert "With your changes" in await shown(client, "/why", user="0", item=judged, add="4")


async def test_a_prompt_edited_by_hand_is_asked_as_it_stands(fresh):
    async with serving(fresh) as client:
        page = await shown(client, "/why", user="0", item="5")
        text = unescape(re.search(r"<textarea class=\"prompt\"[^>]*>\n(.*?)</textarea>", page, re.S)[1])
        form = {"user": "0", "item": "5", "prompt": text.replace("\n", "\r\n")}
        same = await client.post("/prompt", data=form)
        assert same.status_code == 200 and probability(same.text) == pytest.approx(probability(page), abs=2e-3)
        other = await client.post("/prompt", data={**form, "prompt": NASTY + "{{ 7 * 7 }}"})
        assert other.status_code == 200 and "<script>alert" not in other.text and "{{ 7 * 7 }}" in other.text
        for wrong in (" ", "word " * 50_000):
            answer = await client.post("/prompt", data={**form, "prompt": wrong})
            assert answer.status_code == 422 and "the prompt is empty or too long" in answer.text


async def test_errors_are_pages_that_say_what_to_do(fresh):
    async with serving(fresh) as client:
        lost = await shown(client, "/ranking", status=404, user=NASTY)
        assert "There is no such user" in lost and "Users there are" in lost and "<script>alert" not in lost
        for query in ({"user": "0", "item": NASTY}, {"history": "0", "item": "nothing at all"}):
            text = await shown(client, "/why", status=404, **query)
            assert "There is no such item" in text and "<script>alert" not in text
        for query in ({"history": NASTY, "item": "1"}, {"user": "0", "item": "1", "add": "no such film"}, {"user": "0"}):
            assert "<script>alert" not in await shown(client, "/why", status=422, **query)
        assert "another form" in await shown(client, "/ranking", status=422, user="0", n="many")
        assert "another form" in await shown(client, "/why", status=422, user="0", item="x" * 600)
        everything = "; ".join(client.service.run.histories.catalogue)
        assert "There is nothing to rank" in await shown(client, "/ranking", history=everything)
        nobody = await shown(client, "/ranking")
        assert "fallback" in nobody and "somebody unknown" in nobody
        assert "evidence" in await shown(client, "/why", item="3")
        client.service.ready.clear()
        starting = await shown(client, "/ranking", status=503, user="0")
        assert 'http-equiv="refresh"' in starting


async def test_what_the_data_says_is_never_markup(fresh):
    """A title, a genre and a user of a hostile feed, on every page that tells of them."""
    async with serving(fresh) as client:
        item = {"title": NASTY, "year": 1990, "genres": ["<img src=x onerror=alert(2)>"]}
        for user in ("0", 'x"><script>alert(3)</script>'):
            event = {"user_id": user, "item_id": 'k"<script>', "liked": True, "item": item}
            assert (await client.post("/v1/feedback", json=event)).status_code == 200
        query = [
            ("/why", {"user": "0", "item": 'k"<script>'}),
            ("/why", {"user": "2", "item": 'k"<script>', "add": 'k"<script>'}),
            ("/ranking", {"user": 'x"><script>alert(3)</script>'}),
            ("/ranking", {"history": 'k"<script>'}),
            ("/suggest/items", {"item": '"'}),
            ("/suggest/users", {"user": "x"}),
        ]
        for path, fields in query:
            text = await shown(client, path, **fields)
            assert marked_up(text) <= PLAIN, (path, fields)
            assert "alert(" in text or "script" in text, "it is told all the same"
        names = await shown(client, "/suggest/items", item="train")
        assert names.count("<option") == sum("Train" in item.title for item in client.service.run.histories.catalogue.values()) > 0
        assert "<option" in await shown(client, "/suggest/users", user="1")


async def test_the_run_page_has_stages_data_and_tables_without_any_style_in_it(fresh):
    # Other tests may have evaluated the run that this is a copy of.
    shutil.rmtree(run_folder(fresh) / "evaluation", ignore_errors=True)
    async with serving(fresh) as client:
        empty = await shown(client, "/run")
        assert "nothing is evaluated yet" in empty and "Cost of each stage" in empty
        evaluate_run(fresh)
        text = await shown(client, "/run")
        assert "Reliability of SCORE" in text and "<svg" in text and "Information used" in text
        assert not marked_up(text) & {"style", "@style"}
        assert {"svg", "path", "table"} <= marked_up(text)
        assert "evaluated questions answered near" in await shown(client, "/ranking", user="0")


async def test_a_key_is_asked_for_by_a_form_and_never_stands_in_an_address(fresh):
    async with serving(fresh, api_key=KEY) as client:
        for path in PAGE_PATHS:
            answer = await client.get(path)
            assert answer.status_code == 303 and answer.headers["location"] == "/login", path
        inside = await client.get("/why", headers={"hx-request": "true"})
        assert inside.status_code == 401 and inside.headers["hx-redirect"] == "/login"
        assert (await client.get("/v1/users/0")).status_code == 401
        assert "asks for its key" in await shown(client, "/login")
        wrong = await client.post("/login", data={"key": "x" * 20})
        assert wrong.status_code == 401 and "not the key" in wrong.text and "set-cookie" not in wrong.headers
        foreign = await client.post("/login", data={"key": KEY}, headers={"origin": "https://example.org"})
        assert foreign.status_code == 403
        right = await client.post("/login", data={"key": KEY})
        cookie = right.headers["set-cookie"]
        assert right.status_code == 303 and "HttpOnly" in cookie and "SameSite=strict" in cookie and KEY not in cookie
        assert "Sign out" in await shown(client, "/", user="0")
        # The cookie opens pages alone: no other site, and no script, gets at the API by it.
        assert (await client.get("/v1/users/0")).status_code == 401
        token = client.cookies["score_rag_explorer"]
        client.cookies.clear()
        for bad in (token[:-1] + ("0" if token[-1] != "0" else "1"), "9" + token, "x", ""):
            answer = await client.get("/", headers={"cookie": f"score_rag_explorer={bad}"})
            assert answer.status_code == 303
        client.cookies.set("score_rag_explorer", token)
        out = await client.post("/logout", headers=FORM)
        assert out.status_code == 303 and 'score_rag_explorer=""' in out.headers["set-cookie"]


async def test_pages_are_known_to_the_rules_of_the_server(fresh):
    """A page without its place among the paths would be shut, or open to all."""
    async with serving(fresh) as client:
        paths = {route.path for route in explorer(client.service).routes}
        assert paths == {*PAGE_PATHS, "/login", *(path for path in OPEN_PATHS if path.startswith("/static"))}
        assert set(FORM_PATHS) <= paths
        for path in (path for path in OPEN_PATHS if path.startswith("/static")):
            assert (await client.get(path)).status_code == 200
        assert (await client.post("/v1/score", data={"user_id": "0"})).status_code == 415
        assert (await client.post("/prompt", json={})).status_code == 415


async def test_without_torch_evidence_is_shown_without_attention(fresh, monkeypatch):
    monkeypatch.setattr("score_rag.explain.explainer.find_spec", lambda name: None)
    async with serving(fresh) as client:
        text = await shown(client, "/why", user="0", item="5")
        assert "torch, which is not installed" in text and "P without" in text and ">attention<" not in text
