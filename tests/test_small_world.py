"""Somebody's own small data, whole: 200 people, 300 books, about 9,000 ratings of known tastes, in their own column names."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from score_rag.evaluation.evaluate import evaluate_run
from score_rag.metrics.auc import auc
from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.runner import run
from score_rag.pipeline.stages import stages
from score_rag.recommend.recommender import open_recommender

SHOP = """
name: shop
runs: {home}/runs
data:
  source: table
  path: {home}
  columns: {{user_id: reader, item_id: book, rating: stars, timestamp: day}}
  item_columns: {{item_id: book, title: name, genres: shelf}}
crm: {{experts: [lightgcn]}}
retriever: {{tune_layers: 1, learning_rate: 0.001, epochs: 1, max_tokens: 48}}
reranker: {{layers: 1, pairs: 60, epochs: 1, max_tokens: 96}}
predictor: {{examples: 200, bundled_base: {{epochs: 2}}}}
"""


def write_shop(home: Path, *, people: int = 200, books: int = 300, ratings: int = 8980, seed: int = 4) -> np.ndarray:
    """Files of a shop; returns P(like) of everybody for everything, [people, books]."""
    generator = np.random.default_rng(seed)
    tastes, kinds = generator.normal(size=(people, 3)), generator.normal(size=(books, 3))
    quality, mood = generator.normal(size=books) * 0.5, generator.normal(size=people) * 0.5
    chance = 1 / (1 + np.exp(-(1.2 * tastes @ kinds.T + quality + mood[:, None])))
    home.mkdir(parents=True, exist_ok=True)
    shelves = ["Crime", "Poetry", "Travel", "History"]
    with (home / "items.csv").open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["book", "name", "shelf"])
        rows.writerows([f"b{book}", f"Book {book}", shelves[int(np.argmax(np.append(kinds[book], 0.4)))]] for book in range(books))
    pairs = generator.permutation(people * books)[:ratings]
    with (home / "interactions.csv").open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["reader", "book", "stars", "day"])
        for when, pair in enumerate(pairs.tolist()):
            person, book = divmod(pair, books)
            liked = generator.random() < chance[person, book]
            stars = int(generator.integers(4, 6) if liked else generator.integers(1, 4))
            rows.writerow([f"r{person}", f"b{book}", stars, 1_600_000_000 + 3600 * when])
    return chance


@pytest.mark.slow
def test_a_small_world_of_known_tastes_is_learned_and_never_worse_than_its_recommender(tmp_path):
    chance = write_shop(tmp_path)
    path = tmp_path / "shop.yaml"
    path.write_text(SHOP.format(home=tmp_path), encoding="utf-8")
    pipeline = load_pipeline(str(path))
    run(pipeline, stages(pipeline))
    card = evaluate_run(pipeline)
    rows = {row.name: row for row in card.rows}
    score, recommender = rows["SCORE"], rows["LightGCN alone (CRM)"]
    assert score.auc.value > 0.65 and score.auc.value >= recommender.auc.value - 0.01, "no worse than the recommender inside it"
    assert score.uauc.value >= recommender.uauc.value - 0.02
    mine = open_recommender(pipeline)
    # Answers differ, and in the direction of the truth, which no rating says outright.
    asked = np.random.default_rng(0).integers(0, [200, 300], (60, 2)).tolist()
    found = np.array([mine.recommend(f"r{person}", f"b{book}").probability for person, book in asked])
    truth = np.array([chance[person, book] for person, book in asked])
    assert found.std() > 0.08 and auc((truth > np.median(truth)).astype(int), found) > 0.65
    # The ten that are shown are as good as the recommender's ten.
    ours, theirs = [], []
    for person in range(0, 200, 20):
        log = mine.run.histories.log.before(f"r{person}", None)
        own = mine.run.crm.recommend(f"r{person}", 10, exclude={event.item_id for event in log})
        theirs += [chance[person, int(item[1:])] for item, _ in own]
        ours += [chance[person, int(one.item.item_id[1:])] for one in mine.top(f"r{person}", 10)]
    assert np.mean(ours) >= np.mean(theirs) - 0.02 and np.mean(ours) > np.mean(chance) + 0.1
    assert pl.read_parquet(Path(pipeline.runs) / "shop" / "data" / "events.parquet").height > 8000
