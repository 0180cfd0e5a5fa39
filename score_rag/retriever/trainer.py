"""CAR's batches through the stock trainer of sentence-transformers: as they were put together, and resumed after a kill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from score_rag.files import digest_json
from score_rag.progress import Report
from score_rag.retriever.validation import BestEpoch
from score_rag.training.checkpoints import TrainedWeights, complete_callback, last_checkpoint
from score_rag.training.settings import TrainerSettings, trainer_arguments

__all__ = ["run_trainer"]


def run_trainer(
    model: Any,
    loss: Any,
    drawn: list[list[list[tuple[str, int]]]],
    best: BestEpoch,
    checkpoints: Path | None,
    *,
    learning_rate: float,
    trainer_settings: TrainerSettings,
    seed: int,
    report: Report,
) -> int:
    """Run the stock trainer over the batches of each epoch, as long as `best` says so; returns the steps taken."""
    import tempfile

    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.base.sampler import DefaultBatchSampler
    from transformers import TrainerCallback
    from transformers.trainer_callback import PrinterCallback

    batches = [batch for epoch in drawn for batch in epoch]
    rows = [row for batch in batches for row in batch]
    ends = np.cumsum([len(epoch) for epoch in drawn]).tolist()

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
            share = state.global_step / max(1, state.max_steps)
            if sum(end <= round(share * len(batches)) for end in ends) > best.ended and not best.end_epoch(state.global_step):
                control.should_training_stop = True

    class EncoderTrainer(TrainedWeights, SentenceTransformerTrainer):
        pass

    facts = [batches, ends, learning_rate, trainer_settings.model_dump(), best.patience, seed]
    with tempfile.TemporaryDirectory() as elsewhere:
        folder = checkpoints or Path(elsewhere)
        last = last_checkpoint(folder, made_from=digest_json(facts))
        if last is not None:
            best.resume(int(last.name.partition("-")[2]))
        # Every epoch has batches of its own, so to the trainer they are one long epoch.
        arguments = SentenceTransformerTrainingArguments(
            **trainer_arguments(trainer_settings, folder, seed=seed, save=checkpoints is not None, native=True),
            num_train_epochs=1,
            per_device_train_batch_size=max(map(len, batches)),
            learning_rate=learning_rate,
            warmup_steps=max(1, len(batches) // 10),
            batch_sampler=AsBuilt,
        )
        trainer = EncoderTrainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_dict({"text": [text for text, _ in rows], "label": [number for _, number in rows]}),
            loss=loss,
            callbacks=[complete_callback(), Course()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=str(last) if last is not None else None)
    return int(trainer.state.global_step)
