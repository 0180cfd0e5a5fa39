"""What a recommender leaves for the next rooms: vectors and neighbours, readable without torch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from score_rag.crm.interface import CollaborativeModel, VectorModel
from score_rag.crm.neighbours import neighbours
from score_rag.crm.registry import read_model
from score_rag.data.interactions import Interactions
from score_rag.data.log import Event
from score_rag.errors import RunStage, StageError
from score_rag.files import read_json, write_json
from score_rag.progress import Report, silent

__all__ = ["candidates", "read_neighbours", "read_vectors", "write_crm"]


def write_crm(model: CollaborativeModel, interactions: Interactions, folder: Path, *, neighbours_k: int, report: Report = silent) -> None:
    """Write the model, its vectors of all training users (as of the end of training), and their neighbours.

    Items' vectors are written where the model scores by them (not by DIN, whose scores no inner product gives).
    """
    from safetensors.numpy import save_file

    model.save_pretrained(folder)
    log = interactions.train_log
    users = log.users
    vectors = model.bind(log).user_vectors(users)
    model.bind(interactions.log)
    save_file({"vectors": vectors}, str(folder / "users.safetensors"))
    write_json(folder / "users.json", users)
    if isinstance(model, VectorModel):
        save_file({"vectors": model.item_vectors(), "biases": model.item_biases()}, str(folder / "items.safetensors"))
        write_json(folder / "items.json", model.item_ids)
    neighbours(vectors, users, k=neighbours_k, report=report).write_parquet(folder / "neighbours.parquet")


def read_neighbours(folder: Path) -> pl.DataFrame:
    """`user_id`, `neighbour_id`, `rank`, `similarity`."""
    return pl.read_parquet(_there(folder / "neighbours.parquet"))


def read_vectors(folder: Path, of: Literal["users", "items"]) -> tuple[list[str], dict[str, np.ndarray]]:
    """(ids, {"vectors": float32 [n, dim], for items also "biases": [n]})."""
    from safetensors.numpy import load_file

    return list(read_json(_there(folder / f"{of}.json"))), load_file(str(_there(folder / f"{of}.safetensors")))


def candidates(
    folder: Path, user_id: str | None, k: int, *, history: Sequence[Event] = (), exclude: Collection[str] = ()
) -> list[tuple[str, float]]:
    """The `k` items that the recommender likes most, best first.

    For a training user out of the written vectors, where the model scores by vectors; otherwise the model is opened and asked about the
    history. Nothing for somebody without a vector and without a history.
    """
    users, user_part = read_vectors(folder, "users")
    if user_id in users and (folder / "items.json").is_file():
        items, item_part = read_vectors(folder, "items")
        scores = item_part["vectors"] @ user_part["vectors"][users.index(user_id)] + item_part["biases"]
        order = np.argsort(-scores, kind="stable")
        return [(items[place], float(scores[place])) for place in order if items[place] not in exclude][:k]
    return read_model(folder).recommend_history(history, k, exclude=exclude) if history else []


def _there(path: Path) -> Path:
    if not path.is_file():
        raise StageError("an artefact of the recommender is missing", where=path, remedy=RunStage("crm", again=True))
    return path
