"""The bundled Llama, trained from scratch on a run's own questions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from score_rag.extras import names_extras
from score_rag.predictor.base import fit_tokenizer, new_llama, save_base
from score_rag.predictor.groups import PACKED, both_answers, packs_of, validation_of
from score_rag.predictor.packing import PromptGroup
from score_rag.predictor.settings import AdapterTraining, BaseTraining
from score_rag.predictor.tokens import answer_ids
from score_rag.predictor.trainer import PackTraining, train_on_packs
from score_rag.progress import Report, silent

if TYPE_CHECKING:
    from score_rag.predictor.soft import SoftTokens

__all__ = ["fit_base"]


@names_extras()
def fit_base(
    epochs: Sequence[Sequence[PromptGroup]],
    valid: Sequence[PromptGroup],
    folder: Path,
    settings: BaseTraining,
    *,
    max_tokens: int = 512,
    adapter: AdapterTraining | None = None,
    checkpoints: Path | None = None,
    soft: SoftTokens | None = None,
    seed: int = 0,
    report: Report = silent,
) -> dict[str, Any]:
    """Train the bundled Llama and save it as any Llama is saved.

    Args:
        epochs: The groups of each epoch.
        valid: Groups to choose the epoch by; never trained on.
        folder: Where to save.
        settings: What it is and how it is trained.
        max_tokens: Longest prompt.
        adapter: Whose `trainer` says how to run.
        checkpoints: Where a killed training is resumed from.
        soft: What the prompts' soft tokens are; their projection is trained with the rest.

    Returns:
        `{"parameters", "questions", "tokens", "epoch", "valid_auc", "valid_uauc", "valid_auc_by_epoch"}`.

    Raises:
        DataError: One of the two answers never occurs in training or in validation.
    """
    both_answers(epochs[0], valid)
    texts = [
        (soft.without_marks(prompt) if soft else prompt) + answer
        for groups in epochs
        for group in groups
        for prompt in group.prompts
        for answer in (" Yes", " No")
    ]
    tokenizer = fit_tokenizer(texts, folder, vocabulary=settings.vocabulary, max_tokens=max_tokens)

    def plain(text: str) -> list[int]:
        return list(tokenizer.encode(text).ids)

    encode = plain if soft is None else soft.encoder(plain, tokenizer.get_vocab_size())
    answers = answer_ids(encode, epochs[0][0].prompts[0])
    packs = [packs_of(groups, encode) for groups in epochs]
    model = new_llama(
        tokenizer,
        width=settings.width,
        layers=settings.layers,
        heads=settings.heads,
        max_tokens=max(max_tokens, PACKED),
        seed=seed,
    )
    if soft is not None:
        soft.attach(model, seed=seed)
    best = train_on_packs(
        model,
        packs,
        validation_of(packs_of(valid, encode), answers),
        answers=answers,
        training=PackTraining(settings.batch_size, settings.learning_rate, settings.weight_decay, "all", settings.language_weight),
        trainer=adapter.trainer if adapter is not None else None,
        checkpoints=checkpoints,
        weights=lambda model: dict(model.state_dict()),
        seed=seed,
        report=report,
        doing="training the bundled Llama",
    )
    assert best.best is not None
    model.load_state_dict(best.weights)
    if soft is not None:
        soft.detach(model)
    save_base(model, folder)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "questions": sum(len(group.labels) for group in epochs[0]),
        "tokens": sum(len(one) for one in packs[0]),
        "epoch": best.best["epoch"],
        "valid_auc": best.best["score"],
        "valid_auc_by_epoch": [entry["score"] for entry in best.scores],
    }
