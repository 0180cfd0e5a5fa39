"""Training CAR's encoder with the stock trainer, then export and index: a finished retriever folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from score_rag.encoders.encoder import EMBEDDED, find_encoder
from score_rag.encoders.export import export_encoder, open_model
from score_rag.encoders.torch_encoder import indexing_encoder
from score_rag.errors import DataError
from score_rag.files import write_json
from score_rag.index.writer import build_index
from score_rag.inference.precision import fast_bfloat16
from score_rag.progress import Report, silent
from score_rag.retriever.examples import Neighbourhood, contrastive_batches
from score_rag.retriever.layers import add_lora, freeze_below
from score_rag.retriever.negatives import hard_negatives as find_hard_negatives
from score_rag.retriever.validation import BestEpoch, Examination
from score_rag.seeds import seeded

__all__ = ["fit_retriever", "train_encoder"]


def fit_retriever(
    documents: pl.DataFrame,
    neighbours: pl.DataFrame,
    folder: Path,
    *,
    base: str,
    similarity_top_k: int = 10,
    index_dtype: str = "float32",
    store: str = "chroma",
    store_options: Mapping[str, Any] | None = None,
    report: Report = silent,
    **training: Any,
) -> dict[str, Any]:
    """Train, export, index: `folder/encoder`, `folder/index`, `folder/retriever.json`.

    Args:
        documents: Frame of `build_documents`.
        neighbours: Frame of `crm.neighbours` (the teacher).
        base: Encoder to start from, as `find_encoder` takes it.
        similarity_top_k: How many users the retriever returns unless it is told otherwise.
        index_dtype: What the documents are embedded in, as `indexing_encoder` takes it.
        store: Where the newest documents are kept for approximate search, as `open_store` takes it.
        store_options: Likewise.
        training: Settings of `train_encoder`.

    Returns:
        Metrics of `train_encoder`.
    """
    metrics = train_encoder(find_encoder(base), documents, neighbours, folder / "encoder", report=report, **training)
    encoder = indexing_encoder(folder / "encoder", dtype=index_dtype)
    build_index(documents, encoder, folder / "index", store=store, store_options=store_options, report=report)
    write_json(folder / "retriever.json", {"similarity_top_k": similarity_top_k, "base": base, "embedded": base == EMBEDDED})
    return metrics


@seeded
def train_encoder(
    base: Path,
    documents: pl.DataFrame,
    neighbours: pl.DataFrame,
    out: Path,
    *,
    epochs: int = 1,
    patience: int | None = None,
    batch_size: int = 64,
    chunk: int | None = None,
    negatives: int = 0,
    hard_negatives: int = 0,
    user_vectors: tuple[list[str], np.ndarray] | None = None,
    learning_rate: float = 5e-5,
    temperature: float = 0.05,
    max_tokens: int = 128,
    tune_layers: int | None = None,
    lora_rank: int | None = None,
    hold_out: float = 0.1,
    seed: int = 0,
    report: Report = silent,
) -> dict[str, Any]:
    """Fine-tune an encoder contrastively and save it with its ONNX form.

    Half of the held-out users choose the epoch whose weights are kept (recall@10 of their neighbours by the teacher), the others are
    only reported.

    Args:
        epochs: At most so many; 0 saves the base as it is.
        patience: Stop after so many epochs without gain; None runs all. The best epoch is kept either way.
        batch_size: Users a batch, negatives not counted.
        chunk: Documents in memory at a time (gradient caching); None takes a batch at once.
        negatives: Users from outside a batch, drawn by lot, as negatives only.
        hard_negatives: For each user of a batch so many users who read alike and are collaboratively far, as negatives only.
        user_vectors: The teacher's (ids, vectors [users, dim]), to tell who is far; without, the neighbours tell.
        tune_layers: Tune only the last so many transformer layers (and nothing below); None tunes all but the word embeddings.
        lora_rank: Tune low-rank additions to the attention in those layers instead of their weights; merged before saving.
        hold_out: Share of users who are in no batch.

    Returns:
        `users`, `held_out`, `held_out_choosing` and `held_out_reported` (those with neighbours who are asked), `steps`, `best_epoch`,
        `recall_by_epoch` (choosing half); of the reported half `recall_at_10_before`, `recall_at_10_after`, `recall_at_10_random`,
        `ndcg_at_10_before`, `ndcg_at_10_after`.

    Raises:
        DataError: There are fewer than three users to learn from.
        ModelError: The encoder cannot be served as it is built, or has no layers where `tune_layers` looks for them.
    """
    import torch

    from score_rag.retriever.loss import NeighbourLoss

    world = Neighbourhood.of(documents, neighbours)
    if len(world.users) < 3:
        raise DataError("there are too few users to train a retriever", expected="at least 3 with training events", found=len(world.users))
    held = world.hold_out(hold_out, seed)
    model = open_model(base, max_tokens=max_tokens, device="cuda" if torch.cuda.is_available() else "cpu")

    def encode(texts: list[str]) -> np.ndarray:
        # Which epoch is best can be told in the precision of the training.
        with torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=fast_bfloat16()):
            found = model.encode(texts, batch_size=32, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=False)
        return torch.stack(list(found)).float().cpu().numpy()

    examination = Examination.of(world, held, seed=seed)
    best = BestEpoch(model[0].model, examination, encode, patience=patience)
    _, before = best.examine()
    hard = None
    if hard_negatives and epochs:
        teacher = world.vectors_of(*user_vectors) if user_vectors else None
        hard = find_hard_negatives(encode([texts[-1] for texts in world.texts]), world, held, hard_negatives, teacher=teacher)
    drawn = [
        contrastive_batches(world, held, batch_size=batch_size, seed=seed * 1000 + epoch, negatives=negatives, hard=hard)
        for epoch in range(epochs)
    ]
    steps = 0
    if any(drawn):
        network, lora = model[0].model, None
        if lora_rank is None:
            freeze_below(network, tune_layers)
        else:
            lora = add_lora(network, lora_rank, tune_layers)
        loss = NeighbourLoss(model, torch.from_numpy(world.neighbours), temperature=temperature, chunk=chunk)
        scratch = out.parent / "trainer"
        steps = _run_trainer(model, loss, drawn, best.end_epoch, scratch, learning_rate=learning_rate, seed=seed, report=report)
        best.restore()
        if lora is not None:
            lora.merge_and_unload()
    metrics = {
        "users": len(world.users),
        "held_out": int(held.sum()),
        "held_out_choosing": len(examination.choosing),
        "held_out_reported": len(examination.reported),
        **{f"{name}_before": value for name, value in before.items()},
        **({"recall_at_10_random": min(1.0, 10 / (len(examination.texts) - 1))} if before else {}),
        **{f"{name}_after": value for name, value in (best.reported or before).items()},
        "best_epoch": best.epoch,
        "recall_by_epoch": best.recalls,
        "steps": steps,
    }
    model.cpu().eval()
    model.save_pretrained(str(out), create_model_card=False)
    export_encoder(model, out, max_tokens=max_tokens)
    return metrics


def _run_trainer(
    model: Any,
    loss: Any,
    drawn: list[list[list[tuple[str, int]]]],
    end_epoch: Callable[[], bool],
    scratch: Path,
    *,
    learning_rate: float,
    seed: int,
    report: Report,
) -> int:
    """Run the stock trainer over the batches of each epoch, as long as `end_epoch` says so; returns the steps taken."""
    import torch
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.base.sampler import DefaultBatchSampler
    from transformers import TrainerCallback
    from transformers.trainer_callback import PrinterCallback

    batches = [batch for epoch in drawn for batch in epoch]
    rows = [row for batch in batches for row in batch]
    ends = set(np.cumsum([len(epoch) for epoch in drawn]).tolist())

    class AsBuilt(DefaultBatchSampler):
        """Batches as they were put together: a user needs neighbours beside it."""

        def __iter__(self) -> Any:
            start = 0
            for batch in batches:
                yield list(range(start, start + len(batch)))
                start += len(batch)

        def __len__(self) -> int:
            return len(batches)

    class Course(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            report("training the retriever (CAR)", state.global_step, state.max_steps)
            if state.global_step in ends and not end_epoch():
                control.should_training_stop = True

    # Every epoch has batches of its own, so to the trainer they are one long epoch.
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(scratch),
        num_train_epochs=1,
        per_device_train_batch_size=max(map(len, batches)),
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
        loss=loss,
        callbacks=[Course()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    shutil.rmtree(scratch, ignore_errors=True)
    return int(trainer.state.global_step)
