"""The report of a run: one page, or Markdown, of all that it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from score_rag.errors import StageError
from score_rag.evaluation.stored import staleness
from score_rag.files import read_json
from score_rag.pages.page import render
from score_rag.pages.table import plain
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.run import Run
from score_rag.pipeline.state import finished_record, run_folder
from score_rag.progress import Report, silent
from score_rag.report.examples import examples_section
from score_rag.report.kinds import show_table
from score_rag.report.ran import cost_section, data_section, ran_section
from score_rag.report.section import Section

__all__ = ["contamination_sections", "default_path", "tables_sections", "to_html", "to_markdown", "write_sections"]


def write_sections(pipeline: Pipeline, *, report: Report = silent) -> list[Section]:
    """All chapters.

    Args:
        pipeline: One whose data stage is finished; what else is finished is told.

    Raises:
        StageError: The data stage is not finished.
    """
    run = Run.open(pipeline, stages=("data",))
    report("writing the report", 0, 5)
    out = [ran_section(run), data_section(run)]
    report("writing the report", 2, 5)
    out += tables_sections(pipeline)
    out += contamination_sections(pipeline)
    report("writing the report", 3, 5)
    if finished_record(pipeline, "predictor") is not None:
        out.append(_or_note(run))
    report("writing the report", 4, 5)
    out.append(cost_section(pipeline))
    report("writing the report", 5, 5)
    return out


def _or_note(run: Run) -> Section:
    try:
        return examples_section(run)
    except StageError as error:
        return Section("examples", "Good and bad evidence", notes=[f"not told: {error.what}"])


def tables_sections(pipeline: Pipeline) -> list[Section]:
    """A chapter for each kind of stored table, a part for each table; of stale ones what has changed."""
    chapters: dict[str, tuple[str, list[Section]]] = {}
    for file in sorted((run_folder(pipeline) / "evaluation").glob("*.json")):
        content: Any = read_json(file)
        if not isinstance(content, dict) or "rows" not in content:
            continue
        kind = str(content.get("kind", "scorecard"))
        title, tables, charts = show_table(kind, content)
        stale = staleness(pipeline, content)
        warnings = [note for note in stale if note.startswith("STALE")]
        notes = [f"evaluation/{file.name}", *(note for note in stale if note not in warnings)]
        part = Section(f"table-{file.stem}", str(content.get("title") or file.stem), warnings, ["; ".join(notes)], tables, charts)
        chapters.setdefault(kind, (title, []))[1].append(part)
    if not chapters:
        return [Section("tables", "Scores", notes=[f"nothing is evaluated yet: score-rag evaluate {pipeline.words}"])]
    first = sorted(chapters, key=lambda kind: (kind != "scorecard", kind))
    return [Section(f"kind-{kind}", chapters[kind][0], parts=chapters[kind][1]) for kind in first]


def contamination_sections(pipeline: Pipeline) -> list[Section]:
    """What the probe of the base found, with its warning; none where it was not probed."""
    from score_rag.audit.contamination import Contamination

    file = run_folder(pipeline) / "evaluation" / "contamination.json"
    if not file.is_file():
        return []
    found = Contamination.from_dict(read_json(file))
    notes = found.lines() if not found.own else [*found.lines(), *found.warnings()]
    return [Section("contamination", "Does the base know the catalogue?", () if found.own else found.warnings(), notes)]


def to_html(pipeline: Pipeline, sections: list[Section]) -> str:
    """One HTML file."""
    return render("report.html", name=pipeline.name, about=pipeline.description, sections=sections)


def to_markdown(pipeline: Pipeline, sections: list[Section]) -> str:
    """The same without charts: every number of theirs stands in a table."""
    lines = [f"# {plain(pipeline.name)}", ""]
    if pipeline.description:
        lines += [plain(pipeline.description), ""]
    for section in sections:
        lines += _markdown(section, 2)
    return "\n".join(lines).rstrip() + "\n"


def _markdown(section: Section, depth: int) -> list[str]:
    lines = [f"{'#' * depth} {plain(section.title)}", ""]
    for warning in section.warnings:
        lines += [f"**{plain(warning)}**", ""]
    for note in section.notes:
        lines += [plain(note), ""]
    for table in section.tables:
        lines += [table.to_markdown(), ""]
    for example in section.examples:
        lines += [f"{'#' * (depth + 1)} {plain(example.title)}", "", plain(example.told), ""]
        lines += [f"    {line}" for line in "".join(piece.text for piece in example.pieces).splitlines()] + [""]
    for part in section.parts:
        lines += _markdown(part, depth + 1)
    return lines


def default_path(pipeline: Pipeline, *, markdown: bool) -> Path:
    """`runs/NAME/report.html`, or `.md`."""
    return run_folder(pipeline) / ("report.md" if markdown else "report.html")
