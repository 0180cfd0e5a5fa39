"""A source read and prepared, in one call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from score_rag.data.interactions import Interactions
from score_rag.data.prepare import prepare
from score_rag.data.report import DataReport
from score_rag.data.settings import DataSettings
from score_rag.data.sources import read_source
from score_rag.progress import Report, silent

__all__ = ["load"]


def load(
    source: DataSettings | str, path: Path | str | None = None, *, seed: int = 0, progress: Report = silent, **changes: Any
) -> tuple[Interactions, DataReport]:
    """Read a source and prepare it: the one table, and the account of how it came about.

    Args:
        source: The settings, or the name of a source, all else at its default.
        path: The folder of its files (not for `sample`), where it is not among the settings.
        seed: Of the simulated sample, and of all random sampling.
        progress: Told how far the work is.
        changes: Single settings, in place of those given.

    Raises:
        InputError: An unknown source or setting.
        DataError: A file is missing or malformed.
    """
    if path is not None:
        changes["path"] = str(path)
    settings = DataSettings.of(source=source, **changes) if isinstance(source, str) else source.changed(**changes)
    report = DataReport(settings.source)
    progress("reading data", 0, 2)
    events, items = read_source(settings.source, settings.path, report=report, seed=seed, progress=progress, **settings.reading())
    progress("reading data", 1, 2)
    interactions = prepare(events, items, settings, report=report, seed=seed)
    progress("reading data", 2, 2)
    return interactions, report
