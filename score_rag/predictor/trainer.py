"""Training on packs: one loop for the bundled Llama, trained whole, and for a LoRA adapter on a frozen base.

The loss of a question is the cross-entropy of its answer, Yes against No alone, plus a weighted language-model loss over the vocabulary:
on the answers, which gives them their mass, and where a model learns the language, on all other tokens too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from score_rag.files import digest_json
from score_rag.predictor.packing import Pack, collate
from score_rag.progress import Report, silent
from score_rag.seeds import forked_generators
from score_rag.training.checkpoints import BestWeights, complete_callback, last_checkpoint
from score_rag.training.settings import TrainerSettings, trainer_arguments

if TYPE_CHECKING:
    import torch

__all__ = ["PackTraining", "Scores", "batches_of", "score_packs", "train_on_packs"]

Scores = Mapping[str, float]
"""What a validation found; `auc` chooses the epoch."""


@dataclass(frozen=True)
class PackTraining:
    """How to train on packs.

    Attributes:
        batch_size: Packs a step.
        learning_rate: Highest, after a warm-up of a tenth of the steps; it falls as a cosine.
        weight_decay: Of matrices.
        language: Which tokens the language-model loss is on.
        language_weight: Its weight.
    """

    batch_size: int
    learning_rate: float
    weight_decay: float
    language: Literal["all", "answers"]
    language_weight: float


def batches_of(packs: Sequence[Pack], size: int, generator: np.random.Generator) -> list[list[Pack]]:
    """Batches of packs of like length (less padding), in random order."""
    noise = generator.random(len(packs))
    order = sorted(range(len(packs)), key=lambda row: (len(packs[row]) // 32, noise[row]))
    found = [[packs[row] for row in order[start : start + size]] for start in range(0, len(order), size)]
    return [found[place] for place in generator.permutation(len(found))]


def _states(model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """[packs, longest, width]: hidden states, without the language-model head, which is the dearest part."""
    import torch

    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    body = getattr(inner, inner.base_model_prefix)
    device, dtype = inner.get_input_embeddings().weight.device, inner.get_input_embeddings().weight.dtype
    if torch.is_autocast_enabled(device.type):
        dtype = torch.get_autocast_dtype(device.type)
    sees = batch["attention_mask"].to(device)
    mask = torch.zeros(sees.shape, dtype=dtype, device=device).masked_fill(~sees, torch.finfo(dtype).min)
    found = body(
        input_ids=batch["input_ids"].to(device), attention_mask=mask, position_ids=batch["position_ids"].to(device), use_cache=False
    )
    states: torch.Tensor = found.last_hidden_state
    return states


def _head(model: Any) -> Any:
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return inner.get_output_embeddings()


def pack_loss(model: Any, batch: Mapping[str, torch.Tensor], answers: tuple[int, int], training: PackTraining) -> torch.Tensor:
    """The mean loss of a batch (see the module).

    Args:
        answers: Token ids of Yes and No.
    """
    import torch
    from torch.nn.functional import cross_entropy

    states, head = _states(model, batch), _head(model)
    ends = batch["ends"].to(states.device)
    logits = head(states[ends[:, 0], ends[:, 1]]).float()
    yes = batch["targets"].to(states.device)[:, None]
    aims = torch.cat([yes, 1 - yes], dim=1)
    loss = cross_entropy(logits[:, list(answers)], aims)
    if not training.language_weight:
        return loss
    language: torch.Tensor = -(aims * logits.log_softmax(dim=1)[:, list(answers)]).sum(dim=1).mean()
    if training.language == "all":
        before = batch["before"].to(states.device)
        every = head(states[before[:, 0], before[:, 1]]).float()
        following = batch["following"].to(states.device)
        # A soft token, whose id lies behind the vocabulary, is read and never written.
        language = language + cross_entropy(every, following.masked_fill(following >= every.shape[1], -100))
    return loss + training.language_weight * language


def score_packs(model: Any, packs: Sequence[Pack], answers: tuple[int, int], *, batch_size: int = 16) -> np.ndarray:
    """float64 [questions]: logit of Yes less that of No, in the order of packs and of questions within them."""
    import torch

    was = model.training
    model.eval()
    order = sorted(range(len(packs)), key=lambda row: len(packs[row]))
    found: dict[int, np.ndarray] = {}
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            batch = collate([packs[row] for row in rows])
            states = _states(model, batch)
            ends = batch["ends"].to(states.device)
            logits = _head(model)(states[ends[:, 0], ends[:, 1]]).float()
            values = (logits[:, answers[0]] - logits[:, answers[1]]).double().cpu().numpy()
            owner = batch["ends"][:, 0].numpy()
            found |= {row: values[owner == place] for place, row in enumerate(rows)}
    model.train(was)
    return np.concatenate([found[row] for row in range(len(packs))]) if packs else np.zeros(0)


def train_on_packs(
    model: Any,
    epochs: Sequence[Sequence[Pack]],
    validate: Callable[[Any], Scores],
    *,
    answers: tuple[int, int],
    training: PackTraining,
    trainer: TrainerSettings | None = None,
    checkpoints: Path | None = None,
    weights: Callable[[Any], Mapping[str, torch.Tensor]],
    before: bool = False,
    seed: int = 0,
    report: Report = silent,
    doing: str = "training",
) -> BestWeights:
    """Train, and find the weights of the best epoch (by AUC).

    Killed at any moment, the same call goes on from the last checkpoint, to the same weights. Under `torchrun` or `accelerate launch` each
    process takes its share of the batches; the first one writes.

    Args:
        model: A causal model of transformers, or a peft model around one.
        epochs: The packs of each epoch.
        validate: Scores the model as it stands.
        answers: Token ids of Yes and No.
        trainer: How to run.
        checkpoints: Where the state is kept; without, a killed training starts anew.
        weights: Of the model, what is learned.
        before: Whether the untrained model takes part in the choice, as epoch 0.
    """
    import tempfile

    from transformers import Trainer, TrainerCallback, TrainingArguments
    from transformers.trainer_callback import PrinterCallback

    generator = np.random.default_rng(seed)
    batches: list[list[Pack]] = []
    ends: list[int] = []
    for packs in epochs:
        batches += batches_of(packs, training.batch_size, generator)
        ends.append(len(batches))
    settings = trainer or TrainerSettings()
    said = [[one.ids.tolist() for one in batch] for batch in batches[:2]]
    facts = [len(batches), ends, said, training.__dict__, settings.model_dump(), seed, list(answers)]
    with tempfile.TemporaryDirectory() as elsewhere, forked_generators(seed):
        folder = checkpoints or Path(elsewhere)
        last = last_checkpoint(folder, made_from=digest_json(facts))
        best = BestWeights(folder)
        if last is not None:
            best.resume(int(last.name.partition("-")[2]))
        elif before:
            best.offer(0, **_flat(validate(model)), weights=weights(model), epoch=0)
        arguments = trainer_arguments(settings, folder, seed=seed, save=checkpoints is not None)
        steps = -(-len(batches) // settings.accumulation)

        class Watch(TrainerCallback):
            """Progress, and a validation at the end of each epoch."""

            def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
                report(doing, state.global_step, state.max_steps)
                share = state.global_step / max(1, state.max_steps)
                due = sum(end <= round(share * len(batches)) for end in ends)
                if due > sum(entry["step"] > 0 for entry in best.scores):
                    best.offer(state.global_step, **_flat(validate(model)), weights=weights(model), epoch=due)

        class PackTrainer(Trainer):
            def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
                loss = pack_loss(_unwrapped(model), inputs, answers, training)
                return (loss, None) if return_outputs else loss

            def training_step(self, model: Any, *inputs: Any, **more: Any) -> Any:
                loss = super().training_step(model, *inputs, **more)
                _share_gradients(model)
                return loss

            def _get_train_sampler(self, *args: Any, **more: Any) -> Any:
                from torch.utils.data import SequentialSampler

                return SequentialSampler(batches)  # the order is made already

        running = PackTrainer(
            model=model,
            args=TrainingArguments(
                **arguments,
                num_train_epochs=1,
                per_device_train_batch_size=1,
                learning_rate=training.learning_rate,
                weight_decay=training.weight_decay,
                lr_scheduler_type="cosine",
                warmup_steps=max(1, steps // 10),
                remove_unused_columns=False,
            ),
            train_dataset=batches,
            data_collator=lambda rows: collate(rows[0]),
            callbacks=[complete_callback(), Watch()],
        )
        running.remove_callback(PrinterCallback)
        running.train(resume_from_checkpoint=str(last) if last is not None else None)
    return best


def _unwrapped(model: Any) -> Any:
    """The model inside what distributes it."""
    return model.module if type(model).__name__ == "DistributedDataParallel" else model


def _share_gradients(model: Any) -> None:
    """The mean of all processes' gradients: the loss reads inner parts of the model, which its wrapper does not see."""
    from torch import distributed

    if not (distributed.is_available() and distributed.is_initialized()):
        return
    for parameter in model.parameters():
        if parameter.grad is not None:
            distributed.all_reduce(parameter.grad)
            parameter.grad /= distributed.get_world_size()


def _flat(scores: Scores) -> dict[str, Any]:
    return {"score": scores["auc"], **{name: value for name, value in scores.items() if name != "auc"}}
