"""The report on assessments as one picture: length, failures, distinctness, and what they foresee, by group.

Needs matplotlib: `pip install "score-rag[plot]"`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from score_rag.errors import DataError
from score_rag.extras import require
from score_rag.pages.chart import check_picture, new_figure, save_picture
from score_rag.reranker.assess_report import ReportRow

__all__ = ["check_plot_path", "plot_report"]

# Told apart by hue in every common kind of colour blindness, and by lightness in grey.
_COLOURS = {"": "#555555", "activity": "#0072B2", "strength": "#E69F00"}
_SECOND = "#CC79A7"


def check_plot_path(path: Path) -> None:
    """A picture can be written there.

    Raises:
        InputError: The file's name ends in neither `.png` nor `.svg`.
        MissingPackageError: matplotlib is not installed.
    """
    check_picture(path)
    require("matplotlib")


def plot_report(rows: Sequence[ReportRow], path: Path, *, title: str = "") -> Path:
    """Draw a report into a PNG (1200 x 800 pixels) or SVG, written aside and then moved; the same report gives the same bytes.

    Raises:
        InputError, ScoreError: As `check_plot_path`.
        DataError: No question was answered or failed.
    """
    check_plot_path(path)
    if not rows or not (rows[0].answered or rows[0].failed):
        raise DataError("there are no assessments to draw", hint="ask for them first")
    with new_figure(12, 8, dpi=100) as figure:
        axes = figure.subplots(2, 2)
        _bars(axes[0, 0], rows, lambda row: row.words, "length: words in an assessment")
        _bars(axes[0, 1], rows, _failed, "failed: share of the questions asked")
        _bars(axes[1, 0], rows, lambda row: row.distinctness, "distinctness: 1 − likeness to others' on the same item")
        for place, row in enumerate(rows):
            if row.other_items is not None:
                axes[1, 0].plot(place, 1 - row.other_items, "D", color=_SECOND, label="on other items" if place == 0 else None)
        axes[1, 0].set_ylim(0, 1.05)
        axes[1, 0].legend(loc="lower right")
        _agreement(axes[1, 1], rows)
        told = f"{rows[0].answered:,} of {rows[0].questions:,} questions answered"
        figure.suptitle(f"{title}: {told}" if title else told, fontsize=14, parse_math=False)
        save_picture(figure, path)
    return path


def _failed(row: ReportRow) -> float | None:
    failed = sum(row.failed.values())
    return failed / (row.answered + failed) if row.answered + failed else None


def _bars(axes: Any, rows: Sequence[ReportRow], value: Callable[[ReportRow], float | None], title: str) -> None:
    heights = [value(row) or 0.0 for row in rows]
    axes.bar(range(len(rows)), heights, color=[_COLOURS[row.by] for row in rows])
    _groups(axes, rows, title)


def _agreement(axes: Any, rows: Sequence[ReportRow]) -> None:
    _groups(axes, rows, "rank correlation with measured usefulness, 95 %")
    axes.axhline(0, color="#555555", linewidth=1)
    known = [(place, row, row.agreement) for place, row in enumerate(rows) if row.agreement is not None]
    for place, row, found in known:
        around = [[found.value - found.low], [found.high - found.value]]
        axes.errorbar(place, found.value, yerr=around, fmt="o", capsize=4, color=_COLOURS[row.by])
    if not known:
        axes.text(0.5, 0.5, "not measured (report --measure)", transform=axes.transAxes, ha="center", va="center")


def _groups(axes: Any, rows: Sequence[ReportRow], title: str) -> None:
    names = [f"{row.by}\n{row.group}" if row.by else row.group for row in rows]
    axes.set_xticks(range(len(rows)), names, fontsize=8, parse_math=False)
    axes.set_xlim(-0.6, len(rows) - 0.4)
    axes.set_title(title)
