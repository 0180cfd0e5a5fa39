"""A headless Chromium for tests of pages: without a network, and every request and every word of its console is kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

_ALONE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
"""No name leads anywhere."""
LOOKS = [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]


@dataclass
class Seen:
    """What a page did."""

    requests: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)


@contextmanager
def chromium() -> Iterator[object]:
    """The browser; where there is none, the test is skipped and says so."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pages are not looked at")
    found = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium on this machine: pages are not looked at (apt-get install chromium)")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox", _ALONE])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser, path: Path, *, width: int = 1280, scheme: str = "light") -> Iterator[tuple[object, Seen]]:
    """(a page with a file from disk, what it did): whatever would leave the file is refused, and kept in `requests`."""
    with _opened(browser, path.as_uri(), lambda url: url == path.as_uri(), width, scheme, offline=True) as found:
        yield found


@contextmanager
def visited(browser, base: str, *, width: int = 1280, scheme: str = "light", script: bool = True) -> Iterator[tuple[object, Seen]]:
    """(a page of a server, what it did): whatever would leave the server is refused, and kept in `requests`."""
    with _opened(browser, base, lambda url: url.startswith(base + "/"), width, scheme, java_script_enabled=script) as found:
        yield found


@contextmanager
def _opened(browser, start: str, allowed, width: int, scheme: str, **more) -> Iterator[tuple[object, Seen]]:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **more)
    seen = Seen()
    page = context.new_page()
    page.on("console", lambda message: seen.console.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: seen.console.append(f"error: {error}"))

    def route(route) -> None:
        url = route.request.url
        if allowed(url) or url.startswith("data:"):
            route.continue_()
            return
        seen.requests.append(url)
        route.abort()

    page.route("**/*", route)
    try:
        page.goto(start, wait_until="load")
        yield page, seen
    finally:
        context.close()


def grave_findings(page) -> list[str]:
    """What axe-core finds that keeps somebody out: its serious and critical findings, with the first place of each."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    found = axe.Axe().run(page).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in ("serious", "critical")]


def keep_screenshot(page, name: str) -> None:
    """A picture of the whole page in the folder that SCORE_RAG_SCREENSHOTS names, for somebody to look at."""
    folder = os.environ.get("SCORE_RAG_SCREENSHOTS")
    picture = page.screenshot(full_page=True)
    assert picture[:4] == b"\x89PNG"
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / f"{name}.png").write_bytes(picture)
