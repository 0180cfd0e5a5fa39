"""What a trained recommender leaves for the next rooms: vectors and neighbours, readable without torch."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from score_rag.crm.neighbours import neighbours
from score_rag.crm.sasrec import SASRec
from score_rag.data.interactions import Interactions
from score_rag.errors import StageError
from score_rag.files import read_json, write_json

__all__ = ["candidates", "read_neighbours", "read_vectors", "write_crm"]


def write_crm(model: SASRec, interactions: Interactions, folder: Path, *, neighbours_k: int) -> None:
    """Write the model, its vectors of all training users (as of the end of training) and items, and the users' neighbours."""
    from safetensors.numpy import save_file

    model.save_pretrained(folder)
    log = interactions.train_log
    users = log.users
    vectors = model.user_vectors([log.of(user) for user in users])
    save_file({"vectors": vectors}, str(folder / "users.safetensors"))
    save_file({"vectors": model.item_vectors(), "biases": model.item_biases()}, str(folder / "items.safetensors"))
    write_json(folder / "users.json", users)
    write_json(folder / "items.json", model.item_ids)
    neighbours(vectors, users, k=neighbours_k).write_parquet(folder / "neighbours.parquet")


def read_neighbours(folder: Path) -> pl.DataFrame:
    """`user_id`, `neighbour_id`, `rank`, `similarity`."""
    return pl.read_parquet(_there(folder / "neighbours.parquet"))


def read_vectors(folder: Path, of: Literal["users", "items"]) -> tuple[list[str], dict[str, np.ndarray]]:
    """(ids, {"vectors": float32 [n, dim], for items also "biases": [n]})."""
    from safetensors.numpy import load_file

    return list(read_json(_there(folder / f"{of}.json"))), load_file(str(_there(folder / f"{of}.safetensors")))


def candidates(folder: Path, user_id: str, k: int, *, exclude: Collection[str] = ()) -> list[tuple[str, float]]:
    """The `k` items that the recommender likes most for a training user, best first; none for somebody it has no vector of."""
    users, user_part = read_vectors(folder, "users")
    items, item_part = read_vectors(folder, "items")
    if user_id not in users:
        return []
    scores = item_part["vectors"] @ user_part["vectors"][users.index(user_id)] + item_part["biases"]
    order = np.argsort(-scores, kind="stable")
    return [(items[place], float(scores[place])) for place in order if items[place] not in exclude][:k]


def _there(path: Path) -> Path:
    if not path.is_file():
        raise StageError("an artefact of the recommender is missing", where=path, hint="score-rag run PIPELINE --only crm --force")
    return path
