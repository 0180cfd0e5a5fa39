"""Stages on many events, for `scale.py`: each prints processor time, and the most memory of the process until then."""

from __future__ import annotations

import resource
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

__all__ = ["crm", "documents", "expectations", "floor", "index", "item_knn", "lightgcn", "predictor", "sasrec"]

EXPERTS = ("item-knn", "like-rate")
PROMPT = """---
description: What needs no encoder.
variables:
  mood: how often the user likes items
  everyone: how often everybody likes this item
  alike: what the user thought of items that are liked by the same people
  expectation: what each conventional recommender expects, by name, and all of them together
  target: the item in question
---
{{ target.name }}
mood {{ mood.level }}
everyone {{ everyone.level }}
alike {{ alike.level }}
expected {{ expectation.values() | map(attribute="level") | join(" ") }}:
"""
FLOOR: list[float] = []
"""Seconds of the floor, once they are measured."""
STEPS = {"lightgcn": 3, "sasrec": 100}
"""Steps that are timed: an epoch is told from them."""


def floor(folder: Path) -> None:
    """What the others are a ratio to."""
    pl.read_parquet(folder / "events.parquet", n_rows=1000)
    started = time.process_time()
    pl.read_parquet(folder / "events.parquet")
    seconds = time.process_time() - started
    (folder / "floor").write_text(str(seconds), encoding="utf-8")
    tell("read the Parquet once (floor)", seconds)


def documents(folder: Path) -> None:
    """The documents stage: behaviour told to a file, by the shipped prompt."""
    from score_rag.data.interactions import Interactions
    from score_rag.documents.describer import Describer
    from score_rag.documents.versions import write_documents
    from score_rag.prompts import find_prompt

    data = Interactions.read(folder)
    describer = Describer(find_prompt("describe_user"), data.catalogue)
    _ = data.log, data.train_log
    tell(f"before telling {len(data.train_log):,} users", 0.0)
    started = time.process_time()
    write_documents(folder / "documents.parquet", data.train_log, describer)
    seconds = time.process_time() - started
    count = pl.scan_parquet(folder / "documents.parquet").select(pl.len()).collect().item()
    tell(f"{count:,} documents", seconds)


def index(folder: Path) -> None:
    """The index of those documents, by the bundled encoder's tokenizer and, in its network's place, random numbers: what is held, not
    what a network takes."""
    from score_rag.encoders.encoder import find_encoder
    from score_rag.index.writer import build_index
    from score_rag.inference.onnx import TextTokenizer, each_once
    from score_rag.progress import silent

    tokenizer = TextTokenizer(find_encoder("bundled"), max_tokens=128)

    class Encoder:
        fingerprint = "random numbers"

        def encode(self, texts: list[str], *, report: Any = silent) -> np.ndarray:
            return each_once(texts, tokenizer, numbers, shape=(384,), report=report)

    def numbers(inputs: dict[str, np.ndarray]) -> np.ndarray:
        return np.random.default_rng(0).standard_normal((len(inputs["input_ids"]), 384), dtype=np.float32)

    frame = pl.read_parquet(folder / "documents.parquet")
    tell(f"before an index of {len(frame):,} documents", 0.0)
    started = time.process_time()
    written = build_index(frame, Encoder(), folder / "index", store="exact")  # type: ignore[arg-type]
    tell(f"{written.embedded:,} texts, tokenized and written", time.process_time() - started)


def crm(folder: Path) -> None:
    """What the crm stage writes of a recommender: users' vectors by a network that was not trained (which costs the same), neighbours by
    these vectors."""
    from score_rag.crm.artefacts import write_crm
    from score_rag.crm.content import content_of
    from score_rag.crm.sasrec import SASRec
    from score_rag.data.interactions import Interactions

    data = Interactions.read(folder)
    model = SASRec()
    model._know(list(data.catalogue))
    model._content = content_of(data.catalogue.values())[:, :0]
    model._network = model._build(np.zeros((len(model.item_ids) + 1, 2), dtype=np.float32), 0).eval()
    users = data.train_log.users
    model.bind(data.train_log)
    tell(f"before {len(users):,} users", 0.0)
    started = time.process_time()
    vectors = model.user_vectors(users)
    tell("their vectors", time.process_time() - started)
    model.user_vectors = lambda user_ids: vectors  # type: ignore[assignment,misc]
    started = time.process_time()
    write_crm(model, data, folder / "crm", neighbours_k=5)
    tell("neighbours, and files", time.process_time() - started)


def item_knn(folder: Path) -> None:
    """Item-kNN, fitted, and asked."""
    from score_rag.context.examples import sample_events
    from score_rag.crm.item_item import ItemKNN
    from score_rag.data.interactions import Interactions

    data = Interactions.read(folder)
    events = sample_events(data, "test", 1000, seed=0)
    tell("before item-kNN", 0.0)
    started = time.process_time()
    model = ItemKNN().fit(data)
    tell(f"item-kNN of {len(model._warm):,} items", time.process_time() - started)
    started = time.process_time()
    model.score_events(events)
    tell("1,000 judgements scored", time.process_time() - started)


