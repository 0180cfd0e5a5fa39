"""What the tests of index share."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from score_rag.documents.versions import DOCUMENT_COLUMNS, FOREVER
from score_rag.index.writer import build_index
from score_rag.testing import WordEncoder

TASTES = ("Heat Ronin Casino", "Grease Cabaret Chicago", "Alien Predator Tremors", "Amelie Delicatessen Leon")


def people(count: int, *, extra: str = "") -> dict[str, str]:
    return {str(n): f"Liked: {TASTES[n % 4]} film{n} film{n * 7 % 10}.{extra}" for n in range(count)}


def history(count: int, *, seed: int = 0) -> pl.DataFrame:
    """Users with one to four versions each, at moments of a small clock, so that many are equal."""
    generator = np.random.default_rng(seed)
    rows = []
    for user in range(count):
        times = np.sort(generator.choice(40, generator.integers(1, 5), replace=False)).tolist()
        for version, known in enumerate(times):
            superseded = times[version + 1] if version + 1 < len(times) else FOREVER
            rows.append((f"{user}@{version}", str(user), f"{TASTES[user % 4]} film{version} user{user}", version, known, superseded))
    return pl.DataFrame(rows, schema=DOCUMENT_COLUMNS, orient="row")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """An index of 40 users with versions, in Chroma."""
    folder = tmp_path_factory.mktemp("built") / "index"
    build_index(history(40), WordEncoder(), folder)
    return folder
