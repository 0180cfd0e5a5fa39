"""Training SARE's cross-encoder on ranked lists, and its ONNX form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from score_rag.errors import DataError
from score_rag.extras import names_extras
from score_rag.files import digest_json, share
from score_rag.inference.quiet import quiet
from score_rag.progress import Report, silent
from score_rag.reranker.examples import RankedList
from score_rag.reranker.first_token import export_scores, read_first_token_only
from score_rag.reranker.held_out import BestRanking, HeldOut
from score_rag.reranker.settings import RerankerTraining
from score_rag.seeds import seeded
from score_rag.training.checkpoints import TrainedWeights, complete_callback, last_checkpoint
from score_rag.training.settings import trainer_arguments

__all__ = ["train_reranker"]

_DEFAULTS = RerankerTraining()
_RATE, _TEMPERATURE = 2e-5, 1.0
"""What cross-encoders of full size are tuned with."""


@names_extras()
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

    The loss is the cross-entropy between a list's targets and the softmax of its logits over the temperature: InfoNCE where one behaviour
    has all of the target. A new head's scores lie close together, and a low temperature lets a few hundred steps tell them apart. In the
    saved head the temperature is part of its weights, and 0 is what a retrieved user has on average: two logits that differ by one say that
    one user is e times as likely the better.
    A quarter of the held-out questions choose the epoch whose weights are kept, the others are only reported.

    Returns:
        `layers`, `questions`, `held_out`, `held_out_reported`, `best_epoch`, and of the reported questions the mean reciprocal rank of the
        best behaviour: `mrr_before`, `mrr_after` (with `mrr_margin`, half of its 95 % interval), `mrr_random`.

    Raises:
        DataError: Too few questions.
    """
    import torch
    from sentence_transformers import CrossEncoder
    from transformers import AutoConfig

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
    read_first_token_only(network)
    order = np.random.default_rng(seed).permutation(len(lists))
    count = max(1, round(settings.hold_out * len(lists)))
    held, trained = HeldOut([lists[place] for place in order[:count]]), [lists[place] for place in order[count:]]

    def score(pairs: list[tuple[str, str]]) -> np.ndarray:
        return _logits(network, model.tokenizer, pairs, settings.max_tokens)

    best = BestRanking(network, held, score, checkpoints)
    _, before = held.examine(score)
    if settings.epochs:
        _run_trainer(model, trained, best, settings, base=base, checkpoints=checkpoints, seed=seed, report=report)
        best.restore()
        _settle_head(network, settings.loss_temperature or _TEMPERATURE, held.mean(score))
    model.to("cpu").eval()
    model.save_pretrained(str(out), create_model_card=False)
    share(out / "model.safetensors")

    export_scores(network, out / "model.onnx")
    after = best.reported or before
    return {
        "layers": keep,
        "questions": len(trained),
        "held_out": count,
        "held_out_reported": len(held.reported),
        "best_epoch": best.epoch,
        "mrr_before": before["mrr"],
        "mrr_after": after["mrr"],
        "mrr_margin": after["margin"],
        "mrr_random": held.random,
    }


def _settle_head(network: Any, temperature: float, mean: float) -> None:
    """Let the scores of a sequence classifier be (score - mean) / temperature, by its last layer; the order stays."""
    import torch

    heads = [layer for layer in network.modules() if isinstance(layer, torch.nn.Linear) and layer.out_features == 1]
    if not heads:
        return
    with torch.no_grad():
        if heads[-1].bias is not None:
            heads[-1].bias.sub_(mean)
        for weight in heads[-1].parameters():
            weight.div_(temperature)


def _logits(network: Any, tokenizer: Any, pairs: Sequence[tuple[str, str]], max_tokens: int, *, batch: int = 64) -> np.ndarray:
    """Logits of pairs [n] in float32, whatever precision the trainer has wrapped around the model: those of one list differ by little."""
    import torch

    order = sorted(range(len(pairs)), key=lambda place: sum(map(len, pairs[place])))
    out = np.zeros(len(pairs))
    training = network.training
    network.eval()
    with torch.inference_mode(), torch.autocast(network.device.type, enabled=False):
        for start in range(0, len(order), batch):
            places = order[start : start + batch]
            one, other = zip(*(pairs[place] for place in places), strict=True)
            inputs = tokenizer(list(one), list(other), truncation=True, max_length=max_tokens, padding=True, return_tensors="pt")
            out[places] = network(**inputs.to(network.device)).logits[:, 0].float().cpu().numpy()
    network.train(training)
    return out


def _run_trainer(
    model: Any,
    trained: Sequence[RankedList],
    best: BestRanking,
    settings: RerankerTraining,
    *,
    base: Path,
    checkpoints: Path | None,
    seed: int,
    report: Report,
) -> None:
    """Run the stock trainer; behaviours stand in random order, so that none is known by its place."""
    import tempfile

    import torch
    from datasets import Dataset
    from sentence_transformers import CrossEncoderTrainer, CrossEncoderTrainingArguments
    from sentence_transformers.cross_encoder.losses import ListNetLoss
    from transformers import TrainerCallback
    from transformers.trainer_callback import PrinterCallback

    generator = np.random.default_rng(seed)
    shuffled = [(ranked, generator.permutation(len(ranked.behaviours))) for ranked in trained]

    temperature = settings.loss_temperature or _TEMPERATURE

    class OverTemperature(torch.nn.Module):
        def forward(self, scores: torch.Tensor) -> torch.Tensor:
            return scores / temperature

    class Course(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            report("training the reranker (SARE)", state.global_step, state.max_steps)
            if round(settings.epochs * state.global_step / max(1, state.max_steps), 9) >= best.ended + 1:
                best.end_epoch(state.global_step)

    class RerankerTrainer(TrainedWeights, CrossEncoderTrainer):
        pass

    data = {
        "query": [ranked.query for ranked, _ in shuffled],
        "behaviours": [[ranked.behaviours[place] for place in places] for ranked, places in shuffled],
        # The loss takes their softmax.
        "labels": [np.log(np.maximum([ranked.targets[place] for place in places], 1e-30)).tolist() for ranked, places in shuffled],
    }
    with tempfile.TemporaryDirectory() as elsewhere:
        folder = checkpoints or Path(elsewhere)
        last = last_checkpoint(folder, made_from=digest_json([data, str(base), settings.model_dump(), seed]))
        if last is not None:
            best.resume(int(last.name.partition("-")[2]))
        trainer = RerankerTrainer(
            model=model,
            args=CrossEncoderTrainingArguments(
                **trainer_arguments(settings.trainer, folder, seed=seed, save=checkpoints is not None, native=True),
                num_train_epochs=settings.epochs,
                per_device_train_batch_size=settings.batch_size,
                learning_rate=settings.learning_rate or _RATE,
                warmup_steps=max(1, settings.epochs * len(trained) // settings.batch_size // 10),
            ),
            train_dataset=Dataset.from_dict(data),
            loss=ListNetLoss(model, activation_fn=OverTemperature()),
            callbacks=[complete_callback(), Course()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=str(last) if last is not None else None)
