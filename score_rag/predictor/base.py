"""The embedded base: a small Llama of its own, trained from scratch on the run's own texts, for machines without a model hub.

It is what its size says (about half a million parameters), not a language model in the large sense: it has read nothing but this run's
prompts. One sequence holds many events of a user, and every Yes or No in it is a training signal (besides a weaker language-model
loss on all tokens), which trains such a model about thirty times faster than one answer a sequence.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from score_rag.files import write_json
from score_rag.predictor.tokens import answer_ids
from score_rag.progress import Report, silent

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

__all__ = ["fit_embedded_base", "fit_tokenizer"]

PAD, BEGIN, END = "<pad>", "<s>", "</s>"


def fit_tokenizer(texts: Sequence[str], folder: Path, *, vocabulary: int = 3000, max_tokens: int = 512) -> Tokenizer:
    """A byte-level BPE tokenizer of the run's texts, saved in the form that transformers reads.

    Args:
        texts: What the model will read, answers included.
        folder: Where `tokenizer.json` and its settings go.
        vocabulary: Most tokens to learn.
        max_tokens: Longest sequence, for the settings file.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
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


def fit_embedded_base(
    texts: Sequence[Sequence[str]],
    valid: tuple[Sequence[str], Sequence[int]],
    folder: Path,
    *,
    ending: str,
    width: int = 96,
    layers: int = 2,
    heads: int = 4,
    vocabulary: int = 3000,
    max_tokens: int = 512,
    epochs: int = 3,
    batch_size: int = 16,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.5,
    language_weight: float = 0.3,
    seed: int = 0,
    report: Report = silent,
) -> dict[str, Any]:
    """Train the embedded base and save it as any Llama is saved (`config.json`, `model.safetensors`, tokenizer).

    Args:
        texts: One list of sequences for each epoch's worth of variety; epoch e reads list e modulo their number.
        valid: Prompts and labels to choose the best epoch by AUC.
        folder: Where to save.
        ending: End of a prompt, to find the answers' tokens in place.
        language_weight: Weight of the language-model loss beside the Yes/No loss.

    Returns:
        `{"parameters", "epoch", "valid_auc", "history"}`.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from score_rag.metrics.auc import auc
    from score_rag.predictor.predictor import score_tokens

    every = [text for variety in texts for text in variety]
    tokenizer = fit_tokenizer(every, folder, vocabulary=vocabulary, max_tokens=max_tokens)
    yes, no = answer_ids(lambda text: tokenizer.encode(text).ids, ending)
    before = tokenizer.encode(ending).ids[-1]
    encoded = [[item.ids[-max_tokens:] for item in tokenizer.encode_batch(list(variety))] for variety in texts]
    prompts = [item.ids[-max_tokens:] for item in tokenizer.encode_batch(list(valid[0]))]

    torch.manual_seed(seed)
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
    pad = int(tokenizer.token_to_id(PAD) or 0)
    model = LlamaForCausalLM(config)
    decayed = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}], lr=learning_rate
    )
    steps = sum(-(-len(encoded[epoch % len(encoded)]) // batch_size) for epoch in range(epochs))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=learning_rate, total_steps=max(steps, 2), pct_start=0.1)
    generator = np.random.default_rng(seed)
    best: tuple[float, int, dict[str, torch.Tensor]] | None = None
    history, done = [], 0
    for epoch in range(epochs):
        model.train()
        rows = encoded[epoch % len(encoded)]
        for batch in _batches(rows, batch_size, generator):
            loss = _loss(model, batch, pad, yes, no, before, language_weight)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            done += 1
            report("training the embedded Llama", done, steps)
        scores = score_tokens(model, prompts, yes, no)[:, 0]
        value = auc(np.asarray(valid[1]), scores)
        history.append(value)
        if best is None or value > best[0]:
            best = (value, epoch, {name: tensor.detach().clone() for name, tensor in model.state_dict().items()})
    assert best is not None
    model.load_state_dict(best[2])
    model.save_pretrained(folder)
    # The name of the installed version and of its defaults would make equal runs differ; nothing reads them back.
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    write_json(folder / "config.json", settings)
    parameters = sum(p.numel() for p in model.parameters())
    return {"parameters": parameters, "epoch": best[1] + 1, "valid_auc": best[0], "valid_auc_by_epoch": history}


def _batches(rows: Sequence[list[int]], size: int, generator: np.random.Generator) -> list[list[list[int]]]:
    """Batches of similar length (less padding), in random order."""
    noise = generator.uniform(0.0, 1.0, len(rows))
    order = sorted(range(len(rows)), key=lambda row: (len(rows[row]) // 32, noise[row]))
    batches = [[rows[row] for row in order[start : start + size]] for start in range(0, len(order), size)]
    return [batches[place] for place in generator.permutation(len(batches))]


def _loss(model: Any, batch: list[list[int]], pad: int, yes: int, no: int, before: int, language_weight: float) -> torch.Tensor:
    """Cross-entropy at every answer, plus the weighted language-model loss on all tokens."""
    import torch
    from torch.nn import functional

    longest = max(len(row) for row in batch)
    ids = torch.full((len(batch), longest), pad)
    for place, row in enumerate(batch):
        ids[place, : len(row)] = torch.tensor(row)
    hidden = model.model(input_ids=ids, attention_mask=(ids != pad).long(), use_cache=False).last_hidden_state[:, :-1]
    following = ids[:, 1:]
    is_answer = ((following == yes) | (following == no)) & (ids[:, :-1] == before)
    told = following != pad
    # The language-model head is the dearest part: compute it once, only where a token follows.
    logits = model.lm_head(hidden[told])
    wanted = following[told]
    answer = is_answer[told]
    each = functional.cross_entropy(logits, wanted, reduction="none")
    language = each.mean()
    yes_no = each[answer].mean() if bool(answer.any()) else language.new_zeros(())
    return yes_no + language_weight * language
