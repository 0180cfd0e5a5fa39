"""One scorer's line of a scorecard: its measures with their intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from score_rag.evaluation.intervals import known, rounded, unrounded
from score_rag.metrics.bootstrap import Bootstrap, Interval
from score_rag.metrics.measures import OF_PROBABILITIES, Measured

__all__ = ["ScorecardRow"]

_OF_ROWS = ("own_ndcg", "own_recall", *OF_PROBABILITIES)


@dataclass(frozen=True)
class ScorecardRow:
    """One scorer; p-values are of its difference from the reference, None for the reference itself or without one.

    Attributes:
        name: As printed.
        auc: Over all rows.
        uauc: Mean of users' own.
        auc_p: Paired bootstrap test against the reference.
        uauc_p: The same of UAUC.
        ndcg: NDCG@10 of full ranking; None where the scorer did not rank.
        recall: Recall@10 of full ranking.
        own_ndcg: NDCG@k of each user's scored rows; not measured on parts.
        own_recall: Recall@k of the same.
        log_loss: Nats; None where the scores are no probabilities.
        brier: Mean squared error; likewise.
        ece: Expected calibration error; likewise.
        chance_ece: The calibration error that perfect probabilities would show on so many rows.
    """

    name: str
    auc: Interval
    uauc: Interval
    auc_p: float | None = None
    uauc_p: float | None = None
    ndcg: float | None = None
    recall: float | None = None
    own_ndcg: Interval | None = None
    own_recall: Interval | None = None
    log_loss: Interval | None = None
    brier: Interval | None = None
    ece: Interval | None = None
    chance_ece: float | None = None

    @classmethod
    def of(cls, name: str, measured: Measured, base: Measured | None) -> Self:
        """From what was measured.

        Args:
            base: The reference's, where this is not the reference.
        """
        found = {measure: Bootstrap.interval(*drawn) for measure, drawn in measured.values.items()}
        auc_p, uauc_p = (
            None if base is None else Bootstrap.p_value(measured.values[one][1], base.values[one][1]) for one in ("auc", "uauc")
        )
        return cls(
            name,
            found["auc"],
            found["uauc"],
            auc_p,
            uauc_p,
            own_ndcg=found.get("ndcg"),
            own_recall=found.get("recall"),
            log_loss=found.get("log_loss"),
            brier=found.get("brier"),
            ece=found.get("ece"),
            chance_ece=measured.chance_ece,
        )

    @property
    def probabilities(self) -> bool:
        """Whether the scores are probabilities."""
        return self.log_loss is not None

    def to_dict(self, *, ranked: bool, k: int) -> dict[str, Any]:
        """For JSON; measures that were not taken are left out, but that scores are no probabilities is told."""
        out: dict[str, Any] = {"name": self.name, "auc": rounded(self.auc), "uauc": rounded(self.uauc)}
        out |= {"auc_p": known(self.auc_p), "uauc_p": known(self.uauc_p)}
        if ranked:
            out |= {"ndcg@10": self.ndcg, "recall@10": self.recall}
        if self.own_ndcg is not None and self.own_recall is not None:
            out |= {
                f"own_ndcg@{k}": rounded(self.own_ndcg),
                f"own_recall@{k}": rounded(self.own_recall),
                "probabilities": self.probabilities,
            }
        for name in OF_PROBABILITIES:
            if (found := getattr(self, name)) is not None:
                out[name] = rounded(found)
        return out | ({} if self.chance_ece is None else {"chance_ece": round(self.chance_ece, 5)})

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], *, k: int) -> Self:
        """What `to_dict` gave: intervals rounded, all else as it was."""
        named = {"own_ndcg": f"own_ndcg@{k}", "own_recall": f"own_recall@{k}"}
        told = {name: value.get(named.get(name, name)) for name in _OF_ROWS}
        found = {name: None if one is None else unrounded(one) for name, one in told.items()}
        return cls(
            value["name"],
            unrounded(value["auc"]),
            unrounded(value["uauc"]),
            value["auc_p"],
            value["uauc_p"],
            value.get("ndcg@10"),
            value.get("recall@10"),
            own_ndcg=found["own_ndcg"],
            own_recall=found["own_recall"],
            log_loss=found["log_loss"],
            brier=found["brier"],
            ece=found["ece"],
            chance_ece=value.get("chance_ece"),
        )
