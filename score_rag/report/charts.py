"""Charts of the tables that evaluation stores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from score_rag.metrics.bootstrap import Interval
from score_rag.pages.chart import COLOURS
from score_rag.report.section import Drawn, draw

if TYPE_CHECKING:
    from score_rag.evaluation.evidence_report import EvidenceReport
    from score_rag.evaluation.scorecard import Scorecard
    from score_rag.explain.average import AveragePicture

__all__ = ["losses_chart", "parts_chart", "scorecard_charts"]

_BLUE, _RULE = COLOURS["neighbour"], "#888888"
_MARKS = {"worse": "#B3261E", "same": "#888888", "better": "#1A7F37"}


def scorecard_charts(card: Scorecard) -> list[Drawn]:
    """Scorers with their intervals, and reliability where it is known."""
    names = [row.name for row in card.rows]

    def scores(figure: Any) -> None:
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, title, found in ((left, "AUC", [row.auc for row in card.rows]), (right, "UAUC", [row.uauc for row in card.rows])):
            _intervals(axes, names, found, [_BLUE] * len(names))
            axes.set_title(title)

    out = draw(scores, 9, 1.2 + 0.35 * len(names), "AUC and UAUC of each scorer with 95 % intervals")
    return out + (_reliability(card) if card.calibration is not None else [])


def _reliability(card: Scorecard) -> list[Drawn]:
    assert card.calibration is not None
    bins = card.calibration.bins

    def curve(figure: Any) -> None:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], "--", color=_RULE, linewidth=1, label="perfectly calibrated")
        axes.plot([one.said for one in bins], [one.liked for one in bins], "o-", color=_BLUE, linewidth=2, label="SCORE")
        axes.set(xlabel="predicted P(like)", ylabel="share liked", xlim=(0, 1), ylim=(0, 1), title="Reliability")
        axes.set_aspect("equal")
        axes.legend(loc="upper left")

    return draw(curve, 5.2, 5, f"Reliability of SCORE: predicted against liked, {len(bins)} bins of equal numbers of questions")


def losses_chart(report: EvidenceReport) -> list[Drawn]:
    """What is lost by each change, with paired intervals; left of zero the predictor is better with the change."""
    names = [f"{row.group}: {row.name}" for row in report.rows]

    def losses(figure: Any) -> None:
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, title, found in (
            (left, "AUC lost", [row.auc_loss for row in report.rows]),
            (right, "UAUC lost", [row.uauc_loss for row in report.rows]),
        ):
            colours = [_MARKS["worse" if one.low > 0 else "better" if one.high < 0 else "same"] for one in found]
            _intervals(axes, names, found, colours)
            axes.axvline(0, color=_RULE, linewidth=1)
            axes.set_title(title)

    return draw(losses, 9, 1.2 + 0.35 * len(names), "AUC and UAUC lost by each change of the evidence, 95 % intervals paired over users")


def parts_chart(picture: AveragePicture) -> list[Drawn]:
    """Attention beside what each part changes."""
    from score_rag.explain.plot import PartsChart, draw_parts, height

    chart = PartsChart.of(picture)
    return draw(
        lambda figure: draw_parts(figure, chart), 10, height(chart), "Share of attention, and mean change of P(like), by part of the prompt"
    )


def _intervals(axes: Any, names: Sequence[str], found: Sequence[Interval], colours: Sequence[str]) -> None:
    places = np.arange(len(names))
    for place, one, colour in zip(places, found, colours, strict=True):
        if not np.isnan([one.low, one.high]).any():
            axes.plot([one.low, one.high], [place, place], color=colour, linewidth=2)
        axes.plot([one.value], [place], "o", color=colour, markersize=7)
    axes.set_yticks(places, list(names), parse_math=False)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.locator_params(axis="x", nbins=5)
