"""From somebody's own CSV to ten recommendations, with what `init` chooses: 200 people, 300 books, known tastes."""

from __future__ import annotations

import csv
import datetime
import json
import re
import shlex
import sys
import time

import numpy as np
import pytest

from score_rag.cli import main

PEOPLE, BOOKS, RATINGS = 200, 300, 8980


def write_club(folder, seed=4):
    """Half-star ratings with dates, and books; returns how much everybody likes everything, [people, books]."""
    generator = np.random.default_rng(seed)
    tastes, kinds = generator.normal(size=(PEOPLE, 3)), generator.normal(size=(BOOKS, 3))
    liking = 1.2 * tastes @ kinds.T + generator.normal(size=BOOKS) * 0.5 + generator.normal(size=(PEOPLE, 1)) * 0.5
    shelves = ["Crime", "Poetry", "Travel", "History"]
    folder.mkdir(parents=True)
    with (folder / "books.csv").open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["Book ID", "Title", "Shelf", "Author"])
        for book in range(BOOKS):
            rows.writerow([f"b{book}", f"Book {book}", shelves[int(np.argmax(np.append(kinds[book], 0.4)))], f"Author {book % 40}"])
    with (folder / "ratings.csv").open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["Reader", "Book ID", "Stars", "Date"])
        for when, pair in enumerate(generator.permutation(PEOPLE * BOOKS)[:RATINGS].tolist()):
            person, book = divmod(pair, BOOKS)
            stars = np.clip(np.round((3.2 + 0.9 * liking[person, book] + generator.normal() * 0.7) * 2) / 2, 0.5, 5)
            rows.writerow([f"r{person}", f"b{book}", stars, (datetime.date(2019, 1, 1) + datetime.timedelta(days=when // 8)).isoformat()])
    return liking


@pytest.mark.slow
def test_from_a_csv_to_ten_recommendations_that_hit_the_taste(tmp_path, monkeypatch, capsys):
    liking = write_club(tmp_path / "club")
    monkeypatch.chdir(tmp_path)

    def typed(line):
        monkeypatch.setattr(sys, "argv", shlex.split(line))
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        assert int(left.value.code or 0) == 0, err
        return out, err

    def tops():
        """The ten for every twentieth reader: who answered, and how much they like each."""
        routes, likes = set(), []
        for person in range(0, PEOPLE, 20):
            found = json.loads(typed(f"score-rag recommend --pipeline club --user r{person} --top 10 --json")[0])
            assert len(found) == 10
            routes |= {one["route"] for one in found}
            likes += [liking[person, int(one["item"]["item_id"][1:])] for one in found]
        return routes, np.array(likes)

    out, _ = typed("score-rag init --data club/ratings.csv club/books.csv")
    commands = [line.split("  # ")[0].strip() for line in out.splitlines() if line.startswith("  score-rag ")]
    assert [command.split()[1] for command in commands] == ["data", "run", "recommend", "evaluate"]
    typed(commands[0])
    began = time.process_time()
    _, err = typed("score-rag run club --until data")
    out, _ = typed(commands[2])
    assert time.process_time() - began < 60 and "alone answered" in out and "first answers" in err, "a first answer within a minute"
    routes, first = tops()
    assert routes == {"recommender-alone"} and first.mean() > liking.mean() + 0.5, "even the first answer hits the taste"
    typed("score-rag run club --until crm")
    routes, alone = tops()
    assert routes == {"recommender-alone"}
    _, err = typed(commands[1])
    assert re.search(r"now: score-rag recommend --pipeline club --user r\d+ --top 10", err)
    routes, whole = tops()
    assert routes in ({"predictor"}, {"recommender"})
    liked = liking > np.quantile(liking, 0.6)  # about as many as are rated 4 and more
    level = float(liking[liked].min())
    assert (whole >= level).mean() >= (alone >= level).mean() and (alone >= level).mean() > 0.7
    card = json.loads(typed(f"{commands[3]} --json")[0])
    rows = {row["name"]: row for row in card["rows"]}
    assert rows["SCORE"]["auc"]["value"] > 0.8
