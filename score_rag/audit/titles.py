"""Titles cut in the middle, and what a causal model makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from score_rag.progress import Report, silent

__all__ = ["Completed", "complete_titles", "halves", "made_up_titles", "plain_text_encoder"]


@dataclass(frozen=True)
class Completed:
    """What a model made of titles.

    Attributes:
        exact: bool [n]: every token of the rest is the likeliest one.
        fit: float64 [n]: mean log-probability of the rest's tokens, nats.
    """

    exact: np.ndarray
    fit: np.ndarray


def made_up_titles(titles: Sequence[str], *, seed: int) -> list[str]:
    """Titles of as many words each, the words drawn from all of them.

    >>> sorted(" ".join(made_up_titles(["Heat Wave", "Dark Garden"], seed=1)).split())
    ['Dark', 'Garden', 'Heat', 'Wave']
    """
    words = np.random.default_rng(seed).permutation([word for title in titles for word in title.split()]).tolist()
    out, known = [], set(titles)
    for title in titles:
        count = len(title.split())
        made, words = words[:count], words[count:]
        if " ".join(made) in known:
            made.reverse()
        out.append(" ".join(made))
    return out


def complete_titles(
    model: Any,
    encode: Callable[[str], Sequence[int]],
    beginnings: Sequence[str],
    rests: Sequence[str],
    *,
    context: str = "",
    batch: int = 16,
    report: Report = silent,
) -> Completed:
    """Let a causal model go on after beginnings, and compare with rests (greedy, token by token).

    Args:
        model: Of transformers.
        encode: Text to token ids.
        beginnings: [n].
        rests: [n], each with the space before it.
        context: Stands before each beginning.
    """
    import torch

    device = next(model.parameters()).device
    rows, starts = [], []
    for beginning, rest in zip(beginnings, rests, strict=True):
        before, whole = list(encode(context + beginning)), list(encode(context + beginning + rest))
        # Where a tokenizer joins both, the first token that differs counts as the rest's.
        same = next((place for place, (a, b) in enumerate(zip(before, whole, strict=False)) if a != b), min(len(before), len(whole) - 1))
        rows.append(whole)
        starts.append(same)
    exact, fit = np.zeros(len(rows), dtype=bool), np.zeros(len(rows))
    order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
    with torch.inference_mode():
        for first in range(0, len(order), batch):
            some = order[first : first + batch]
            longest = max(len(rows[row]) for row in some)
            ids = torch.zeros((len(some), longest), dtype=torch.long)
            sees = torch.zeros_like(ids)
            for place, row in enumerate(some):
                ids[place, : len(rows[row])] = torch.tensor(rows[row])
                sees[place, : len(rows[row])] = 1
            logits = model(input_ids=ids.to(device), attention_mask=sees.to(device), use_cache=False).logits.float()
            logs = torch.log_softmax(logits, dim=-1)
            for place, row in enumerate(some):
                wanted = torch.tensor(rows[row][starts[row] :], device=device)
                said = logs[place, starts[row] - 1 : len(rows[row]) - 1]
                exact[row] = bool((said.argmax(-1) == wanted).all())
                fit[row] = float(said.gather(1, wanted[:, None]).mean())
            report("completing titles", min(first + batch, len(rows)), len(rows))
    return Completed(exact, fit)


def halves(title: str) -> tuple[str, str]:
    """A title's first and second half, in words, the first no shorter.

    >>> halves("The Silence of the Lambs"), halves("Blade Runner")
    (('The Silence of', ' the Lambs'), ('Blade', ' Runner'))
    """
    words = title.split()
    middle = (len(words) + 1) // 2
    return " ".join(words[:middle]), " " + " ".join(words[middle:])


def plain_text_encoder(base: str) -> Callable[[str], Sequence[int]]:
    """Text to ids as a text goes on: with what begins a text, without a chat form."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(base)
    return lambda text: list(tokenizer(text)["input_ids"])
