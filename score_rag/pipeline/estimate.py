"""Hours and memory of a pipeline's stages on a named card, by arithmetic: parameters, tokens, rows. Nothing is loaded or run.

| what | floating-point operations a token |
|---|---|
| reading (a forward pass) | 2 × parameters |
| training all weights | 6 × parameters (Kaplan et al., 2020) |
| training LoRA on a frozen model | 4 × parameters: no gradients of the frozen weights; 6 where activations are computed twice |

Hours assume `UTILISATION` of the card's dense arithmetic, and every text as long as it may be: upper bounds, but for slow data and kernels.
Memory: weights, gradients and optimiser (16 bytes a trained parameter: float32 with Adam's two moments), attention masks, and activations
(34 bytes for each layer, token and unit of width; computed twice, 2, and one layer whole; Korthikanti et al., 2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from score_rag.errors import DataError
from score_rag.files import at_home, read_json
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.gpus import Gpu
from score_rag.settings import BUNDLED

__all__ = ["KNOWN", "UTILISATION", "ModelSize", "Rows", "StageCost", "estimate", "model_size", "rows_of"]

UTILISATION = 0.35
"""Of the card's dense bfloat16 arithmetic: what training of transformers with short sequences reaches (.3 to .5 is reported)."""
_ACTIVATION, _KEPT = 34, 2
_TRAINED = 16
_OVERHEAD = 1.5e9
"""Bytes that the driver, kernels and the allocator's gaps take."""


@dataclass(frozen=True)
class ModelSize:
    """What arithmetic needs of a transformer.

    Attributes:
        parameters: All of them.
        layers: Blocks.
        width: Of hidden states.
        embeddings: Parameters of the table of words, which no arithmetic is done with.
    """

    parameters: float
    layers: int
    width: int
    embeddings: float = 0.0

    @property
    def computed(self) -> float:
        """Parameters that each token is multiplied by."""
        return self.parameters - self.embeddings


KNOWN = {
    "meta-llama/Llama-3.1-8B-Instruct": ModelSize(8.03e9, 32, 4096, 128256 * 4096),
    "sentence-transformers/all-mpnet-base-v2": ModelSize(109.5e6, 12, 768, 30527 * 768),
    "BAAI/bge-reranker-large": ModelSize(559.9e6, 24, 1024, 250002 * 1024),
    BUNDLED: ModelSize(22.7e6, 6, 384, 30522 * 384),
}
"""Models of the shipped pipelines, by their published configurations; the bundled one is MiniLM, encoder and cross-encoder."""


@dataclass(frozen=True)
class Rows:
    """What a pipeline's data holds, as far as costs go."""

    users: int
    train: int
    valid: int
    scored: int


@dataclass(frozen=True)
class StageCost:
    """One stage on the card.

    Attributes:
        hours: At most; None where nothing is known of its model.
        memory: Bytes at the peak; None likewise.
        fits: Whether that is less than the card has.
        told: What was counted.
    """

    stage: str
    hours: float | None
    memory: float | None
    fits: bool | None
    told: str


def model_size(name: str) -> ModelSize | None:
    """The size of a model: of the shipped pipelines' from a table, of a folder from its `config.json`; None where neither is there."""
    if name in KNOWN:
        return KNOWN[name]
    file = at_home(name) / "config.json"
    if not file.is_file():
        return None
    try:
        return _from_config(read_json(file))
    except (DataError, KeyError, TypeError):
        return None


def _from_config(config: dict[str, Any]) -> ModelSize:
    width, layers, words = (int(config[name]) for name in ("hidden_size", "num_hidden_layers", "vocab_size"))
    inner, heads = int(config["intermediate_size"]), int(config["num_attention_heads"])
    shared = int(config.get("num_key_value_heads") or heads) / heads
    # A gate beside the two matrices of the feed-forward part, as Llama has it.
    gated = 3 if config.get("hidden_act") == "silu" else 2
    block = width * width * (2 + 2 * shared) + gated * width * inner
    table = words * width
    causal = any("CausalLM" in name for name in config.get("architectures") or ())
    own_head = 0 if config.get("tie_word_embeddings", not causal) or not causal else table
    return ModelSize(layers * block + table + own_head, layers, width, 0.0 if causal and not own_head else table)


def estimate(pipeline: Pipeline, rows: Rows, gpu: Gpu) -> list[StageCost]:
    """Cost of the stages that train transformers, and of evaluating, in order.

    Args:
        rows: What the data holds.
        gpu: The card.
    """
    return [_retriever(pipeline, rows, gpu), _reranker(pipeline, rows, gpu), *_predictor(pipeline, rows, gpu)]


