"""The explorer in a browser: its main path clicked through, by mouse, by keyboard and without a script; nothing from elsewhere."""

from __future__ import annotations

import pytest
from browser import LOOKS, chromium, grave_findings, keep_screenshot, visited
from test_serve_process import served

from score_rag.evaluation.evaluate import evaluate_run
from score_rag.explain.rows import explain_rows

KEY = "a key of some length"


def check(page, name: str, width: int) -> None:
    """A page that fits its window, and keeps nobody out."""
    assert page.evaluate("document.documentElement.scrollWidth") <= width, name
    keep_screenshot(page, name)
    assert grave_findings(page) == [], name


def test_the_main_path_in_every_look(fresh):
    evaluate_run(fresh)
    explain_rows(fresh, 20)
    with chromium() as browser, served(fresh) as (client, _):
        base = str(client.base_url).rstrip("/")
        for width, scheme in LOOKS:
            with visited(browser, base, width=width, scheme=scheme) as (page, seen):
                look = f"{width}-{scheme}"
                check(page, f"explorer-start-{look}", width)
                page.locator("input[name=user]").first.press_sequentially("1")
                page.locator("#users option[value='12']").wait_for(state="attached")
                page.get_by_role("button", name="What would they like?").first.click()
                page.wait_for_url("**/ranking?user=1")
                assert page.locator("ol.ranking > li").count() >= 4
                first = page.locator("ol.ranking > li").first
                # By keyboard alone.
                first.locator("summary").focus()
                page.keyboard.press("Enter")
                first.get_by_text("What each part changes").wait_for()
                assert page.url.endswith("/ranking?user=1")
                check(page, f"explorer-ranking-{look}", width)
                first.get_by_label("Add judgements").fill("-4")
                first.locator("input[name=without]").first.check()
                first.get_by_role("button", name="Ask with these changes").click()
                first.get_by_text("With your changes").wait_for()
                assert first.locator("input[name=without]").first.is_checked()
                first.get_by_role("textbox", name="The prompt").fill("Merry Train\nmood 99")
                first.get_by_role("button", name="Ask with this text").click()
                first.locator(".edited .answer").wait_for()
                first.get_by_label("Add judgements").fill("no such film")
                first.get_by_role("button", name="Ask with these changes").click()
                first.get_by_text("This cannot be asked").wait_for()
                page.get_by_role("link", name="The run").click()
                page.get_by_role("heading", name="Cost", exact=True).wait_for()
                assert page.locator("figure svg").count() >= 2
                images = page.locator("figure svg image")
                assert images.count() >= 1 and page.request.get(base + images.first.get_attribute("href")).ok
                fills = page.locator("figure svg path").evaluate_all("all => new Set(all.map(one => getComputedStyle(one).stroke)).size")
                assert fills >= 2, "charts have their colours without a style in them"
                check(page, f"explorer-run-{look}", width)
                # A refusal is a status that the browser tells its console of, too.
                assert seen.requests == [] and [line for line in seen.console if "422" not in line] == []
        with visited(browser, base, script=False) as (page, seen):
            page.goto(f"{base}/ranking?history=0%3B+2%3B+-1")
            page.locator("ol.ranking summary").first.click()
            page.locator("ol.ranking > li").first.get_by_role("link").click()
            page.get_by_label("Add judgements").fill("-4")
            page.get_by_role("button", name="Ask with these changes").click()
            assert page.get_by_text("With your changes").is_visible() and "add=-4" in page.url
            page.get_by_role("button", name="Ask with this text").click()
            assert page.locator("h1").inner_text().endswith("asked with your own text")
            assert seen.requests == [] and seen.console == []


def test_a_browser_signs_in_and_out(fresh):
    with chromium() as browser, served(fresh, key=KEY) as (client, _):
        base = str(client.base_url).rstrip("/")
        with visited(browser, base, width=390) as (page, seen):
            assert page.url == f"{base}/login"
            check(page, "explorer-login", 390)
            page.get_by_label("API key").fill("another key of some length")
            page.get_by_role("button", name="Sign in").click()
            page.get_by_text("That is not the key").wait_for()
            page.get_by_label("API key").fill(KEY)
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url(f"{base}/")
            (cookie,) = page.context.cookies()
            assert cookie["httpOnly"] and cookie["sameSite"] == "Strict" and KEY not in cookie["value"]
            page.goto(f"{base}/why?user=0&item=5")
            page.get_by_role("button", name="Ask with this text").click()
            page.locator(".edited .answer").wait_for()
            page.get_by_role("button", name="Sign out").click()
            page.wait_for_url(f"{base}/login")
            page.goto(base)
            assert page.url == f"{base}/login" and page.context.cookies() == []
            assert seen.requests == [] and [line for line in seen.console if "401" not in line] == []


@pytest.mark.parametrize("path", ["/ranking?user=nobody", "/why?user=0&item=nothing"])
def test_an_unknown_name_is_a_page_too(fresh, path):
    with chromium() as browser, served(fresh) as (client, _):
        base = str(client.base_url).rstrip("/")
        with visited(browser, base, width=390) as (page, seen):
            page.goto(base + path)
            assert page.locator("h1").inner_text().startswith("There is no such")
            check(page, f"explorer-refused-{path[1:4]}", 390)
            assert seen.requests == []
