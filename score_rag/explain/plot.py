"""Explanations as a picture: attention beside what each part changes, and attention by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from score_rag.context.segments import kind_of
from score_rag.explain.average import AveragePicture
from score_rag.explain.explanation import Explanation
from score_rag.metrics.bootstrap import Interval
from score_rag.pages.chart import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PartsChart", "draw_parts", "height"]


@dataclass(frozen=True)
class PartsChart:
    """What is drawn, a part of the prompt a row.

    Attributes:
        attention: Shares [n]; None where the engine tells none.
        effect: [n], nan where a part cannot be left out.
        effect_name: What the second axis says.
        ranges: 95 % intervals of both, where there are any.
        heat: [rows, n], attention by layer (and head).
        heat_rows: Names of its rows.
    """

    title: str
    names: Sequence[str]
    labels: Sequence[str]
    attention: Sequence[float] | None
    effect: Sequence[float]
    effect_name: str
    ranges: tuple[Sequence[Interval | None], Sequence[Interval | None]] | None = None
    heat: np.ndarray | None = None
    heat_rows: Sequence[str] = field(default_factory=list)

    @classmethod
    def of(cls, found: Explanation | AveragePicture) -> PartsChart:
        """Of one answer, or of many."""
        if isinstance(found, AveragePicture):
            rows = found.rows
            told = all(row.attention is not None for row in rows)
            heat = np.array([row.layers for row in rows]).T if told and rows and rows[0].layers else None
            return cls(
                found.title,
                [row.name for row in rows],
                [row.name for row in rows],
                [row.attention.value for row in rows if row.attention is not None] if told else None,
                [np.nan if row.change is None else row.change.value for row in rows],
                "mean |change| of P(like) without it",
                ([row.attention for row in rows], [row.change for row in rows]),
                heat,
                [] if heat is None else [f"layer {place + 1}" for place in range(len(heat))],
            )
        look = found.look
        who = "this user" if found.recommendation.user_id is None else f"user {found.recommendation.user_id}"
        attention = None if look.heads is None else [one.attention or 0.0 for one in look.segments]
        heat = None if look.heads is None else look.heads[:, :, :-1]
        names = []
        if heat is not None:
            layers, heads = heat.shape[:2]
            if layers * heads > 40:
                heat, names = heat.mean(axis=1), [f"layer {place + 1}" for place in range(layers)]
            else:
                names = [f"layer {layer + 1}, head {head + 1}" for layer in range(layers) for head in range(heads)]
                heat = heat.reshape(layers * heads, -1)
        return cls(
            f"{who}, {found.recommendation.item.name}: P(like) {look.answer.probability:.3f}",
            [one.name for one in look.segments],
            [one.label for one in look.segments],
            attention,
            [np.nan if one.effect is None else one.effect for one in look.segments],
            "P(like) less P(like) without it",
            None,
            heat,
            names,
        )


def draw_parts(figure: Any, chart: PartsChart) -> None:
    """Draw into a figure."""
    figure.suptitle(chart.title, fontsize=13, x=0.01, ha="left", parse_math=False)
    panels = [] if chart.attention is None else ["look"]
    panels += ["effect"]
    grid = [panels] if chart.heat is None else [panels, ["heat"] * len(panels)]
    heights = None if chart.heat is None else [len(chart.names) + 2, len(chart.heat_rows) + 4]
    axes = figure.subplot_mosaic(grid, height_ratios=heights)
    if chart.attention is not None:
        _bars(axes["look"], chart, chart.attention, chart.ranges and chart.ranges[0])
        axes["look"].set(title="where the verdict looks", xlabel="share of attention")
    _bars(axes["effect"], chart, chart.effect, chart.ranges and chart.ranges[1])
    axes["effect"].axvline(0, color="#888888", linewidth=1)
    axes["effect"].set(title="what it changes", xlabel=chart.effect_name)
    if chart.attention is not None:
        axes["effect"].tick_params(axis="y", labelleft=False)
    if chart.heat is not None:
        _heat(axes["heat"], chart)


def _bars(axes: Axes, chart: PartsChart, values: Sequence[float], ranges: Sequence[Interval | None] | None) -> None:
    places = np.arange(len(chart.names))
    colours = [COLOURS[kind_of(name)] for name in chart.names]
    axes.barh(places, np.nan_to_num(values), color=colours, height=0.7)
    for place, found in enumerate(ranges or []):
        if found is not None:
            axes.plot([found.low, found.high], [place, place], color="#888888", linewidth=2)
    for place, value in enumerate(values):
        if np.isnan(value):
            told = axes.text(0.5, place, "cannot be left out", transform=axes.get_yaxis_transform(), ha="center", va="center", fontsize=9)
            told.set_color("#888888")
    axes.set_yticks(places, list(chart.labels), parse_math=False)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.locator_params(axis="x", nbins=5)


def _heat(axes: Axes, chart: PartsChart) -> None:
    assert chart.heat is not None
    shown = axes.imshow(chart.heat, aspect="auto", cmap="cividis", vmin=0)
    axes.set_title("attention by layer" + (" and head" if chart.heat_rows and "head" in chart.heat_rows[0] else ""))
    axes.set_xticks(
        np.arange(len(chart.names)), [name.replace("expectation.", "expected\n").replace(" ", "\n") for name in chart.names], fontsize=8
    )
    axes.set_yticks(np.arange(len(chart.heat_rows)), list(chart.heat_rows), fontsize=9)
    axes.grid(visible=False)
    axes.figure.colorbar(shown, ax=axes, label="share", fraction=0.03, pad=0.01)


def height(chart: PartsChart) -> float:
    """Inches that a chart of 10 inches' width is high."""
    return 1.6 + 0.42 * len(chart.names) + (0 if chart.heat is None else 1.6 + 0.3 * len(chart.heat_rows))
