"""The bundled base: a small Llama of its own, trained from scratch on the run's own texts, for machines without a model hub.

It is what its size says (about half a million parameters), not a language model in the large sense: it has read nothing but this run's
prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from score_rag.files import read_json, share, write_json
from score_rag.seeds import forked_generators

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["fit_tokenizer", "new_llama", "save_base"]

PAD, BEGIN, END = "<pad>", "<s>", "</s>"


def fit_tokenizer(texts: Sequence[str], folder: Path, *, vocabulary: int = 3000, max_tokens: int = 512) -> Tokenizer:
    """A byte-level BPE tokenizer of the run's texts, saved in the form that transformers reads; each digit is a token of its own.

    Args:
        texts: What the model will read, answers included.
        folder: Where `tokenizer.json` and its settings go.
        vocabulary: Most tokens to learn.
        max_tokens: Longest sequence, for the settings file.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, BEGIN, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    begin = tokenizer.token_to_id(BEGIN)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BEGIN} $A", special_tokens=[(BEGIN, begin)])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BEGIN,
        "eos_token": END,
        "pad_token": PAD,
        "model_max_length": max_tokens,
        "clean_up_tokenization_spaces": False,
    }
    write_json(folder / "tokenizer_config.json", settings)
    return tokenizer


def new_llama(tokenizer: Tokenizer, *, width: int, layers: int, heads: int, max_tokens: int, seed: int) -> Any:
    """An untrained Llama; its weights are initialised from `seed`, and no global generator is moved.

    Args:
        width: Of hidden states; `heads` divides it.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=width,
        intermediate_size=width * 8 // 3 // 8 * 8,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=max_tokens,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.token_to_id(BEGIN),
        eos_token_id=tokenizer.token_to_id(END),
        pad_token_id=tokenizer.token_to_id(PAD),
    )
    with forked_generators(seed):
        return LlamaForCausalLM(config)


def save_base(model: Any, folder: Path) -> None:
    """Save it as any Llama is saved: `config.json`, `model.safetensors`."""
    model.save_pretrained(folder)
    share(folder / "model.safetensors")
    # In one order of keys, so that equal runs have equal files.
    write_json(folder / "config.json", read_json(folder / "config.json"))
