"""What the benchmarks of the retriever share: data, teacher and encoders as a pipeline file says, and held-out users who ask."""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from transformers.utils import logging

from score_rag.crm.interface import CollaborativeModel
from score_rag.crm.neighbours import neighbours
from score_rag.crm.registry import model_class
from score_rag.data.interactions import Interactions
from score_rag.encoders.encoder import TextEncoder, find_encoder
from score_rag.metrics.bootstrap import Interval
from score_rag.metrics.neighbours import agreement, coherence, mean, nearest_users, ratio, taste_profiles
from score_rag.metrics.ranking import ndcg_and_recall
from score_rag.pipeline.config import Pipeline, load_pipeline, pipeline_names
from score_rag.progress import silent
from score_rag.retriever.examples import newest_texts
from score_rag.retriever.train import train_encoder

K = 10


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Options that say which data, which settings, and who is held out."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder of the data, or 'sample'")
    parser.add_argument("--pipeline", help="whose settings; by default the shipped pipeline called like the folder, else the defaults")
    parser.add_argument("--source", help="how the folder is read, where the pipeline does not say so: movielens, table, ...")
    parser.add_argument("--max-users", type=int, help="a slice, for a quick look")
    parser.add_argument("--set", nargs="*", default=[], help="settings, e.g. retriever.epochs=4")
    parser.add_argument("--held", type=float, default=0.2, help="share of users kept out of contrastive training")
    return parser


def open_pipeline(given: argparse.Namespace) -> Pipeline:
    """The pipeline whose settings hold, with the data's folder and what was set beside."""
    folder = Path(given.data)
    known = folder.name in pipeline_names()
    name = given.pipeline or (folder.name if known else "ml-1m-collm")
    places = ["data.split=quantiles", "documents.every=16"] if not (known or given.pipeline) else []
    places += [] if given.data == "sample" else [f"data.path={folder}"]
    places += [f"data.source={given.source}"] if given.source else []
    places += [f"data.max_users={given.max_users}"] if given.max_users else []
    return load_pipeline(name, overrides=[*places, *given.set])


@dataclass(frozen=True)
class Teacher:
    """A fitted recommender and its vectors of users, as of the end of training."""

    model: CollaborativeModel
    users: list[str]
    vectors: np.ndarray

    @classmethod
    def fit(cls, pipeline: Pipeline, data: Interactions, *, seed: int | None = None) -> Teacher:
        settings = pipeline.crm
        model = model_class(settings.model)(settings.own(), history=pipeline.data.history)
        model.fit(data, settings, seed=pipeline.seed if seed is None else seed)
        users = data.train_log.users
        return cls(model, users, model.bind(data.train_log).user_vectors(users))

    def rows(self, users: list[str]) -> np.ndarray:
        """float32 [users, dim]; zeros for somebody of whom nothing is known."""
        place = {user: number for number, user in enumerate(self.users)}
        out = np.zeros((len(users), self.vectors.shape[1]), dtype=np.float32)
        for number, user in enumerate(users):
            if user in place:
                out[number] = self.vectors[place[user]]
        return out


