"""The average picture over many questions (the paper's Figure 5): where verdicts look, and what each part of the prompt is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from score_rag.context.segments import SpanKind, kind_of
from score_rag.evaluation.intervals import rounded, unrounded
from score_rag.explain.explanation import PromptLook
from score_rag.metrics.bootstrap import Interval, mean_over_users

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["AveragePicture", "AverageRow"]

KIND = "explained"
"""Of the stored table."""


@dataclass(frozen=True)
class AverageRow:
    """One part of the prompts, over all that have it.

    Attributes:
        name: As in `SegmentLook`.
        prompts: How many prompts have it.
        tokens: Mean number.
        attention: Mean share of the verdict's attention; None where the engine tells none.
        change: Mean absolute change of P(like) when it is left out; None for what cannot be.
        gain: Nats by which it raises the log-likelihood of the true answer, against being left out: below zero it misleads.
        layers: Mean share of attention, by layer.
    """

    name: str
    prompts: int
    tokens: float
    attention: Interval | None
    change: Interval | None
    gain: Interval | None
    layers: tuple[float, ...] = ()

    @property
    def kind(self) -> SpanKind:
        """`instructions`, `neighbour`, `history`, `evidence` or `target`."""
        return kind_of(self.name)


@dataclass(frozen=True)
class AveragePicture:
    """All parts.

    Attributes:
        title: What was explained.
        rows: In the order in which parts stand in prompts.
        special: Mean share of attention to tokens that are none of the text; None without attention.
        events: Questions.
        users: Who asked, over whom intervals are drawn.
        notes: What a reader must know.
        made_from: Digests of what it depends on (see `score_rag.evaluation.stored`).
    """

    title: str
    rows: tuple[AverageRow, ...]
    special: float | None
    events: int
    users: int
    notes: tuple[str, ...]
    made_from: Mapping[str, Any]

    def metrics(self) -> dict[str, float]:
        """Every value by name (`neighbour 1.change`), for trackers of experiments."""
        named = ((f"{row.name}.{what}", getattr(row, what)) for row in self.rows for what in ("attention", "change", "gain"))
        return {name: found.value for name, found in named if found is not None}

    @classmethod
    def of(
        cls,
        looks: Sequence[PromptLook],
        users: Sequence[str],
        labels: np.ndarray,
        *,
        title: str = "",
        notes: Sequence[str] = (),
        resamples: int = 1000,
        seed: int = 0,
        made_from: Mapping[str, Any] | None = None,
    ) -> Self:
        """Average.

        Args:
            looks: [n] prompts, taken apart.
            users: [n], whose questions they are.
            labels: [n] of 0 and 1, the true answers.
        """
        names = _ordered(looks)
        columns = {
            name: [look.segment(name) if any(one.name == name for one in look.segments) else None for look in looks] for name in names
        }
        rows = []
        for name, found in columns.items():
            there = [place for place, one in enumerate(found) if one is not None]
            own = [one for one in found if one is not None]
            who = [users[place] for place in there]

            def mean(values: Sequence[float | None], who: Sequence[str] = who) -> Interval | None:
                if any(value is None for value in values):
                    return None
                return mean_over_users(np.array(values, dtype=np.float64), who, resamples=resamples, seed=seed)

            change = mean([None if one.effect is None else abs(one.effect) for one in own])
            gains = [
                None if one.without is None else _log(looks[place].answer.probability, labels[place]) - _log(one.without, labels[place])
                for place, one in zip(there, own, strict=True)
            ]
            layers = _layers(looks, name, there)
            rows.append(
                AverageRow(
                    name,
                    len(there),
                    float(np.mean([one.tokens for one in own])),
                    mean([one.attention for one in own]),
                    change,
                    mean(gains),
                    layers,
                )
            )
        special = [look.special for look in looks if look.special is not None]
        return cls(
            title,
            tuple(rows),
            float(np.mean(special)) if special else None,
            len(looks),
            len(set(users)),
            tuple(notes),
            made_from or {},
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "kind": KIND,
            "title": self.title,
            "events": self.events,
            "users": self.users,
            "rows": [
                {
                    "name": row.name,
                    "kind": row.kind,
                    "prompts": row.prompts,
                    "tokens": round(row.tokens, 3),
                    **{
                        key: None if found is None else rounded(found)
                        for key, found in (("attention", row.attention), ("change", row.change), ("gain", row.gain))
                    },
                    "attention_by_layer": [round(share, 6) for share in row.layers],
                }
                for row in self.rows
            ],
            "special_tokens_attention": self.special,
            "notes": list(self.notes),
            "made_from": dict(self.made_from),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """What `to_dict` gave: numbers rounded."""

        def interval(found: Mapping[str, float | None] | None) -> Interval | None:
            return None if found is None else unrounded(found)

        rows = tuple(
            AverageRow(
                row["name"],
                row["prompts"],
                row["tokens"],
                interval(row["attention"]),
                interval(row["change"]),
                interval(row["gain"]),
                tuple(row["attention_by_layer"]),
            )
            for row in value["rows"]
        )
        return cls(
            value["title"],
            rows,
            value["special_tokens_attention"],
            value["events"],
            value["users"],
            tuple(value["notes"]),
            value["made_from"],
        )

    def tables(self) -> list[Table]:
        """For the screen."""
        from score_rag.explain.average_table import average_table

        return [average_table(self)]


def _ordered(looks: Sequence[PromptLook]) -> list[str]:
    """All names, as they stand in prompts: the second neighbour after the first, though few prompts have it."""
    place: dict[str, list[float]] = {}
    for look in looks:
        for number, one in enumerate(look.segments):
            place.setdefault(one.name, []).append(number / len(look.segments))
    return sorted(place, key=lambda name: (np.mean(place[name]), name))


def _layers(looks: Sequence[PromptLook], name: str, there: Sequence[int]) -> tuple[float, ...]:
    found = []
    for place in there:
        heads = looks[place].heads
        if heads is None:
            return ()
        column = next(number for number, one in enumerate(looks[place].segments) if one.name == name)
        found.append(heads[:, :, column].mean(axis=1))
    return tuple(np.mean(found, axis=0).tolist())


def _log(probability: float, label: int) -> float:
    said = probability if label else 1.0 - probability
    return float(np.log(max(said, 1e-12)))
