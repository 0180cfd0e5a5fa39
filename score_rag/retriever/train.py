"""Training CAR's encoder with the stock trainer, then export and index: a finished retriever folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from score_rag.encoders.encoder import find_encoder
from score_rag.encoders.export import export_encoder, open_model
from score_rag.encoders.torch_encoder import indexing_encoder
from score_rag.errors import DataError
from score_rag.extras import names_extras
from score_rag.files import share, write_json
from score_rag.index.writer import build_index
from score_rag.inference.precision import fast_bfloat16
from score_rag.progress import Report, silent
from score_rag.retriever.examples import Neighbourhood, contrastive_batches
from score_rag.retriever.frozen import frozen_layers_cached
from score_rag.retriever.layers import add_lora, freeze_below
from score_rag.retriever.negatives import hard_negatives as find_hard_negatives
from score_rag.retriever.settings import RetrieverSettings, RetrieverTraining
from score_rag.retriever.trainer import run_trainer
from score_rag.retriever.validation import BestEpoch, Examination
from score_rag.seeds import seeded
from score_rag.settings import BUNDLED

__all__ = ["fit_retriever", "train_encoder"]

_DEFAULTS = RetrieverSettings()


def fit_retriever(
    documents: pl.DataFrame,
    neighbours: pl.DataFrame,
    folder: Path,
    settings: RetrieverSettings = _DEFAULTS,
    *,
    user_vectors: tuple[list[str], np.ndarray] | None = None,
    checkpoints: Path | None = None,
    seed: int = 0,
    report: Report = silent,
    **changes: Any,
) -> dict[str, Any]:
    """Train, export, index: `folder/encoder`, `folder/index`, `folder/retriever.json`.

    Args:
        documents: Frame of `build_documents`.
        neighbours: Frame of `crm.neighbours` (the teacher).
        folder: Where to write.
        settings: The encoder to start from, its training, the index, and how many users are returned unless told otherwise.
        user_vectors: As `train_encoder` takes them.
        checkpoints: As `train_encoder` takes them.
        seed: Of all random sampling.
        report: Told how far the work is.
        changes: Single settings, in place of those given.

    Returns:
        Metrics of `train_encoder`.
    """
    settings = settings.changed(**changes)
    base = find_encoder(settings.encoder)
    out = folder / "encoder"
    metrics = train_encoder(
        base, documents, neighbours, out, settings, user_vectors=user_vectors, checkpoints=checkpoints, seed=seed, report=report
    )
    encoder = indexing_encoder(out, dtype=settings.index_dtype)
    build_index(documents, encoder, folder / "index", store=settings.store, store_options=settings.store_options, report=report)
    told = {"similarity_top_k": settings.similarity_top_k, "base": settings.encoder, "bundled": settings.encoder == BUNDLED}
    write_json(folder / "retriever.json", told)
    return metrics


@names_extras()
@seeded
def train_encoder(
    base: Path,
    documents: pl.DataFrame,
    neighbours: pl.DataFrame,
    out: Path,
    settings: RetrieverTraining = _DEFAULTS,
    *,
    user_vectors: tuple[list[str], np.ndarray] | None = None,
    checkpoints: Path | None = None,
    seed: int = 0,
    report: Report = silent,
    **changes: Any,
) -> dict[str, Any]:
    """Fine-tune an encoder contrastively and save it with its ONNX form.

    Half of the held-out users choose the epoch whose weights are kept (recall@10 of their neighbours by the teacher), the others are
    only reported.

    Args:
        settings: How. No epochs save the base as it is; the best epoch is kept with and without patience. With `lora_rank`, low-rank
            additions to the attention are tuned instead of the layers' weights, and merged before saving.
        user_vectors: The teacher's (ids, vectors [users, dim]), to tell who is far; without, the neighbours tell.
        checkpoints: Where the state is kept: killed at any moment, the same call goes on from there, to the same weights.
        seed: Of all random sampling.
        report: Told how far the work is.
        changes: Single settings, in place of those given.

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

    settings = settings.changed(**changes)
    world = Neighbourhood.of(documents, neighbours)
    if len(world.users) < 3:
        raise DataError("there are too few users to train a retriever", expected="at least 3 with training events", found=len(world.users))
    held = world.hold_out(settings.hold_out, seed)
    model = open_model(base, max_tokens=settings.max_tokens, device="cuda" if torch.cuda.is_available() else "cpu")

    def encode(texts: list[str]) -> np.ndarray:
        # Which epoch is best can be told in the precision of the training.
        with torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=fast_bfloat16()):
            found = model.encode(texts, batch_size=32, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=False)
        return torch.stack(list(found)).float().cpu().numpy()

    examination = Examination.of(world, held, seed=seed)
    best = BestEpoch(model[0].model, examination, encode, patience=settings.patience, folder=checkpoints)
    _, before = best.examine()
    hard = None
    if settings.hard_negatives and settings.epochs:
        teacher = world.vectors_of(*user_vectors) if user_vectors else None
        hard = find_hard_negatives(encode([texts[-1] for texts in world.texts]), world, held, settings.hard_negatives, teacher=teacher)
    drawn = [
        contrastive_batches(world, held, batch_size=settings.batch_size, seed=seed * 1000 + epoch, negatives=settings.negatives, hard=hard)
        for epoch in range(settings.epochs)
    ]
    steps = 0
    if any(drawn):
        network, lora = model[0].model, None
        if settings.lora_rank is None:
            freeze_below(network, settings.tune_layers)
        else:
            lora = add_lora(network, settings.lora_rank, settings.tune_layers)
        loss = NeighbourLoss(model, torch.from_numpy(world.neighbours), temperature=settings.temperature, chunk=settings.chunk)
        with frozen_layers_cached(network, settings.tune_layers):
            steps = run_trainer(
                model,
                loss,
                drawn,
                best,
                checkpoints,
                learning_rate=settings.learning_rate,
                trainer_settings=settings.trainer,
                seed=seed,
                report=report,
            )
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
    share(out / "model.safetensors")
    export_encoder(model, out, max_tokens=settings.max_tokens)
    return metrics