def _retriever(pipeline: Pipeline, rows: Rows, gpu: Gpu) -> StageCost:
    settings, size = pipeline.retriever, model_size(pipeline.retriever.encoder)
    if size is None:
        return _unknown("retriever", settings.encoder)
    versions = rows.users + rows.train / pipeline.documents.every
    trained = rows.users * settings.epochs * (1 + settings.hard_negatives) * settings.max_tokens
    embedded = versions * settings.max_tokens
    flops = size.computed * (6 * trained + 2 * embedded)
    held = settings.chunk or settings.batch_size * (1 + settings.hard_negatives) + settings.negatives
    memory = size.parameters * _TRAINED + _activations(size, held * settings.max_tokens, settings.trainer.checkpoint_gradients)
    told = f"{trained / 1e6:,.1f} M tokens trained on, {embedded / 1e6:,.1f} M embedded"
    return _cost("retriever", flops, memory, gpu, told)


def _reranker(pipeline: Pipeline, rows: Rows, gpu: Gpu) -> StageCost:
    settings, size = pipeline.reranker, model_size(pipeline.reranker.encoder)
    if size is None:
        return _unknown("reranker", settings.encoder)
    pairs = min(settings.pairs, rows.train) * pipeline.retriever.similarity_top_k
    trained = pairs * settings.epochs * settings.max_tokens
    flops = size.computed * 6 * trained
    held = settings.batch_size * pipeline.retriever.similarity_top_k * settings.max_tokens
    memory = size.parameters * _TRAINED + _activations(size, held, settings.trainer.checkpoint_gradients)
    calls = f"; {min(settings.pairs, rows.train):,} calls to {settings.assessor}" if settings.supervision != "measured" else ""
    return _cost("reranker", flops, memory, gpu, f"{trained / 1e6:,.1f} M tokens trained on{calls}")


def _predictor(pipeline: Pipeline, rows: Rows, gpu: Gpu) -> list[StageCost]:
    settings, cross = pipeline.predictor, model_size(pipeline.reranker.encoder)
    size = None if settings.base == BUNDLED else model_size(settings.base)
    if size is None or cross is None:
        why = "the bundled Llama is trained in minutes" if settings.base == BUNDLED else f"nothing is known of {settings.base}"
        return [StageCost("predictor", None, None, None, why)]
    questions = min(settings.examples or rows.train, rows.train)
    valid = min(settings.valid_examples, rows.valid)
    trained, read = questions * settings.epochs * settings.max_tokens, valid * (settings.epochs + 2) * settings.max_tokens
    checkpointed = settings.trainer.checkpoint_gradients
    pair = 2 * cross.computed * pipeline.retriever.similarity_top_k * pipeline.reranker.max_tokens
    flops = size.computed * ((6 if checkpointed else 4) * trained + 2 * read) + (questions + valid) * pair
    weights = size.parameters * (0.55 if settings.quantize == "4bit" else 4 if settings.dtype == "float32" else 2)
    # q, k, v and o have a pair of matrices each, of the width at most.
    adapter = 2 * len(settings.lora_targets) * size.layers * size.width * settings.lora_rank
    # Questions of a sequence share what they begin with; the sequence has at most so many tokens.
    longest = max(settings.max_tokens, min(1024, settings.questions * settings.max_tokens))
    held = settings.batch_size * longest
    masks = settings.batch_size * longest**2 * 4
    memory = weights + adapter * _TRAINED + _activations(size, held, checkpointed) + masks
    told = f"{questions:,} questions × {settings.epochs} epochs of at most {settings.max_tokens:,} tokens, {valid:,} to validate"
    asked = rows.scored * (size.computed * 2 * settings.max_tokens + pair)
    asking = weights + _OVERHEAD + 2 * settings.scoring.batch_tokens * size.width * 12
    return [_cost("predictor", flops, memory, gpu, told), _cost("evaluate", asked, asking, gpu, f"{rows.scored:,} questions")]


def _activations(size: ModelSize, tokens: float, checkpointed: bool) -> float:
    whole = _ACTIVATION * tokens * size.width
    return _KEPT * tokens * size.width * size.layers + whole if checkpointed else whole * size.layers


def _cost(stage: str, flops: float, memory: float, gpu: Gpu, told: str) -> StageCost:
    hours = flops / (gpu.tflops * 1e12 * UTILISATION) / 3600
    return StageCost(stage, hours, memory + _OVERHEAD, memory + _OVERHEAD <= gpu.memory * 1e9, told)


def _unknown(stage: str, model: str) -> StageCost:
    return StageCost(stage, None, None, None, f"nothing is known of {model}: it is in no table, and no folder with a config.json")


def rows_of(pipeline: Pipeline, folder: Path | None) -> Rows:
    """What the data holds: of the finished stage where there is one, otherwise of the source.

    Args:
        folder: Of the finished `data` stage.

    Raises:
        DataError: The source is not there.
    """
    from score_rag.data.interactions import Interactions
    from score_rag.pipeline.stages import load_data

    data = Interactions.read(folder) if folder is not None else load_data(pipeline)[0]
    count = {name: int((data.events["split"] == name).sum()) for name in ("train", "valid", pipeline.evaluation.split)}
    scored = min(count[pipeline.evaluation.split], pipeline.evaluation.rows or count[pipeline.evaluation.split])
    return Rows(data.learned["user_id"].n_unique(), count["train"], count["valid"], scored)
