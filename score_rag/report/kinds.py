"""Kinds of stored tables, and how a report shows each; a kind that is not known here is shown by what its rows hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from score_rag.pages.table import PageTable
from score_rag.report.section import Drawn

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["StoredKind", "register", "show_table"]


class Shown(Protocol):
    """What a kind's content is read as."""

    def tables(self) -> list[Table]: ...


def _no_charts(found: Any) -> list[Drawn]:
    return []


@dataclass(frozen=True)
class StoredKind:
    """One kind.

    Attributes:
        title: What a chapter of such tables is called.
        read: From the content of the file to the table.
        charts: Draws it.
    """

    title: str
    read: Callable[[Mapping[str, Any]], Shown]
    charts: Callable[[Any], list[Drawn]] = _no_charts


_KINDS: dict[str, StoredKind] = {}


def register(kind: str, shown: StoredKind) -> None:
    """Show stored tables of a kind (the `kind` in their JSON) so."""
    _KINDS[kind] = shown


def _known() -> dict[str, StoredKind]:
    from score_rag.evaluation.ablate.table import AblationTable
    from score_rag.evaluation.evidence_report import EvidenceReport
    from score_rag.evaluation.scorecard import Scorecard
    from score_rag.evaluation.sweep.table import SweepTable
    from score_rag.explain.average import AveragePicture
    from score_rag.report.charts import losses_chart, parts_chart, scorecard_charts

    return {
        "scorecard": StoredKind("Scores", Scorecard.from_dict, scorecard_charts),
        "evidence": StoredKind("What the evidence is worth", EvidenceReport.from_dict, losses_chart),
        "shuffled": StoredKind("Evidence shuffled across users", EvidenceReport.from_dict, losses_chart),
        "explained": StoredKind("What verdicts look at, and what each part changes", AveragePicture.from_dict, parts_chart),
        "ablation": StoredKind("What each part is worth", AblationTable.from_dict),
        "sweep": StoredKind("Settings on validation events", SweepTable.from_dict),
        **_KINDS,
    }


def show_table(kind: str, content: Mapping[str, Any]) -> tuple[str, list[PageTable], list[Drawn]]:
    """(title, tables, charts) of a stored table."""
    known = _known().get(kind)
    if known is None:
        return kind.replace("_", " ").replace("-", " ").capitalize(), _generic(content), []
    found = known.read(content)
    return known.title, [PageTable.of(table) for table in found.tables()], known.charts(found)


def _generic(content: Mapping[str, Any]) -> list[PageTable]:
    """All lists of like objects, as tables."""
    out = []
    for name, value in content.items():
        if not isinstance(value, list) or not value or not all(isinstance(row, dict) for row in value):
            continue
        columns = list(dict.fromkeys(key for row in value for key in row))
        caption = str(content.get("title", "")) if name == "rows" else name
        notes = [str(note) for note in content.get("notes", ())] if name == "rows" else []
        out.append(PageTable(caption or name, columns, [[_cell(row.get(key)) for key in columns] for row in value], notes=notes))
    return out


def _cell(value: Any) -> str:
    if isinstance(value, dict) and value.keys() >= {"value", "low", "high"}:
        return f"{_cell(value['value'])} ({_cell(value['low'])} to {_cell(value['high'])})"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_cell(one)}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(_cell(one) for one in value)
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
