"""Training SARE: assessments are asked, behaviours ranked by them, and a cross-encoder learns to rank without them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from score_rag.data.choices import History
from score_rag.data.interactions import Interactions
from score_rag.documents.describer import Describer
from score_rag.encoders.encoder import find_encoder
from score_rag.errors import DataError
from score_rag.files import digest_json, share, write_json
from score_rag.inference.onnx import export_onnx
from score_rag.inference.quiet import quiet
from score_rag.progress import Report, silent
from score_rag.prompts import Prompt
from score_rag.reranker.answers import answered
from score_rag.reranker.assess import AssessmentRequest, assess, write_answers
from score_rag.reranker.comparing import embed_texts
from score_rag.reranker.examples import RankedList, rank_by_assessment, sample_requests
from score_rag.reranker.offline import OFFLINE_MODEL, OfflineAssessor
from score_rag.reranker.scorer import rerank_text
from score_rag.reranker.settings import RerankerSettings, RerankerTraining
from score_rag.seeds import seeded
from score_rag.settings import BUNDLED
from score_rag.training.checkpoints import TrainedWeights, complete_callback, last_checkpoint
from score_rag.training.settings import trainer_arguments

if TYPE_CHECKING:
    from score_rag.index.reader import Hit

__all__ = ["fit_reranker", "train_reranker"]

_DEFAULTS = RerankerSettings()

_CERTAIN = 100.0
"""A label so large that the list's target distribution is one-hot after its softmax: InfoNCE, best-ranked against the rest."""


def fit_reranker(
    interactions: Interactions,
    hits_for: Callable[[Sequence[AssessmentRequest]], Sequence[Sequence[Hit]]],
    folder: Path,
    settings: RerankerSettings = _DEFAULTS,
    *,
    prompt: Prompt,
    describer: Describer,
    assessments_path: Path,
    checkpoints: Path | None = None,
    history: History = "all",
    seed: int = 0,
    report: Report = silent,
    **changes: Any,
) -> dict[str, Any]:
    """Ask, rank, train, export: `folder/model`, `folder/assessments.jsonl`, `folder/reranker.json`.

    Args:
        hits_for: What the retriever finds for requests, each as of its own time.
        folder: Where to write.
        settings: Among them `encoder`, whose weights the cross-encoder starts from; `similarity_encoder`, by whose vectors assessments are
            compared with behaviours; and `assessor`, the LiteLLM model that writes the assessments.
        prompt: What the assessor is asked.
        describer: Tells histories.
        assessments_path: Where answers are kept; outside `folder`, so that they outlive a killed run.
        checkpoints: As `train_reranker` takes them.
        history: What of a history is told.
        seed: Of all random sampling.
        report: Told how far the work is.
        changes: Single settings, in place of those given.

    Returns:
        Metrics on questions held out from training: mean reciprocal rank of the best-ranked behaviour, before, after, and for random order.
    """
    settings = settings.changed(**changes)
    assessor = settings.assessor
    requests = sample_requests(interactions, describer, settings.pairs, history=history, seed=seed)
    if len(requests) < 10:
        raise DataError(
            "there are too few events to ask assessments for", expected="at least 10 with three earlier ones", found=len(requests)
        )
    found = assess(
        requests,
        settings,
        prompt=prompt,
        out=assessments_path,
        ask=OfflineAssessor(interactions).ask if assessor == OFFLINE_MODEL else None,
        report=report,
    )
    requests, answers = answered(requests, found, where=assessments_path)
    hits = hits_for(requests)
    start = find_encoder(settings.encoder, setting="reranker.encoder")
    comparer = find_encoder(settings.similarity_encoder, setting="reranker.similarity_encoder")
    vectors = embed_texts(comparer, [answer.text() for answer in answers] + [hit.text for found in hits for hit in found], report)
    rest = iter(np.split(vectors[len(answers) :], np.cumsum([len(found) for found in hits])[:-1]))
    behaviours = [next(rest) for _ in hits]
    queries = [rerank_text(request.history, request.target) for request in requests]
    lists = rank_by_assessment(queries, hits, vectors[: len(answers)], behaviours)
    metrics = train_reranker(start, lists, folder / "model", settings, checkpoints=checkpoints, seed=seed, report=report)
    kept = folder / "assessments.jsonl"
    write_answers(requests, answers, settings, prompt=prompt, out=kept)
    told = {"top_n": settings.top_n, "assessor": assessor, "base": settings.encoder, "max_tokens": settings.max_tokens}
    write_json(folder / "reranker.json", {**told, "bundled": settings.encoder == BUNDLED})
    return {"assessments": len(answers), **({"unanswered": lost} if (lost := found.count(None)) else {}), **metrics}


