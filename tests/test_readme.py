"""The commands of the README and of every page in docs/ exist, their pipeline files read such data, and the README's code runs."""

from __future__ import annotations

import gzip
import json
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import typer.main
from llama_index.core.schema import NodeWithScore

from score_rag.cli import app

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
# The help page is the program's own text.
PAGES = [ROOT / "README.md", *(page for page in sorted((ROOT / "docs").glob("*.md")) if page.name != "cli.md")]
TEXTS = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
COMMANDS = [
    command
    for text in TEXTS.values()
    for command in re.findall(r"^score-rag .*?(?=\s+#|$)", text, re.M) + re.findall(r"`(score-rag [^`]*)`", text)
]
PLUG_INS = [name for name, text in TEXTS.items() if name.startswith("README")]


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_every_command_of_the_pages_is_understood(command):
    words = shlex.split(command)[1:]
    place = typer.main.get_command(app)
    while words and hasattr(place, "commands") and words[0] in place.commands:
        place = place.commands[words.pop(0)]
    if words == ["--help"]:
        return
    # Parsing alone: a word that the command does not know, or a missing one, is an error here.
    place.make_context("score-rag", words, resilient_parsing=False) if not hasattr(place, "commands") else pytest.fail(command)


@pytest.mark.parametrize("page", PLUG_INS)
def test_the_plug_in_example_runs(page, toy_run, tmp_path, monkeypatch, capsys):
    code = re.findall(r"```python\n(.*?)```", TEXTS[page], re.S)[0]
    folder = Path(toy_run.runs).resolve() / toy_run.name
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "sample").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(code, page, "exec"), names)
    nodes = names["answer"].source_nodes
    assert len(nodes) == 2 and all(isinstance(node, NodeWithScore) for node in nodes) and capsys.readouterr().out
    assert len([line for line in code.splitlines() if line.strip()]) <= 12


def _lines(form: str) -> str:
    """A line for each of two users and three items."""
    return "".join(form.format(user=user, item=item, stars=5 - 3 * (user == item)) + "\n" for user in (1, 2) for item in (1, 2, 3))


def _each(form: str) -> str:
    return "".join(form.format(item=item) + "\n" for item in (1, 2, 3))


def _instructions(count: int) -> str:
    told = (
        'User Preference: "Film 1 (1991)"\nUser Unpreference: "Film 2 (1992)"\nWhether the user will like the target movie "Film 3 (1993)"?'
    )
    return json.dumps([{"instruction": "...", "input": told, "output": "Yes."}] * count)


PUBLISHED = {
    "goodbooks": {
        "ratings.csv": "user_id,book_id,rating\n" + _lines("{user},{item},{stars}"),
        "books.csv": "book_id,goodreads_book_id,title,authors,original_publication_year\n" + _each("{item},1{item},Book {item},Ann,2001.0"),
    },
    "crossing": {
        "BX-Book-Ratings.csv": '"User-ID";"ISBN";"Book-Rating"\n' + _lines('"{user}";"{item}";"{stars}"'),
        "BX-Books.csv": '"ISBN";"Book-Title";"Book-Author";"Year-Of-Publication"\n' + _each('"{item}";"Book {item}";"Ann";"2001"'),
    },
    "news": {
        "behaviors.tsv": _lines("1\tU{user}\t11/1{item}/2019 8:55:22 AM\tN1\tN{item}-1"),
        "news.tsv": _each("N{item}\tnews\tworld\tHeadline {item}\t\thttps://x\t[]\t[]"),
    },
    "artists": {
        "user_artists.dat": "userID\tartistID\tweight\n" + _lines("{user}\t{item}\t9"),
        "artists.dat": "id\tname\turl\tpictureURL\n" + _each("{item}\tArtist {item}\tu\tp") + "4\tArtist 4\tu\tp\n",
    },
    "instructions": {"train.json": _instructions(2), "valid.json": _instructions(1), "test.json": _instructions(1)},
    "play": {"steam-200k.csv": _lines("{user},Game {item},play,{stars}.5,0")},
}


