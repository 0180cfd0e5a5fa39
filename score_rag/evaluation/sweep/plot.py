"""The curves of a sweep as a picture: a panel for each number that is swept, a line for each combination of the others."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from score_rag.errors import InputError
from score_rag.pages.chart import check_picture, new_figure, save_picture

if TYPE_CHECKING:
    from score_rag.evaluation.sweep.table import SweepTable

__all__ = ["plot_sweep"]

# Told apart by hue in every common kind of colour blindness (Okabe and Ito); markers say the same again.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#882255", "#000000")
_MARKERS = "osD^vP*X"
_NAMES = {"auc": "AUC", "uauc": "UAUC", "log_loss": "log-loss"}


def plot_sweep(table: SweepTable, path: Path | str) -> Path:
    """Draw AUC and UAUC (or what the sweep chose by) with 95 % intervals into a PNG.

    Args:
        path: Ends in `.png`; its folder is made.

    Raises:
        InputError: The name ends otherwise, matplotlib is not installed, or no swept setting is a number.
    """
    path = check_picture(Path(path), (".png",))
    rows = [row for row in table.rows if not row.failed]
    names = [name for name in table.names if len({_number(row.values.get(name)) for row in rows} - {None}) > 1]
    if not names:
        raise InputError("no swept setting is a number with several values, so there is no curve to draw", where="--plot")
    metrics = list(dict.fromkeys((table.by, "auc", "uauc")))[:2]
    with new_figure(6 * len(names), 4 * len(metrics), dpi=100) as figure:
        axes = figure.subplots(len(metrics), len(names), squeeze=False)
        for column, name in enumerate(names):
            for line, metric in enumerate(metrics):
                _draw(axes[line][column], table, name, metric)
        figure.suptitle(f"{table.title}: {table.events:,} events, 95 % intervals over users", parse_math=False)
        save_picture(figure, path)
    return path


def _draw(axis: Any, table: SweepTable, name: str, metric: Any) -> None:
    lines: dict[str, list[tuple[float, Any]]] = {}
    for row in table.rows:
        value = _number(row.values.get(name))
        if row.failed or value is None:
            continue
        others = ", ".join(
            f"{key.rpartition('.')[2]} {json.dumps(row.values[key])}" for key in table.names if key != name and key in row.values
        )
        lines.setdefault(others, []).append((value, row.metrics[metric]))
    # Points of one value stand side by side, or their intervals would hide each other.
    values = sorted({value for line in lines.values() for value, _ in line})
    step = min((b - a for a, b in itertools.pairwise(values)), default=1.0) * 0.2
    for place, (told, points) in enumerate(lines.items()):
        shift = 0.0 if len(lines) == 1 else step * (place / (len(lines) - 1) - 0.5)
        points.sort(key=lambda point: point[0])
        at, found = [value + shift for value, _ in points], [one.value for _, one in points]
        spread = [[max(0.0, one.value - one.low) for _, one in points], [max(0.0, one.high - one.value) for _, one in points]]
        colour, marker = _COLOURS[place % len(_COLOURS)], _MARKERS[place % len(_MARKERS)]
        axis.errorbar(at, found, yerr=spread, color=colour, marker=marker, capsize=3, linewidth=1.2, label=told or None)
    axis.set_xticks(values)
    axis.set_xlabel(name)
    axis.set_ylabel(_NAMES[metric])
    if len(lines) > 1:
        axis.legend(fontsize=8)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
