"""What was measured of a run, for pages: its report, and how often answers near a probability came true."""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from typing import Any

from markupsafe import Markup

from score_rag.evaluation.scorecard import Scorecard
from score_rag.evaluation.stored import staleness
from score_rag.files import read_json
from score_rag.metrics.probability import Bin
from score_rag.pages.chart import styles_as_attributes
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.run import Run
from score_rag.pipeline.state import run_folder
from score_rag.report.ran import cost_section, data_section, ran_section
from score_rag.report.report import tables_sections
from score_rag.report.section import Section

__all__ = ["Measuring", "near"]

_IMAGE = re.compile(r'xlink:href="data:image/png;base64,([^"]*)"')


class Measuring:
    """Reads what is stored of a run, again where a stored table has changed. Of threads that ask at once, each may read.

    Args:
        pipeline: Whose run.

    Attributes:
        images: Pictures inside charts (PNG), by their digest.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self._bins: tuple[Any, tuple[Bin, ...]] = (None, ())
        self.images: dict[str, bytes] = {}
        self._sections: tuple[Any, list[Section]] = (None, [])

    @property
    def _files(self) -> list[Path]:
        return sorted((run_folder(self.pipeline) / "evaluation").glob("*.json"))

    def _stamp(self) -> tuple[Any, ...]:
        return tuple((file.name, file.stat().st_mtime_ns) for file in self._files)

    def bins(self) -> tuple[Bin, ...]:
        """How often answers came true; of the stored table with the most events."""
        stamp = self._stamp()
        if self._bins[0] != stamp:
            self._bins = stamp, _bins(self.pipeline, [read_json(file) for file in self._files])
        return self._bins[1]

    def sections(self) -> list[Section]:
        """Chapters of the report, but for its examples: those need the models once more."""
        stamp = self._stamp()
        if self._sections[0] != stamp:
            run = Run.open(self.pipeline, stages=("data",))
            images: dict[str, bytes] = {}
            tables = [_plain(section, images) for section in tables_sections(self.pipeline)]
            self.images = images
            self._sections = stamp, [ran_section(run), data_section(run), *tables, cost_section(self.pipeline)]
        return self._sections[1]


def _plain(section: Section, images: dict[str, bytes]) -> Section:
    """Charts without styles and pictures in them: the server's policy lets none in. `images` takes the pictures."""

    def kept(found: re.Match[str]) -> str:
        data = b64decode(found.group(1))
        name = hashlib.sha256(data).hexdigest()[:32]
        images[name] = data
        return f'href="/chart?name={name}"'

    charts = [chart._replace(svg=Markup(_IMAGE.sub(kept, styles_as_attributes(chart.svg)))) for chart in section.charts]
    return replace(section, charts=charts, parts=[_plain(part, images) for part in section.parts])


def _bins(pipeline: Pipeline, tables: list[Any]) -> tuple[Bin, ...]:
    """Of the table with the most events."""
    best: tuple[int, tuple[Bin, ...]] = (0, ())
    for content in tables:
        if not isinstance(content, dict) or "rows" not in content or content.get("kind", "scorecard") != "scorecard":
            continue
        if any(note.startswith("STALE") for note in staleness(pipeline, content)):
            continue
        card = Scorecard.from_dict(content)
        if card.calibration is not None and card.events > best[0]:
            best = card.events, card.calibration.bins
    return best[1]


def near(bins: tuple[Bin, ...], probability: float) -> str:
    """What came of answers near a probability, in words; empty where nothing was measured.

    >>> near((Bin(40, 0.2, 0.25), Bin(40, 0.7, 0.6)), 0.65)
    '60 % of 40 evaluated questions answered near 0.70 were liked'
    >>> near((), 0.65)
    ''
    """
    if not bins:
        return ""
    found = min(bins, key=lambda one: abs(one.said - probability))
    return f"{found.liked * 100:.0f} % of {found.questions:,} evaluated questions answered near {found.said:.2f} were liked"
