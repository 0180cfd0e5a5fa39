"""Training CAR's encoder with the stock trainer, then export and index: a finished retriever folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from score_rag.errors import DataError
from score_rag.files import write_json
from score_rag.onnx import export_onnx
from score_rag.progress import Report, silent
from score_rag.retriever.encoder import EMBEDDED, TextEncoder, find_encoder, fingerprint_of
from score_rag.retriever.examples import Neighbourhood, contrastive_batches, neighbour_recall
from score_rag.retriever.index import BehaviourIndex

__all__ = ["export_encoder", "fast_bfloat16", "fit_retriever", "train_encoder"]


def fit_retriever(
    documents: pl.DataFrame,
    neighbours: pl.DataFrame,
    folder: Path,
    *,
    base: str,
    epochs: int = 1,
    batch_size: int = 64,
    learning_rate: float = 5e-5,
    temperature: float = 0.05,
    max_tokens: int = 128,
    tune_layers: int | None = None,
    hold_out: float = 0.1,
    similarity_top_k: int = 10,
    seed: int = 0,
    report: Report = silent,
) -> dict[str, Any]:
    """Train, export, index: `folder/encoder`, `folder/index`, `folder/retriever.json`.

    Args:
        documents: Frame of `build_documents`.
        neighbours: Frame of `crm.neighbours` (the teacher).
        base: Encoder to start from, as `find_encoder` takes it.

    Returns:
        Metrics: recall@10 of the teacher's neighbours on users held out from training, before and after.
    """
    metrics = train_encoder(
        find_encoder(base),
        documents,
        neighbours,
        folder / "encoder",
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        temperature=temperature,
        max_tokens=max_tokens,
        tune_layers=tune_layers,
        hold_out=hold_out,
        seed=seed,
        report=report,
    )
    BehaviourIndex.build(documents, TextEncoder(folder / "encoder"), folder / "index", report=report)
    write_json(folder / "retriever.json", {"similarity_top_k": similarity_top_k, "base": base, "embedded": base == EMBEDDED})
    return metrics


def train_encoder(
    base: Path,
    documents: pl.DataFrame,
    neighbours: pl.DataFrame,
    out: Path,
    *,
    epochs: int = 1,
    batch_size: int = 64,
    learning_rate: float = 5e-5,
    temperature: float = 0.05,
    max_tokens: int = 128,
    tune_layers: int | None = None,
    hold_out: float = 0.1,
    seed: int = 0,
    report: Report = silent,
) -> dict[str, Any]:
    """Fine-tune an encoder contrastively and save it with its ONNX form.

    Args:
        tune_layers: Tune only the last so many transformer layers (and nothing below); None tunes all but the word embeddings.
        epochs: 0 saves the base as it is.

    Raises:
        DataError: There are fewer than three users to learn from.
    """
    import torch
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.base.sampler import DefaultBatchSampler
    from transformers import TrainerCallback, set_seed
    from transformers.trainer_callback import PrinterCallback

    from score_rag.retriever.loss import NeighbourLoss

    world = Neighbourhood.of(documents, neighbours)
    if len(world.users) < 3:
        raise DataError("there are too few users to train a retriever", expected="at least 3 with training events", found=len(world.users))
    held = world.hold_out(hold_out, seed)
    set_seed(seed)
    model = SentenceTransformer(str(base), local_files_only=True, device="cuda" if torch.cuda.is_available() else "cpu")
    model.max_seq_length = max_tokens
    newest = [texts[-1] for texts in world.texts]
    # Recall before and after is asked of at most so many users: it is a report, not a benchmark.
    some = newest[:2000]
    asked = held[: len(some)]
    small = Neighbourhood(
        world.users[: len(some)], np.where(world.neighbours[: len(some)] < len(some), world.neighbours[: len(some)], -1), []
    )

    def recall() -> float:
        vectors = model.encode(some, batch_size=32, normalize_embeddings=True, show_progress_bar=False)
        return neighbour_recall(np.asarray(vectors), small, asked)

    metrics: dict[str, Any] = {"users": len(world.users), "held_out": int(held.sum())}
    if asked.any():
        metrics["recall_at_10_before"] = recall()
        metrics["recall_at_10_random"] = 10 / max(len(some) - 1, 1)
    _freeze(model[0].model, tune_layers)
    batches = [
        batch for epoch in range(epochs) for batch in contrastive_batches(world, held, batch_size=batch_size, seed=seed * 1000 + epoch)
    ]
    if batches:
        rows = [row for batch in batches for row in batch]
        sizes = [len(batch) for batch in batches]

        class AsBuilt(DefaultBatchSampler):
            """Batches as they were put together: a user needs neighbours beside it."""

            def __iter__(self) -> Any:
                start = 0
                for size in sizes:
                    yield list(range(start, start + size))
                    start += size

            def __len__(self) -> int:
                return len(sizes)

        class Tell(TrainerCallback):
            def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
                report("training the retriever (CAR)", state.global_step, state.max_steps)

        arguments = SentenceTransformerTrainingArguments(
            output_dir=str(out.parent / "trainer"),
            num_train_epochs=1,
            per_device_train_batch_size=batch_size,
            learning_rate=learning_rate,
            warmup_steps=max(1, len(batches) // 10),
            seed=seed,
            data_seed=seed,
            batch_sampler=AsBuilt,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
            bf16=fast_bfloat16(),
            dataloader_pin_memory=torch.cuda.is_available(),
        )
        trainer = SentenceTransformerTrainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_dict({"text": [text for text, _ in rows], "label": [number for _, number in rows]}),
            loss=NeighbourLoss(model, torch.from_numpy(world.neighbours), temperature=temperature),
            callbacks=[Tell()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        shutil.rmtree(out.parent / "trainer", ignore_errors=True)
    if asked.any():
        metrics["recall_at_10_after"] = recall()
    metrics["steps"] = len(batches)
    model.cpu().eval()
    model.save_pretrained(str(out), create_model_card=False)
    export_encoder(model, out, max_tokens=max_tokens)
    return metrics


def fast_bfloat16() -> bool:
    """Whether this machine multiplies in bfloat16 natively: about twice as fast, at a cosine of .9999 to float32."""
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    found = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def _freeze(network: Any, last: int | None) -> None:
    """Freeze the word embeddings, and all layers but the last few."""
    for parameter in network.embeddings.parameters():
        parameter.requires_grad_(False)
    if last is not None:
        layers = network.encoder.layer
        for layer in layers[: max(0, len(layers) - last)]:
            for parameter in layer.parameters():
                parameter.requires_grad_(False)


def export_encoder(model: Any, out: Path, *, max_tokens: int) -> None:
    """Write `model.onnx` and `serving.json` beside a saved sentence transformer."""
    import torch

    pooling = model[1].get_config_dict()
    mode = str(pooling.get("pooling_mode") or ("mean" if pooling.get("pooling_mode_mean_tokens") else "cls"))
    network = model[0].model

    class States(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.network(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state  # type: ignore[no-any-return]

    example = {"input_ids": torch.full((2, 8), 5), "attention_mask": torch.ones((2, 8), dtype=torch.long)}
    export_onnx(States(), example, out / "model.onnx", output="states")
    dimension = int(network.config.hidden_size)
    fingerprint = fingerprint_of(out, max_tokens, mode)
    write_json(out / "serving.json", {"max_tokens": max_tokens, "pooling": mode, "dimension": dimension, "fingerprint": fingerprint})
