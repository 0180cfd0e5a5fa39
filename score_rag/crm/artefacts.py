"""What a recommender leaves for the next rooms: vectors and neighbours, readable without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import polars as pl

from score_rag.crm.interface import CollaborativeModel, VectorModel
from score_rag.crm.neighbours import neighbours
from score_rag.data.interactions import Interactions
from score_rag.errors import RunStage, StageError
from score_rag.files import read_json, share, write_json
from score_rag.progress import Report, silent

__all__ = ["CrmVectors", "read_crm_vectors", "read_neighbours", "read_vectors", "write_crm"]


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
    share(folder / "users.safetensors")
    write_json(folder / "users.json", users)
    if isinstance(model, VectorModel):
        save_file({"vectors": model.item_vectors(), "biases": model.item_biases()}, str(folder / "items.safetensors"))
        share(folder / "items.safetensors")
        write_json(folder / "items.json", model.item_ids)
    neighbours(vectors, users, k=neighbours_k, report=report).write_parquet(folder / "neighbours.parquet")


def read_neighbours(folder: Path) -> pl.DataFrame:
    """`user_id`, `neighbour_id`, `rank`, `similarity`."""
    return pl.read_parquet(_there(folder / "neighbours.parquet"))


def read_vectors(folder: Path, of: Literal["users", "items"]) -> tuple[list[str], dict[str, np.ndarray]]:
    """(ids, {"vectors": float32 [n, dim], for items also "biases": [n]})."""
    from safetensors.numpy import load_file

    return list(read_json(_there(folder / f"{of}.json"))), load_file(str(_there(folder / f"{of}.safetensors")))


class CrmVectors(NamedTuple):
    """A conventional recommender whose score is an inner product: user's vector · item's vector + item's bias.

    Attributes:
        place_of: Rows of `users`, by the ids of the training users.
        users: float32 [users, dim], as of the end of training.
        item_ids: Ids of the rows of `items`.
        items: float32 [items, dim].
        biases: float32 [items].
    """

    place_of: Mapping[str, int]
    users: np.ndarray
    item_ids: Sequence[str]
    items: np.ndarray
    biases: np.ndarray


def read_crm_vectors(folder: Path) -> CrmVectors | None:
    """What the stage wrote; None where the recommender scores by no vectors (DIN)."""
    if not (folder / "items.json").is_file():
        return None
    users, of_users = read_vectors(folder, "users")
    items, of_items = read_vectors(folder, "items")
    places = {user: place for place, user in enumerate(users)}
    return CrmVectors(places, of_users["vectors"], items, of_items["vectors"], of_items["biases"])


def _there(path: Path) -> Path:
    if not path.is_file():
        raise StageError("an artefact of the recommender is missing", where=path, remedy=RunStage("crm", again=True))
    return path