def crm_scores(vectors: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Inner products [asked, users]; somebody of whom nothing is known (zeros) is found by nobody."""
    scores = vectors[asked] @ vectors.T
    scores[:, ~vectors.any(axis=1)] = -np.inf
    return scores


def tune(
    pipeline: Pipeline, documents: pl.DataFrame, teacher: Teacher, users: set[str], *, report: Any = silent, **changed: Any
) -> TextEncoder:
    """CAR, learned from these users alone: nobody else's document, vector or neighbourhood is seen. 0 epochs: the base as it is."""
    logging.disable_progress_bar()
    chosen = [user for user in teacher.users if user in users]
    vectors = teacher.rows(chosen)
    settings = pipeline.retriever.changed(**changed)
    with tempfile.TemporaryDirectory() as scratch:
        metrics = train_encoder(
            find_encoder(pipeline.retriever.encoder),
            documents.filter(pl.col("user_id").is_in(chosen)),
            neighbours(vectors, chosen, k=pipeline.crm.neighbours),
            Path(scratch) / "encoder",
            settings,
            user_vectors=(chosen, vectors) if settings.hard_negatives else None,
            seed=pipeline.seed,
            report=report,
        )
        if metrics.get("steps"):
            print(f"  {metrics['users']:,} users, {metrics['steps']:,} steps, best epoch {metrics.get('best_epoch')}", flush=True)
        return TextEncoder.from_pretrained(Path(scratch) / "encoder")


@dataclass(frozen=True)
class Found:
    """Who was retrieved for each who asks, and how good that is: one value an asking user, or two that are summed."""

    recall: np.ndarray
    ndcg: np.ndarray
    recall_ten: np.ndarray
    ndcg_ten: np.ndarray
    genres: np.ndarray
    words: np.ndarray
    came: np.ndarray
    expected: np.ndarray

    def cells(self) -> list[str]:
        values = (self.recall, self.ndcg, self.recall_ten, self.ndcg_ten, self.genres, self.words)
        return [said(mean(value)) for value in values] + [said(ratio(self.came, self.expected), places=2)]


@dataclass(frozen=True)
class Asking:
    """Held-out users who ask for the most similar among all users' newest documents.

    Attributes:
        data: The data, everybody in it.
        documents: Of everybody.
        teacher: Its nearest users are the truth: the first Kc (N(u), what CAR learns), and, less noisily, the first ten.
        held: Who asks, where the teacher knows them.
        kc: Size of N(u).
        later: Splits whose likes agreement reads.
    """

    data: Interactions
    documents: pl.DataFrame
    teacher: Teacher
    held: set[str]
    kc: int
    later: tuple[str, ...] = ("valid",)
    texts: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "texts", newest_texts(self.documents))

    @cached_property
    def users(self) -> list[str]:
        return list(self.texts)

    @cached_property
    def vectors(self) -> np.ndarray:
        return self.teacher.rows(self.users)

    @cached_property
    def asked(self) -> np.ndarray:
        there = self.vectors.any(axis=1)
        return np.array([place for place, user in enumerate(self.users) if user in self.held and there[place]], dtype=np.int64)

    @cached_property
    def truth(self) -> np.ndarray:
        return nearest_users(crm_scores(self.vectors, self.asked), self.asked, K)

    @cached_property
    def later_likes(self) -> list[set[str]]:
        """What each who asks went on to like, of what they had not judged before."""
        likes: dict[str, set[str]] = {}
        for split in self.later:
            for event in self.data.rows(split):
                if event.liked and not event.sampled:
                    likes.setdefault(event.user_id, set()).add(event.item_id)
        names = [self.users[place] for place in self.asked]
        return [likes.get(user, set()) - {event.item_id for event in self.data.train_log.of(user)} for user in names]

    @cached_property
    def _likes(self) -> list[set[int]]:
        log = self.data.train_log
        return [{self._item[event.item_id] for event in log.of(user) if event.liked} for user in self.users]

    @cached_property
    def _item(self) -> dict[str, int]:
        return {item_id: place for place, item_id in enumerate(self.data.catalogue)}

    @cached_property
    def _profiles(self) -> list[np.ndarray]:
        log, catalogue = self.data.train_log, self.data.catalogue
        return [taste_profiles(log, self.users, catalogue, traits) for traits in (["genres"], ["creators", "keywords"])]

    def encoded(self, encoder: TextEncoder) -> np.ndarray:
        """Cosines [asked, users] of the newest documents."""
        vectors = encoder.encode([self.texts[user] for user in self.users])
        return vectors[self.asked] @ vectors.T

    def bm25(self) -> np.ndarray:
        """BM25 [asked, users]: the asking user's document is the query, word by word."""
        import bm25s

        words = bm25s.tokenize([self.texts[user] for user in self.users], stopwords="en", return_ids=False, show_progress=False)
        index = bm25s.BM25()
        index.index(words, show_progress=False)
        return np.stack([index.get_scores(words[place]) for place in self.asked])

    def measure(self, scores: np.ndarray) -> Found:
        """All measures of what these scores [asked, users] retrieve."""
        found = nearest_users(scores, self.asked, K)
        few, ten = (ndcg_and_recall(list(found), list(self.truth[:, :count]), K) for count in (self.kc, K))
        later = [{self._item[item] for item in items} for items in self.later_likes]
        came, expected = agreement(self._likes, later, found)
        genres, words = (
            coherence(profiles, self.asked, found) if profiles.shape[1] else np.full(len(found), np.nan) for profiles in self._profiles
        )
        return Found(few.recall, few.ndcg, ten.recall, ten.ndcg, genres, words, came, expected)


def some_users(users: list[str], share: float, seed: int) -> set[str]:
    """A share of the users, drawn by the seed."""
    drawn = np.random.default_rng(seed).choice(len(users), round(share * len(users)), replace=False)
    return {users[place] for place in drawn}


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Tell how long something took."""
    started = time.perf_counter()
    yield
    print(f"{what}: {time.perf_counter() - started:.0f} s", flush=True)


def said(found: Interval, *, places: int = 3) -> str:
    """A value with its interval, in a cell."""
    if np.isnan(found.value):
        return "-"
    value, low, high = (re.sub(r"^(-?)0\.", r"\1.", f"{number:.{places}f}") for number in vars(found).values())
    return f"{value} ({low} to {high})"
