"""The bundled sample: 500 real films (facts: title, year, genres, director, keywords), judged by 600 SIMULATED users.

Nobody real is in it. The simulation, from one seed:

- A film has visible traits (genres, decade, director, keywords: what `films.csv` says) and three hidden ones that no column records
  (think of mood, pace, irony); films of a director share a part of the hidden ones. It also has a quality of its own, and a popularity.
- A user belongs to one of six communities of taste and deviates a little from its centre; tastes weigh visible and hidden traits about
  equally, and drift slowly over the three years. Users differ in generosity.
- What a user watches depends on popularity and on how the film meets the taste; what is thought of it is the taste's answer plus noise,
  as a rating from 1 to 5.

The hidden half is why other users matter here: no text says it, only the judgements of people with a like taste do. That is built in on
purpose, as it is in real ratings by nature; what this sample cannot show is how large that share is in reality.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from score_rag.data.interactions import Interactions
from score_rag.data.report import DataReport
from score_rag.progress import Report, silent

__all__ = ["FILMS", "read_films", "read_sample", "sample_files", "simulate"]

FILMS = Path(__file__).with_name("films.csv")

_HIDDEN = 3
_COMMUNITIES = 6
_START = 1_577_836_800  # 2020-01-01 00:00:00 UTC
_SPAN = 3 * 365 * 86_400


def read_films() -> pl.DataFrame:
    """The catalogue: `item_id`, `title`, `year`, `genres`, `creators`, `keywords`."""
    films = pl.read_csv(FILMS, schema_overrides={"item_id": pl.String()})
    return films.select(
        "item_id",
        "title",
        pl.col("year").cast(pl.Int32),
        pl.col("genres").str.split("|"),
        pl.concat_list("director").alias("creators"),
        pl.col("keywords").str.split("|"),
    )


def read_sample(folder: None = None, *, report: DataReport, seed: int = 0, progress: Report = silent) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The sample as a source says it: (events, items)."""
    world = simulate(seed, progress=progress)
    report.rows_read += len(world.events)
    return world.events.select("user_id", "item_id", "label", "timestamp"), world.items


def sample_files(folder: None = None) -> list[Path]:
    """What the sample is made from."""
    return [FILMS]


def simulate(seed: int = 0, *, users: int = 600, events: int = 50, progress: Report = silent) -> Interactions:
    """The sample world.

    Args:
        seed: Another seed, another world; the catalogue stays.
        users: Ids "1" to this number.
        events: Mean number of judgements a user (at least 20 each; user 42 has at least 40).

    Returns:
        Interactions, not yet split; liked means rated 4 or 5.
    """
    return Interactions(*_world(seed, users, events, progress)[:2])


def _world(seed: int, users: int, events: int, progress: Report = silent) -> tuple[pl.DataFrame, pl.DataFrame, np.ndarray]:
    """(events, items, true probability of liking for each event); the last is what the best possible scorer would know."""
    generator = np.random.default_rng(seed)
    films = read_films()
    visible = _traits(films)
    hidden = _hidden_traits(films["creators"].list.first().to_list(), generator)
    quality = generator.normal(0.0, 0.4, len(films))
    popularity = generator.permutation(np.arange(1, len(films) + 1) ** -0.9)

    # Both halves are scaled to the same spread over films, whatever the number of traits behind them.
    community = generator.integers(0, _COMMUNITIES, users)
    taste_visible = _tastes(community, visible.shape[1], generator)
    taste_hidden = _tastes(community, _HIDDEN, generator)
    drift_visible, drift_hidden = (generator.normal(0.0, 0.25, taste.shape) for taste in (taste_visible, taste_hidden))
    generous = generator.normal(0.15, 0.5, users)

    rows: list[tuple[str, str, int, int, float]] = []
    for user in range(users):
        count = max(20, int(generator.gamma(4.0, events / 4.0)))
        count = min(max(count, 40) if user + 1 == 42 else count, 160)
        times = np.sort(generator.choice(_SPAN, count, replace=False))
        seen = np.zeros(len(films), dtype=bool)
        for time in times:
            late = time / _SPAN
            liking = _unit(visible @ (taste_visible[user] + late * drift_visible[user])) + _unit(
                hidden @ (taste_hidden[user] + late * drift_hidden[user])
            )
            chance = np.where(seen, 0.0, popularity * np.exp(0.35 * liking))
            film = int(generator.choice(len(films), p=chance / chance.sum()))
            seen[film] = True
            logit = 1.8 * liking[film] + quality[film] + generous[user] - 0.35
            true = 1.0 / (1.0 + np.exp(-logit))
            liked = generator.random() < true
            rating = int(generator.integers(4, 6)) if liked else int(generator.integers(1, 4))
            rows.append((str(user + 1), films["item_id"][film], rating, _START + int(time), float(true)))
        if user % 50 == 49 or user + 1 == users:
            progress("simulating users", user + 1, users)
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "rating", "timestamp", "true"], orient="row")
    frame = frame.sort("timestamp", maintain_order=True).with_columns(label=(pl.col("rating") >= 4).cast(pl.Int8))
    return frame.drop("true"), films, frame["true"].to_numpy()


def _traits(films: pl.DataFrame) -> np.ndarray:
    """[films, traits]: what the catalogue says, one column a genre, decade, repeated director, repeated keyword; rows of unit length."""
    told: list[Sequence[str]] = [
        [*(f"genre {g}" for g in genres), f"decade {year // 10}", f"by {creators[0]}", *(f"about {word}" for word in keywords)]
        for year, genres, creators, keywords in films.select("year", "genres", "creators", "keywords").iter_rows()
    ]
    names = sorted({name for row in told for name in row})
    place = {name: column for column, name in enumerate(names)}
    weight = {"genre": 1.0, "decade": 0.6, "by": 0.4, "about": 0.4}
    matrix = np.zeros((len(told), len(names)))
    for row, words in enumerate(told):
        for word in words:
            matrix[row, place[word]] = weight[word.split(" ")[0]]
    matrix = matrix[:, (matrix > 0).sum(axis=0) > 1]
    unit: np.ndarray = matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-9)
    return unit


def _hidden_traits(directors: Sequence[str], generator: np.random.Generator) -> np.ndarray:
    """[films, 3]: drawn for the film, and in a part for its director."""
    names = sorted(set(directors))
    own = dict(zip(names, generator.normal(0.0, 1.0, (len(names), _HIDDEN)), strict=True))
    return np.array([0.5 * own[name] for name in directors]) + generator.normal(0.0, 0.87, (len(directors), _HIDDEN))


def _tastes(community: np.ndarray, traits: int, generator: np.random.Generator) -> np.ndarray:
    """[users, traits]: the centre of the user's community, and a personal deviation."""
    centres = generator.normal(0.0, 1.0, (_COMMUNITIES, traits))
    tastes: np.ndarray = centres[community] + generator.normal(0.0, 0.2, (len(community), traits))
    return tastes


def _unit(values: np.ndarray) -> np.ndarray:
    """Centred, with spread 1 over films."""
    centred: np.ndarray = values - values.mean()
    return centred / max(float(centred.std()), 1e-9)