@seeded
def train_reranker(
    base: Path,
    lists: Sequence[RankedList],
    out: Path,
    settings: RerankerTraining = _DEFAULTS,
    *,
    checkpoints: Path | None = None,
    seed: int = 0,
    report: Report = silent,
    **changes: Any,
) -> dict[str, Any]:
    """Fine-tune a cross-encoder that starts from an encoder's weights (a new head on top), and save it with its ONNX form.

    Args:
        settings: How; of the base the first `layers` are kept, for cheaper inference.
        checkpoints: Where the state is kept: killed at any moment, the same call goes on from there, to the same weights.
        seed: Of all random sampling.
        report: Told how far the work is.
        changes: Single settings, in place of those given.

    Raises:
        DataError: Too few questions.
    """
    import tempfile

    import torch
    from datasets import Dataset
    from sentence_transformers import CrossEncoder, CrossEncoderTrainer, CrossEncoderTrainingArguments
    from sentence_transformers.cross_encoder.losses import ListNetLoss
    from transformers import AutoConfig, TrainerCallback
    from transformers.trainer_callback import PrinterCallback

    settings = settings.changed(**changes)
    if len(lists) < 4:
        raise DataError("there are too few ranked questions to train a reranker", expected="at least 4", found=len(lists))
    depth = AutoConfig.from_pretrained(str(base)).num_hidden_layers
    keep = depth if settings.layers is None else max(1, min(settings.layers, depth))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # It logs that an encoder becomes a cross-encoder, which is what is wanted here.
    with quiet():
        model = CrossEncoder(
            str(base),
            num_labels=1,
            max_length=settings.max_tokens,
            local_files_only=True,
            device=device,
            activation_fn=torch.nn.Identity(),
            config_kwargs={"num_hidden_layers": keep},
        )
    network: Any = model.model
    network.base_model.embeddings.requires_grad_(False)
    order = np.random.default_rng(seed).permutation(len(lists))
    held = [lists[place] for place in order[: max(1, round(settings.hold_out * len(lists)))]]
    trained = [lists[place] for place in order[len(held) :]]

    def reciprocal_rank() -> float:
        values = []
        for ranked in held:
            scores = np.asarray(model.predict([(ranked.query, text) for text in ranked.behaviours], show_progress_bar=False))
            values.append(1.0 / (1 + int((scores > scores[0]).sum())))
        return float(np.mean(values))

    before = reciprocal_rank()
    generator = np.random.default_rng(seed)
    shuffled = [(ranked, generator.permutation(len(ranked.behaviours))) for ranked in trained]

    class Tell(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            report("training the reranker (SARE)", state.global_step, state.max_steps)

    class RerankerTrainer(TrainedWeights, CrossEncoderTrainer):
        pass

    data = {
        "query": [ranked.query for ranked, _ in shuffled],
        "behaviours": [[ranked.behaviours[place] for place in places] for ranked, places in shuffled],
        "labels": [[_CERTAIN if place == 0 else 0.0 for place in places] for _, places in shuffled],
    }
    with tempfile.TemporaryDirectory() as elsewhere:
        folder = checkpoints or Path(elsewhere)
        last = last_checkpoint(folder, made_from=digest_json([data, str(base), settings.model_dump(), seed]))
        trainer = RerankerTrainer(
            model=model,
            args=CrossEncoderTrainingArguments(
                **trainer_arguments(settings.trainer, folder, seed=seed, save=checkpoints is not None, native=True),
                num_train_epochs=settings.epochs,
                per_device_train_batch_size=settings.batch_size,
                learning_rate=settings.learning_rate,
                warmup_steps=max(1, settings.epochs * len(trained) // settings.batch_size // 10),
            ),
            train_dataset=Dataset.from_dict(data),
            loss=ListNetLoss(model),
            callbacks=[complete_callback(), Tell()],
        )
        trainer.remove_callback(PrinterCallback)
        if settings.epochs:
            trainer.train(resume_from_checkpoint=str(last) if last is not None else None)
    after = reciprocal_rank()
    model.to("cpu").eval()
    model.save_pretrained(str(out), create_model_card=False)
    share(out / "model.safetensors")

    class Scores(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network.cpu()

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor) -> torch.Tensor:
            output = self.network(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
            return output.logits[:, 0]  # type: ignore[no-any-return]

    ids = torch.full((2, 8), 5)
    export_onnx(
        Scores(),
        {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)},
        out / "model.onnx",
        output="scores",
    )
    sizes = [len(ranked.behaviours) for ranked in held]
    random = float(np.mean([np.mean(1.0 / np.arange(1, size + 1)) for size in sizes]))
    return {
        "layers": keep,
        "questions": len(trained),
        "held_out": len(held),
        "mrr_before": before,
        "mrr_after": after,
        "mrr_random": random,
    }