def write_example_data(name: str, folder: Path) -> None:
    """Files of the kind that a README example speaks of; two people, three things, most of them judged."""
    folder.mkdir(parents=True)
    rows = [(user, item, 5 - 3 * (user == item), day) for user in (1, 2) for item in (1, 2, 3) for day in (user + item,)]
    if name == "movies":
        months = (978_300_000, 991_400_000, 1_019_000_000, 1_033_000_000)
        lines = [f"{user}::{item}::{stars}::{months[item] + day}" for user, item, stars, day in rows]
        (folder / "ratings.dat").write_text("\n".join(lines) + "\n")
        (folder / "movies.dat").write_text("".join(f"{item}::Film {item} (199{item})::Drama\n" for item in (1, 2, 3)))
    elif name == "games":
        reviews = [
            {"reviewerID": f"A{user}", "asin": f"B{item}", "overall": float(stars), "unixReviewTime": day * 86_400}
            for user, item, stars, day in [row for again in range(3) for row in ((u, i, s, d + 9 * again) for u, i, s, d in rows)]
        ]
        with gzip.open(folder / "Video_Games_5.json.gz", "wt") as stream:
            stream.writelines(json.dumps(review) + "\n" for review in reviews)
        with gzip.open(folder / "meta_Video_Games.json.gz", "wt") as stream:
            stream.writelines(json.dumps({"asin": f"B{item}", "title": f"Game {item}"}) + "\n" for item in (1, 2, 3))
    elif name == "sequences":
        (folder / "games.inter").write_text("user_id:token\titem_id_list:token_seq\titem_id:token\nu\ta b\tc\nv\tb c\ta\n")
        (folder / "games.item").write_text("item_id:token\ttitle:token_seq\n" + "".join(f"{item}\tGame {item}\n" for item in "abcd"))
    elif name in PUBLISHED:
        for file, text in PUBLISHED[name].items():
            (folder / file).write_text(text, encoding="utf-8")
    else:
        orders = "customer,sku,stars,bought_at\n" + "".join(f"{u},{i},{s},2021-06-{d:02d}\n" for u, i, s, d in rows)
        (folder / "interactions.csv").write_text(orders)
        (folder / "items.csv").write_text("sku,name,departments\n" + "".join(f"{item},Thing {item},Home|Garden\n" for item in (1, 2, 3)))


EXAMPLES = [
    (page, re.search(r"name: (\w+)", example).group(1), example)
    for page, text in TEXTS.items()
    for example in re.findall(r"```yaml\n(.*?)```", text, re.S)
]


@pytest.mark.parametrize(("page", "name", "example"), EXAMPLES, ids=[f"{page}-{name}" for page, name, _ in EXAMPLES])
def test_the_data_examples_read_such_data(page, name, example, tmp_path, monkeypatch):
    from score_rag.data import load
    from score_rag.pipeline.config import load_pipeline

    monkeypatch.chdir(tmp_path)
    Path(f"{name}.yaml").write_text(example, encoding="utf-8")
    pipeline = load_pipeline(f"{name}.yaml")
    settings = pipeline.data
    write_example_data(name, Path(str(settings.path)))
    world, report = load(settings, seed=pipeline.seed)
    assert report.kept["train"] and len(world.items) >= 3 and report.rows_read >= 6
    assert len(example.strip().splitlines()) <= 6, "five lines and a name"


def test_there_is_an_example_for_each_source_with_files():
    from score_rag.data import SOURCES

    told = {re.search(r"source: ([\w-]+)", text).group(1) for _, _, text in EXAMPLES}
    assert told == set(SOURCES.names()) - {"sample"}


def test_the_make_file_has_the_two_commands_and_ci_calls_one():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "make demo" in README and "make test" in README
    assert re.search(r"^demo:", makefile, re.M) and re.search(r"^test:", makefile, re.M)
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.enable_socket
def test_a_wheel_in_a_fresh_environment_finds_prompts_and_pipelines(tmp_path):
    """Built and installed without its dependencies, which are borrowed from this environment."""
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT], check=True, capture_output=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "score_rag/_shipped/prompts/predict.md" in names and "score_rag/_shipped/pipelines/sample.yaml" in names
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", wheel], check=True)
    borrowed = next(path for path in sys.path if path.endswith("site-packages"))
    code = (
        f"import sys; sys.path.append({borrowed!r}); from score_rag.cli import main; sys.argv = ['score-rag', 'prompts', 'check']; main()"
    )
    told = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.returncode == 0 and told.stdout.count("_shipped") == len(list((ROOT / "prompts").glob("*.md"))), told.stderr
