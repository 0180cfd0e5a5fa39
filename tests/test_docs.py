"""The documentation is true: its examples run and print what it says, and the site builds strictly and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

import score_rag
from score_rag.integrations.llama_index import TrainedEmbedding
from score_rag.testing import WordEncoder

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Code, and what it prints where a block of text follows at once.
_EXAMPLE = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.S)
EXAMPLES = [
    pytest.param(page.name, code, said, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, (code, said) in enumerate(_EXAMPLE.findall(page.read_text(encoding="utf-8")), start=1)
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def place_sample_run(toy_run, folder: Path) -> None:
    """The toy run where the examples look for the run of the pipeline `sample`."""
    (folder / "runs").mkdir()
    (folder / "runs" / "sample").symlink_to(Path(toy_run.runs).resolve() / toy_run.name)
    settings = yaml.safe_load(toy_run.path.read_text(encoding="utf-8")) | {"name": "sample", "runs": "runs"}
    (folder / "pipelines").mkdir()
    (folder / "pipelines" / "sample.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")


@pytest.mark.parametrize(("page", "code", "said"), EXAMPLES)
def test_the_examples_run_and_print_what_the_page_says(page, code, said, request, cache, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.chdir(tmp_path)
    if re.search(r'runs/sample/\w+"|(load_pipeline|from_run)\("sample"\)', code):
        place_sample_run(request.getfixturevalue("toy_run"), tmp_path)
    capsys.readouterr()
    exec(compile(code, page, "exec"), {})
    out = capsys.readouterr().out
    assert out == said if said else out.strip()


def test_the_pages_have_examples():
    pages = {example.values[0] for example in EXAMPLES}
    assert pages >= {f"{name}.md" for name in ("data", "recommenders", "retriever", "reranker", "predictor", "evaluation", "serving")}


class Loads(HTMLParser):
    """What a page loads by itself: scripts, styles, fonts, pictures, frames; a link that a reader may follow is none of these."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.classes: set[str] = set()

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.classes |= set((given.get("class") or "").split())
        names = ("src", "srcset", "data", "poster") + (("href",) if tag in ("link", "use", "image") else ())
        self.found += [given[name] for name in names if given.get(name) and given.get("rel") != "canonical"]


def elsewhere(address: str) -> bool:
    return bool(re.match(r"\s*([a-z]+:)?//", address))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built strictly: a warning fails it."""
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    built = subprocess.run(words, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_no_page_loads_anything_from_another_host(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) >= len(PAGES)
    for page in pages:
        loads = Loads()
        text = page.read_text(encoding="utf-8")
        loads.feed(text)
        assert len(loads.found) > 3 and not [address for address in loads.found if elsewhere(address)], page.name
        # The theme's script fetches Mermaid from a CDN for these, and for nothing else.
        assert "mermaid" not in loads.classes, page.name
        assert not re.search(r"@import|url\(\s*[\"']?(https?:)?//", text), page.name
    for style in site.rglob("*.css"):
        assert not re.search(r"@import|url\(\s*[\"']?(https?:)?//", style.read_text(encoding="utf-8")), style.name


def test_a_page_that_loads_from_elsewhere_is_noticed():
    loads = Loads()
    loads.feed(
        '<link rel="stylesheet" href="https://fonts.example/x.css"><script src="//cdn.example/x.js"></script><a href="https://x.example">x</a>'
    )
    assert [address for address in loads.found if elsewhere(address)] == ["https://fonts.example/x.css", "//cdn.example/x.js"]


def test_the_reference_has_every_public_name(site):
    page = (site / "api.html").read_text(encoding="utf-8")
    assert [name for name in score_rag.__all__ if f'id="score_rag.{name}"' not in page] == []


def test_the_navigation_names_every_page():
    def names(entry):
        return (
            [entry]
            if isinstance(entry, str)
            else [name for part in (entry.values() if isinstance(entry, dict) else entry) for name in names(part)]
        )

    listed = names(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    there = {page.name for page in PAGES[1:]}
    assert len(listed) == len(set(listed)) and there == set(listed)


async def test_an_encoder_of_ours_is_an_embedding_model_of_llama_index():
    encoder = WordEncoder()
    model = TrainedEmbedding(encoder)
    expected = encoder.encode(["Heat"])[0].tolist()
    assert model.get_text_embedding("Heat") == model.get_query_embedding("Heat") == expected
    assert await model.aget_text_embedding("Heat") == await model.aget_query_embedding("Heat") == expected
    assert model.get_text_embedding_batch(["Heat", "Ronin"])[0] == expected and encoder.fingerprint in model.model_name
