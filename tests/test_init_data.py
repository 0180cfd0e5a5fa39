"""`init --data`: from files that nobody has described to a pipeline file that suits them, or an early refusal that says what to change."""

from __future__ import annotations

import sys

import pytest
import yaml

from score_rag.cli import main, remedies
from score_rag.data.settings import DataSettings
from score_rag.errors import ChangeSetting, ConfigError, DataError, InputError
from score_rag.pipeline.config import checked, load_pipeline
from score_rag.pipeline.propose import propose
from score_rag.pipeline.sizes import SIZES, size_of


def write_club(folder, *, stars=lambda place: 1 + place % 5, day=lambda place: place, users=12, books=14):
    """Ratings and books under names of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        f"ann {user},b{book},{stars(user + book)},{1_500_000_000 + day(book) * 86_400 + user}"
        for book in range(books)
        for user in range(users)
    ]
    (folder / "ratings.csv").write_text("\n".join(["Reader,Book ID,Stars,When", *rows]) + "\n", encoding="utf-8")
    lines = [f"b{book},Book {book},{('Crime', 'Poetry')[book % 2]},{book}" for book in range(books)]
    (folder / "books.csv").write_text("\n".join(["Book ID,Title,Shelf,Pages", *lines]) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def club(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_club(tmp_path / "club")


@pytest.fixture
def typed(monkeypatch, capsys):
    def type_(*words):
        monkeypatch.setattr(sys, "argv", ["score-rag", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main()
        return int(left.value.code or 0), *capsys.readouterr()

    return type_


@pytest.mark.parametrize("given", [["ratings.csv", "books.csv"], ["books.csv", "ratings.csv"], [""]])
def test_what_is_written_reads_the_files_and_says_why(club, typed, tmp_path, given):
    code, out, err = typed("init", "--data", *(club / name for name in given))
    assert code == 0 and err == "" and "168 events of 12 users, 14 items" in out
    pipeline = load_pipeline("club")
    assert pipeline.data.path == "club", "below the home, paths are seen from there"
    assert pipeline.data.columns == {"user_id": "Reader", "item_id": "Book ID", "rating": "Stars", "timestamp": "When"}
    assert pipeline.data.item_columns["genres"] == "Shelf" and "books.csv: not used: 'Pages'" in out
    text = (tmp_path / "pipelines" / "club.yaml").read_text(encoding="utf-8")
    settings = [line for line in text.split("\ncrm:")[1].splitlines() if line.startswith("  ") and not line.lstrip().startswith("#")]
    assert all("#" in line for line in settings if not line.strip().startswith("epochs")), "each value has its reason"
    assert "with a GPU" in text and "API key" in text and "not used: 'Pages'" in text
    for command in ("data show club", "run club", "recommend --pipeline club --user 'ann 0' --top 10", "evaluate club"):
        assert f"score-rag {command}" in out
    assert typed("data", "show", "club")[0] == 0
    code, out, _ = typed("run", "club", "--until", "data")
    assert code == 0 and typed("recommend", "--pipeline", "club", "--user", "ann 0", "--item", "Book 3")[0] == 0


def test_nothing_is_overwritten_and_no_shipped_name_is_taken(club, typed, tmp_path):
    file = tmp_path / "pipelines" / "club.yaml"
    assert typed("init", "--data", club)[0] == 0
    file.write_text("mine", encoding="utf-8")
    code, _, err = typed("init", "--data", club)
    assert code == 2 and "there is a pipeline 'club' already" in err and "--force" in err and file.read_text(encoding="utf-8") == "mine"
    assert typed("init", "--data", club, "--force")[0] == 0 and file.read_text(encoding="utf-8") != "mine"
    code, _, err = typed("init", "--data", club, "--name", "sample")
    assert code == 2 and "shipped" in err and not (tmp_path / "pipelines" / "sample.yaml").exists()
    code, _, err = typed("init", "--data", club, "--name", "a/b")
    assert code == 2 and "letters and digits" in err


def test_the_home_is_where_it_goes(club, typed, tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    # The command sets both for the rest of its process.
    monkeypatch.setenv("SCORE_RAG_HOME", "")
    monkeypatch.setattr(remedies, "_program", "score-rag")
    code, out, _ = typed("--home", tmp_path / "home", "init", "--data", club)
    assert code == 0 and f"score-rag --home {tmp_path / 'home'} run club" in out
    assert yaml.safe_load((tmp_path / "home" / "pipelines" / "club.yaml").read_text())["data"]["path"] == str(club)


def test_what_cannot_be_learned_from_is_refused_with_the_setting_and_taken_with_it(tmp_path, typed, monkeypatch):
    monkeypatch.chdir(tmp_path)
    half = write_club(tmp_path / "half", stars=lambda place: 1 + place % 3 if place else 5)  # one five, the very first rating
    code, _, err = typed("init", "--data", half)
    assert code == 1 and "cannot be learned from" in err and "--set data.threshold=2" in err
    assert not (tmp_path / "pipelines").exists()
    assert typed("init", "--data", half, "--set", "data.threshold=2")[0] == 0
    assert load_pipeline("half").data.threshold == 2
    with pytest.raises(DataError, match="cannot be learned from") as caught:
        propose([write_club(tmp_path / "few", users=4, books=4)])
    assert "too few events" in str(caught.value)
    with pytest.raises(InputError, match="only settings of data"):
        propose([half], overrides=["crm.dim=8"])
    with pytest.raises(ConfigError, match="mistake"):
        propose([half], overrides=["data.treshold=2"])


def test_days_for_times_are_ordered_by_the_file_where_else_nothing_could_be_asked(tmp_path):
    assert "ties" not in yaml.safe_load(propose([write_club(tmp_path / "times")]).text)["data"]
    folder = write_club(tmp_path / "days", day=lambda book: 0, users=30)
    found = propose([folder])
    assert yaml.safe_load(found.text)["data"]["ties"] == "file-order" and any("file's order" in line for line in found.assumed)
    with pytest.raises(DataError) as caught:
        propose([folder], overrides=["data.ties=strict"])
    assert caught.value.remedy == ChangeSetting({"data.ties": "file-order"})


@pytest.mark.parametrize("size", SIZES, ids=lambda size: size.about)
def test_the_settings_of_every_size_are_settings(size, tmp_path):
    content = {"name": "x", **yaml.safe_load(size.text)}
    pipeline = checked(content, tmp_path)
    assert pipeline.data == DataSettings() and pipeline.predictor.base == "bundled"


def test_more_events_get_more_and_no_size_is_left_out():
    assert [size_of(n).about for n in (0, 19_999, 20_000, 499_999, 500_000, 10**9)] == [SIZES[n].about for n in (0, 0, 1, 1, 2, 2)]
    every = [yaml.safe_load(size.text)["documents"]["every"] for size in SIZES]
    assert every == sorted(every)


def test_without_data_init_copies_and_takes_no_settings(typed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = typed("init", "--name", "x")
    assert code == 2 and "--data FILE" in err
    assert typed("init", tmp_path / "copy")[0] == 0 and (tmp_path / "copy" / "pipelines" / "sample.yaml").is_file()
