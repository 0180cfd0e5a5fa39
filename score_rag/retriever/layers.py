"""Which weights of an encoder CAR tunes: its last layers, or low-rank additions (LoRA) to the attention in them."""

from __future__ import annotations

from typing import Any

from score_rag.errors import ChangeSetting, ModelError

__all__ = ["add_lora", "freeze_below", "layers_of"]

_LAYERS = ("encoder.layer", "transformer.layer", "layers", "encoder.layers")
"""Where BERT and MPNet, DistilBERT, ModernBERT, and BART-like encoders keep their layers."""

_ATTENTION = (("query", "key", "value"), ("q_proj", "k_proj", "v_proj"), ("q_lin", "k_lin", "v_lin"), ("q", "k", "v"), ("Wqkv",))
"""What BERT, BART, DistilBERT, MPNet and ModernBERT call the projections of their attention."""


def freeze_below(network: Any, last: int | None) -> None:
    """Leave only the last so many transformer layers to be tuned; None leaves all but the embeddings.

    Raises:
        ModelError: Layers are asked for, and the encoder has none where they are known to be.
    """
    if last is None:
        for parameter in (getattr(network, "embeddings", None) or network.get_input_embeddings()).parameters():
            parameter.requires_grad_(False)
        return
    tuned = _last_layers(network, last)
    network.requires_grad_(False)
    for layer in tuned:
        layer.requires_grad_(True)


def add_lora(network: Any, rank: int, last: int | None) -> Any:
    """Freeze the encoder and put LoRA (alpha = 2 x rank) on query, key and value, in place.

    Where these go by no known name, on everything linear.

    Args:
        network: A transformers model.
        rank: Of the added matrices.
        last: Only in the last so many layers; None: in all.

    Returns:
        peft's tuner, whose `merge_and_unload` gives the plain network back, the additions added up.

    Raises:
        ModelError: As `freeze_below`.
    """
    from peft import LoraConfig, LoraModel
    from torch.nn import Linear

    parts = [network] if last is None else _last_layers(network, last)
    of_parts = {id(module) for part in parts for module in part.modules()}
    linear = [name for name, module in network.named_modules() if isinstance(module, Linear) and id(module) in of_parts]
    there = {_last_word(name) for name in linear}
    known = next((names for names in _ATTENTION if there.issuperset(names)), None)
    targets = [name for name in linear if known is None or _last_word(name) in known]
    return LoraModel(network, {"default": LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets)}, "default")


def _last_word(name: str) -> str:
    return name.rpartition(".")[2]


def layers_of(network: Any) -> tuple[Any, str, Any]:
    """Where an encoder keeps its transformer layers: the module that holds them, their name there, and the list itself.

    Raises:
        ModelError: They are not where they are known to be.
    """
    for path in _LAYERS:
        *words, name = path.split(".")
        owner = network
        for word in words:
            owner = getattr(owner, word, None)
        found = getattr(owner, name, None)
        if found is not None:
            return owner, name, found
    raise ModelError(
        "this encoder's layers are not where they are looked for, so that no last ones can be tuned",
        where=type(network).__name__,
        expected=" or ".join(_LAYERS),
        hint="tune all of it",
        remedy=ChangeSetting({"retriever.tune_layers": None}),
    )


def _last_layers(network: Any, last: int) -> list[Any]:
    layers = list(layers_of(network)[2])
    return layers[max(0, len(layers) - last) :]
