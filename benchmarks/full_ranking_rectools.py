"""RecTools' SASRec on the rows that `full_ranking.py` wrote; runs in the environment that it makes, not by itself."""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import Callback, Trainer, seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel

warnings.filterwarnings("ignore")


def dataset(rows: pd.DataFrame) -> Dataset:
    """Rows as they read them."""
    return Dataset.construct(rows.assign(weight=1.0).rename(columns={"timestamp": Columns.Datetime}))


def ndcg(top: dict[str, list[str]], wanted: dict[str, str]) -> float:
    """NDCG@10 with one right item a user."""
    found = [top.get(user, []).index(item) if item in top.get(user, []) else None for user, item in wanted.items()]
    return float(np.mean([0.0 if place is None else 1 / np.log2(place + 2) for place in found]))


def top_ten(model: SASRecModel, users: list[str], rows: pd.DataFrame) -> dict[str, list[str]]:
    """Ten items for each user, without those in `rows`."""
    known = rows[rows.user_id.isin(users)]
    found = model.recommend(list(known.user_id.unique()), dataset(rows), k=10, filter_viewed=True)
    return found.sort_values(["user_id", "rank"]).groupby("user_id").item_id.apply(list).to_dict()


def main() -> None:
    scratch = Path(sys.argv[1])
    settings = json.loads((scratch / "settings.json").read_text())
    rows = pd.read_csv(scratch / "rows.csv", dtype={"user_id": str, "item_id": str})
    # Their sequences are sorted by time alone; the event's number keeps the order within a second.
    rows["timestamp"] = pd.Timestamp("2000-01-01") + pd.to_timedelta(rows.event, unit="s")
    train, valid, test = (rows[rows.split == name] for name in ("train", "valid", "test"))
    seed_everything(17, verbose=False)
    seconds: list[float] = []
    states: list[dict] = []

    class Keep(Callback):
        def on_train_start(self, trainer: Trainer, module: torch.nn.Module) -> None:
            self.started, self.paused = time.perf_counter(), 0.0

        def on_train_epoch_end(self, trainer: Trainer, module: torch.nn.Module) -> None:
            now = time.perf_counter()
            seconds.append(now - self.started - self.paused)
            states.append({name: tensor.detach().clone() for name, tensor in module.torch_model.state_dict().items()})
            self.paused += time.perf_counter() - now

    def trainer() -> Trainer:
        return Trainer(
            max_epochs=settings["epochs"],
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            callbacks=[Keep()],
        )

    model = SASRecModel(**settings, get_trainer_func=trainer, recommend_torch_device="cpu")
    model.fit(dataset(train[["user_id", "item_id", "timestamp"]]))
    columns = ["user_id", "item_id", "timestamp"]
    wanted = dict(valid[["user_id", "item_id"]].itertuples(index=False))
    values = []
    for state in states:
        model.lightning_model.torch_model.load_state_dict(state)
        values.append(ndcg(top_ten(model, list(wanted), train[columns]), wanted))
    best = int(np.argmax(values))
    model.lightning_model.torch_model.load_state_dict(states[best])
    top = top_ten(model, list(test.user_id), pd.concat([train, valid])[columns])
    (scratch / "result.json").write_text(json.dumps({"seconds": seconds, "valid_ndcg": values, "best": best, "top": top}))


if __name__ == "__main__":
    main()
