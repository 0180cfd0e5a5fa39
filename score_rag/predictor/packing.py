"""Many questions in one sequence, each reading exactly what it would read alone.

Questions of one user begin alike: instructions, then the same history, one event longer each time. Their token rows become one tree in
which a shared beginning stands once. A token sees its ancestors and nothing else, and its position is its depth: so each question sees
its own prompt and no other question's answer, whatever the template, the policy of ties, or which judgements are told. The logits are
those of one prompt at a time (a property test holds them to it), for a fraction of the tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

__all__ = ["Pack", "PromptGroup", "collate", "pack", "pack_all"]


@dataclass(frozen=True)
class PromptGroup:
    """Prompts for one sequence, which begin alike.

    Attributes:
        prompts: The questions.
        labels: Their answers, 1 = Yes.
        targets: P(Yes) that training aims at; None aims at the answers.
    """

    prompts: list[str]
    labels: list[int]
    targets: list[float] | None = None


@dataclass(frozen=True)
class Pack:
    """A tree of tokens with questions in it.

    Attributes:
        ids: int64 [tokens], parents before children.
        parents: int64 [tokens]: the token before; -1 for a first one.
        depths: int64 [tokens]: positions.
        ends: int64 [questions]: the last token of each question's prompt, after which the answer stands.
        labels: int64 [questions]: 1 = Yes.
        targets: float32 [questions]: P(Yes) that training aims at.
    """

    ids: np.ndarray
    parents: np.ndarray
    depths: np.ndarray
    ends: np.ndarray
    labels: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def sees(self) -> np.ndarray:
        """bool [tokens, tokens]: which tokens each token attends to."""
        out = np.eye(len(self), dtype=bool)
        for token, parent in enumerate(self.parents):
            if parent >= 0:
                out[token] |= out[parent]
        return out


def pack(rows: Sequence[Sequence[int]], labels: Sequence[int], targets: Sequence[float] | None = None) -> Pack:
    """One tree of some prompts' token rows (none empty), shared beginnings once; without targets, training aims at the answers.

    >>> tree = pack([[1, 2, 3], [1, 2, 4, 5]], [1, 0])
    >>> tree.ids.tolist(), tree.parents.tolist(), tree.depths.tolist(), tree.ends.tolist()
    ([1, 2, 3, 4, 5], [-1, 0, 1, 1, 3], [0, 1, 2, 2, 3], [2, 4])
    """
    tree = _Tree()
    for row, label, target in zip(rows, labels, targets or labels, strict=True):
        tree.add(row, label, target)
    return tree.pack()


class _Tree:
    """A tree of tokens that grows by a prompt at a time."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self._parents: list[int] = []
        self._depths: list[int] = []
        self._ends: list[int] = []
        self._labels: list[int] = []
        self._targets: list[float] = []
        self._known: dict[tuple[int, int], int] = {}

    def new_tokens(self, row: Sequence[int]) -> int:
        """How many tokens a prompt would add."""
        place = -1
        for depth, token in enumerate(row):
            here = self._known.get((place, token))
            if here is None:
                return len(row) - depth
            place = here
        return 0

    def add(self, row: Sequence[int], label: int, target: float) -> None:
        place = -1
        for depth, token in enumerate(row):
            here = self._known.get((place, token))
            if here is None:
                here = self._known[place, token] = len(self.ids)
                self.ids.append(token)
                self._parents.append(place)
                self._depths.append(depth)
            place = here
        self._ends.append(place)
        self._labels.append(label)
        self._targets.append(target)

    def pack(self) -> Pack:
        ids, parents, depths, ends, labels = (
            np.array(column, dtype=np.int64) for column in (self.ids, self._parents, self._depths, self._ends, self._labels)
        )
        return Pack(ids, parents, depths, ends, labels, np.array(self._targets, dtype=np.float32))


def pack_all(groups: Iterable[tuple[Sequence[Sequence[int]], Sequence[int], Sequence[float]]], *, most: int) -> list[Pack]:
    """A pack for each group of (token rows, labels, targets); a group whose tree would pass `most` tokens is cut into several.

    A single row that is longer than `most` has a pack of its own.
    """
    out = []
    for rows, labels, targets in groups:
        tree = _Tree()
        for row, label, target in zip(rows, labels, targets, strict=True):
            if tree.ids and len(tree.ids) + tree.new_tokens(row) > most:
                out.append(tree.pack())
                tree = _Tree()
            tree.add(row, label, target)
        if tree.ids:
            out.append(tree.pack())
    return out


def collate(packs: Sequence[Pack]) -> dict[str, torch.Tensor]:
    """A batch for a causal model of transformers, and where its targets are.

    Returns:
        `input_ids`, `position_ids` [packs, longest]; `attention_mask` bool [packs, 1, longest, longest];
        `before` [targets, 2] (pack, token) and `following` [targets]: every token with the one before it, for the language-model loss;
        `ends` [questions, 2], `labels` and `targets` [questions].
    """
    import torch

    longest = max(len(one) for one in packs)
    ids = np.zeros((len(packs), longest), dtype=np.int64)
    positions = np.zeros_like(ids)
    sees = np.zeros((len(packs), 1, longest, longest), dtype=bool)
    # Padding sees itself: a row without anything to see would be nan.
    sees[:, :, np.arange(longest), np.arange(longest)] = True
    before, following, ends = [], [], []
    for row, one in enumerate(packs):
        ids[row, : len(one)] = one.ids
        positions[row, : len(one)] = one.depths
        sees[row, 0, : len(one), : len(one)] = one.sees()
        inner = np.flatnonzero(one.parents >= 0)
        before.append(np.stack([np.full(len(inner), row), one.parents[inner]], axis=1))
        following.append(one.ids[inner])
        ends.append(np.stack([np.full(len(one.ends), row), one.ends], axis=1))
    found = {
        "input_ids": ids,
        "position_ids": positions,
        "attention_mask": sees,
        "before": np.concatenate(before),
        "following": np.concatenate(following),
        "ends": np.concatenate(ends),
        "labels": np.concatenate([one.labels for one in packs]),
        "targets": np.concatenate([one.targets for one in packs]),
    }
    return {name: torch.from_numpy(value) for name, value in found.items()}