def expectations(folder: Path) -> None:
    """What two recommenders of earlier blocks expect of a million training events, and the questions that are drawn among them."""
    from score_rag.context.examples import sample_events
    from score_rag.crm.expectations import EXPECTATION_COLUMNS, Expected
    from score_rag.crm.experts import fit_experts, read_expectations
    from score_rag.crm.registry import make_model
    from score_rag.data.interactions import Interactions

    data = Interactions.read(folder)
    _ = data.log, data.train_log
    tell("before expectations", 0.0)
    make_model("like-rate").fit(data).save_pretrained(folder / "crm")
    started = time.process_time()
    fit_experts(EXPERTS, lambda name, world, final: make_model(name).fit(world), data, folder / "crm", most=1_000_000)  # type: ignore[return-value]
    tell("two, fitted six times, a million asked about", time.process_time() - started)
    started = time.process_time()
    frame = read_expectations(folder / "crm")
    expected = Expected(frame, EXPERTS)
    tell("opened", time.process_time() - started)
    started = time.process_time()
    events = sample_events(data, "train", 1_000_000, seed=0, among=frame.select(EXPECTATION_COLUMNS))
    tell(f"{len(events):,} questions drawn", time.process_time() - started)
    started = time.process_time()
    expected.rows([(event.user_id, event.item_id, event.timestamp) for event in events[:100_000]])
    tell("expectations of 100,000 found", time.process_time() - started)


def predictor(folder: Path) -> None:
    """The predictor stage after `expectations`, of what needs no encoder: evidence and levels of a million questions, a bundled Llama of
    2,000 of them, LoRA on 500, calibration."""
    from score_rag.data.interactions import Interactions
    from score_rag.pipeline.config import load_pipeline
    from score_rag.pipeline.fit_predictor import fit_from_run
    from score_rag.pipeline.run import Run
    from score_rag.prompts import read_prompt

    (folder / "told.md").write_text(PROMPT, encoding="utf-8")
    small = ["bundled_base.examples=2000", "bundled_base.epochs=1", "examples=500", "valid_examples=500"]
    pipeline = load_pipeline("sample", overrides=[f"predictor.{one}" for one in small])
    run = Run(pipeline, lambda stage: folder / stage if stage == "crm" else folder, predict_prompt=read_prompt(folder / "told.md"))
    # Nobody is found for these questions.
    run.__dict__.update(interactions=Interactions.read(folder), **dict.fromkeys(("describer", "encoder", "index", "judges", "scorer")))
    run.__dict__["bulk_finder"] = run.make_finder(None)
    _ = run.histories.log
    tell("before the predictor", 0.0)
    (folder / "predictor").mkdir()
    started = time.process_time()
    found = fit_from_run(run, folder / "predictor", guarded=False)
    tell(f"trained and calibrated: valid AUC {found['base']['valid_auc']:.3f}", time.process_time() - started)


def lightgcn(folder: Path) -> None:
    """Training LightGCN: what comes before the first step, some steps of an epoch, and the validation at its end."""
    from score_rag.crm.lightgcn import LightGCN

    _steps(folder, LightGCN())


def sasrec(folder: Path) -> None:
    """Training SASRec, likewise."""
    from score_rag.crm.sasrec import SASRec

    _steps(folder, SASRec())


class _EnoughError(Exception):
    """So many steps were timed."""


def _steps(folder: Path, model: Any) -> None:
    """Fit for the first steps of an epoch, then validate as at its end."""
    from score_rag.crm import learned
    from score_rag.data.interactions import Interactions

    data = Interactions.read(folder)
    tell("before training", 0.0)
    moments: list[float] = []
    said: dict[str, Any] = {}
    task = model._task

    def timed_task(judged: Any, drawing: Any) -> tuple[int, Any]:
        rows, loss = task(judged, drawing)
        said["rows"] = rows

        def timed(network: Any, batch: np.ndarray, generator: np.random.Generator) -> Any:
            moments.append(time.process_time())
            said.setdefault("batch", len(batch))
            if len(moments) > STEPS[model.kind]:
                raise _EnoughError
            return loss(network, batch, generator)

        return rows, timed

    def some_steps(network: Any, trained: Any, *given: Any, **more: Any) -> dict[str, Any]:
        said["task"] = trained
        with suppress(_EnoughError):
            fit_network(network, trained, *given, **more)
        return {}

    model._task = timed_task
    started = time.process_time()
    fit_network, learned.fit_network = learned.fit_network, some_steps
    model.fit(data, epochs=1, seed=0, device="cpu")
    tell(f"until the first step of {model.name}", moments[0] - started)
    # The last moment ends the step before.
    step = (moments[-1] - moments[0]) / (len(moments) - 1)
    steps = -(-said["rows"] // said["batch"])
    tell(f"a step of {said['batch']:,} of {said['rows']:,} rows", step)
    print(
        f"so an epoch of {steps:,} steps takes {step * steps / 60:.1f} minutes of the processor (from {len(moments) - 1} steps)", flush=True
    )
    started, validation = time.process_time(), said["task"].validation
    validation()
    tell(f"a validation of {len(validation.labels):,} judgements", time.process_time() - started)


def tell(name: str, seconds: float) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    ratio = f"{seconds / FLOOR[0]:7.2f} x" if FLOOR else " " * 9
    print(f"{name:<46} {seconds:8.2f} s {ratio}  {peak:5.2f} GB at most", flush=True)
