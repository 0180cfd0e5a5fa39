"""What data is like, as one picture: events over time, events a user, how popular items are, and how often is liked.

Needs matplotlib: `pip install 'score-rag[plot]'`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl

from score_rag.data.describe import BINS, Spread, event_counts
from score_rag.data.interactions import SPLITS, Interactions
from score_rag.errors import DataError
from score_rag.pages.chart import check_picture, new_figure, save_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot"]

# Told apart by hue in every common kind of colour blindness, and by lightness in grey; markers say the same again.
_COLOURS = {"background": "#56B4E9", "train": "#0072B2", "valid": "#E69F00", "test": "#882255"}
_MARKERS = {"background": "D", "train": "o", "valid": "s", "test": "^"}
# Polars' words for a unit of calendar time, and its seconds.
_UNITS = {"minute": ("1m", 60), "hour": ("1h", 3600), "day": ("1d", 86_400), "week": ("1w", 604_800)}
_UNITS |= {"month": ("1mo", 2_629_746), "quarter": ("1q", 7_889_238), "year": ("1y", 31_556_952)}
_MOST_BINS = 120
_RULE = "#555555"
_LEGEND: dict[str, Any] = {"frameon": True, "framealpha": 1, "facecolor": "white", "edgecolor": "white", "borderaxespad": 0}
"""Over the lines of the grid."""


class _Course(NamedTuple):
    """Counts along time (or along the place in a user's history), each [bins, splits].

    `judged` leaves sampled negatives out, `rows` and `liked` count whatever is scored.
    """

    unit: str
    edges: np.ndarray
    judged: np.ndarray
    rows: np.ndarray
    liked: np.ndarray


def plot(interactions: Interactions, path: Path | str, *, title: str = "") -> Path:
    """Draw the data into a PNG of 1200 x 800 pixels, written aside and then moved.

    Args:
        interactions: The table.
        path: The file, `.png`; its folder is made.
        title: Stands before the numbers above the panels, such as a pipeline's name.

    Returns:
        The path.

    Raises:
        InputError: The file's name does not end in `.png`.
        DataError: There are no events.
        MissingPackageError: matplotlib is not installed.
    """
    path = check_picture(Path(path), (".png",))
    if interactions.events["sampled"].all():
        raise DataError("there are no events to draw")
    events = interactions.events
    judged = events.filter(~pl.col("sampled")) if interactions.sampled else events
    users, items = (counts[counts > 0] for counts in (event_counts(judged, name) for name in ("user_id", "item_id")))
    course = _course(interactions)
    with new_figure(12, 8, dpi=100) as figure:
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)
        axes = figure.subplots(2, 2)
        _draw_events(axes[0, 0], course)
        _draw_users(axes[0, 1], users)
        _draw_items(axes[1, 0], items)
        _draw_likes(axes[1, 1], course, "sampled negatives" if interactions.sampled else "")
        told = f"{len(users):,} users, {len(items):,} items with events, {len(judged):,} events"
        told += f" and {len(events) - len(judged):,} sampled negatives" if interactions.sampled else ""
        figure.suptitle(f"{title}: {told}" if title else told, fontsize=14, parse_math=False)
        save_picture(figure, path)
    return path


def _course(interactions: Interactions) -> _Course:
    """Bins of calendar time, the finest unit that makes at most 120 of them; or bins of places where times are a mere order."""
    events = interactions.events
    if interactions.clock == "order":
        places = events.select(pl.col("timestamp").rank("dense").over("user_id")).to_series().to_numpy()
        bins = np.searchsorted(list(BINS.values()), places, side="right") - 1
        unit, edges = "place", np.arange(len(BINS))
    else:
        times = events["timestamp"]
        span = times[-1] - times[0]
        unit = next((name for name, (_, seconds) in _UNITS.items() if span / seconds < _MOST_BINS - 1), "year")
        every = _UNITS[unit][0]
        ends = pl.from_epoch(pl.Series([times[0], times[-1]]), time_unit="s").dt.truncate(every)
        dates = pl.datetime_range(ends[0], ends[1], every, time_unit="us", eager=True)
        edges = dates.to_numpy()
        # Events are sorted, so that bins are runs of rows.
        starts = np.append(np.searchsorted(times.to_numpy(), dates.dt.epoch("s").to_numpy()), len(events))
        bins = np.repeat(np.arange(len(edges)), np.diff(starts))
    keys = bins * len(SPLITS) + events["split"].to_physical().to_numpy()

    def count(rows: np.ndarray | None = None) -> np.ndarray:
        chosen = keys if rows is None else keys[rows]
        return np.bincount(chosen, minlength=len(edges) * len(SPLITS)).reshape(len(edges), len(SPLITS))

    judged = count((~events["sampled"]).to_numpy()) if interactions.sampled else count()
    used = int(np.flatnonzero(judged.any(axis=1))[-1]) + 1
    return _Course(unit, *(part[:used] for part in (edges, judged, count(), count((events["label"] == 1).to_numpy()))))


def _draw_events(axes: Axes, course: _Course) -> None:
    places, widths = _along(axes, course)
    bottom = np.zeros(len(places))
    for number, split in enumerate(SPLITS):
        counts = course.judged[:, number]
        if counts.any():
            label = f"{split} ({counts.sum() / course.judged.sum():.0%})"
            axes.bar(places, counts, widths, bottom=bottom, align="edge", color=_COLOURS[split], label=label)
            bottom += counts
    axes.set_title("Events by place in the user's history" if course.unit == "place" else "Events over time")
    axes.set_ylabel("events" if course.unit == "place" else f"events a {course.unit}")
    _whole_numbers(axes.yaxis)
    axes.set_ylim(0, 1.2 * bottom.max())
    axes.legend(ncols=3, loc="upper right", **_LEGEND)


def _draw_users(axes: Axes, counts: np.ndarray) -> None:
    spread = Spread.of(counts)
    filled = [place for place, number in enumerate(spread.histogram.values()) if number]
    shown = list(spread.histogram.items())[filled[0] : filled[-1] + 1]
    bars = axes.bar([name for name, _ in shown], [number for _, number in shown], 0.9, color=_COLOURS["train"])
    axes.bar_label(bars, fmt="{:,.0f}", padding=2, fontsize=10)
    axes.set_ylim(0, 1.12 * max(spread.histogram.values()))
    axes.set_xlim(-0.6 - max(0, 4 - len(shown)) / 2, len(shown) - 0.4 + max(0, 4 - len(shown)) / 2)
    axes.grid(visible=False, axis="x")
    axes.set(title=f"Events a user: median {spread.median:,.4g}, mean {spread.mean:,.4g}", xlabel="events", ylabel="users")
    axes.tick_params(axis="x", labelsize=10 if len(shown) < 7 else 8)
    _whole_numbers(axes.yaxis)


def _draw_items(axes: Axes, counts: np.ndarray) -> None:
    ranked = np.sort(counts)[::-1]
    tenth = max(1, round(len(ranked) / 10))
    axes.plot(np.arange(1, len(ranked) + 1), ranked, "" if len(ranked) > 30 else "o-", color=_COLOURS["train"], linewidth=2.5)
    axes.axvline(tenth, color=_RULE, linestyle="--", linewidth=1)
    title = f"Popularity: first {tenth:,} items, {ranked[:tenth].sum() / ranked.sum():.0%} of events"
    axes.set(title=title, xlabel="rank of the item", ylabel="events")
    for name, axis, most, least in (("xscale", axes.xaxis, len(ranked), 1), ("yscale", axes.yaxis, ranked[0], ranked[-1])):
        # Below a factor of 30 a logarithmic axis has hardly a tick to read.
        if most >= 30 * least:
            axes.set(**{name: "log"})
            axis.set_major_formatter("{x:,.0f}")
        else:
            _whole_numbers(axis)


def _draw_likes(axes: Axes, course: _Course, resting: str) -> None:
    places, widths = _along(axes, course)
    rate = course.liked.sum() / course.rows.sum()
    axes.axhline(rate, color=_RULE, linestyle="--", linewidth=1, label=f"all ({rate:.1%})")
    for number, split in enumerate(SPLITS):
        there = np.flatnonzero(course.rows[:, number])
        rows, liked = course.rows[there, number], course.liked[there, number]
        if len(there):
            # Side by side, where one bin has several splits.
            at = places[there] + widths[there] * (0.3 + 0.2 * number)
            low, high = _wilson(liked, rows)
            axes.vlines(at, low, high, color=_COLOURS[split], alpha=0.45, linewidth=2)
            label = f"{split} ({liked.sum() / rows.sum():.1%})"
            axes.plot(at, liked / rows, _MARKERS[split], color=_COLOURS[split], markersize=5, label=label)
    axes.set_ylim(-0.03, 1.27)
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.set_title("Share liked" + (f" ({resting})" if resting else ""))
    axes.set_ylabel("liked, 95 % interval" if course.unit == "place" else f"liked a {course.unit}, 95 % interval")
    axes.legend(ncols=2, loc="upper right", **_LEGEND)


def _wilson(liked: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of a rate, which stays within 0 and 1 and is honest for few rows (Wilson 1927).

    >>> [round(float(bound[0]), 3) for bound in _wilson(np.array([0]), np.array([10]))]
    [0.0, 0.278]
    """
    z2, rate = 1.96**2, liked / rows
    middle = (rate + z2 / (2 * rows)) / (1 + z2 / rows)
    half = np.sqrt(z2 * (rate * (1 - rate) / rows + z2 / (4 * rows**2))) / (1 + z2 / rows)
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


def _along(axes: Axes, course: _Course) -> tuple[np.ndarray, np.ndarray]:
    """(left ends, widths) [bins] of the bins on the x axis, which is set up for them."""
    axes.grid(visible=False, axis="x")
    if course.unit == "place":
        places = np.arange(len(course.edges), dtype=float)
        axes.set_xticks(places + 0.45, list(BINS)[: len(places)])
        axes.set_xlim(-0.2, len(places) + 0.1)
        axes.set_xlabel("place in the user's history")
        return places, np.full(len(places), 0.9)
    dates: Any = import_module("matplotlib.dates")  # has no types
    places = np.asarray(dates.date2num(course.edges))
    widths = np.diff(places, append=places[-1] + (places[-1] - places[-2] if len(places) > 1 else 1 / 1440))
    pad = (places[-1] + widths[-1] - places[0]) / 50
    axes.set_xlim(places[0] - pad, places[-1] + widths[-1] + pad)
    locator = dates.AutoDateLocator(maxticks=8)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    axes.set_xlabel("UTC")
    return places, widths


def _whole_numbers(axis: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True, nbins=6, min_n_ticks=1))
    axis.set_major_formatter("{x:,.0f}")
