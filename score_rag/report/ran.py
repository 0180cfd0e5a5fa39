"""What ran, on what, and at what cost: settings, stages, versions, machines, spend; and the data it ran on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from score_rag.files import read_json
from score_rag.pages.table import PageTable
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.guard import Guard
from score_rag.pipeline.run import Run
from score_rag.pipeline.show import changed_settings
from score_rag.pipeline.stages import stages
from score_rag.pipeline.state import finished_record, run_folder, status
from score_rag.report.section import Section

__all__ = ["cost_section", "data_section", "ran_section"]


def ran_section(run: Run) -> Section:
    """Parts, settings, digests, seed, versions and machines."""
    pipeline = run.pipeline
    states = status(pipeline, stages(pipeline))
    records = _records(pipeline)
    changed = changed_settings(pipeline)
    warnings = [f"{one.name} is {one.state}" + (f" ({one.reason})" if one.reason else "") for one in states if one.state != "finished"]
    guard = Guard.read(run.folder("predictor")) if "predictor" in records else Guard()
    parts = [(stage, told) for stage, told in run.provenance.items()] if "predictor" in records else []
    tables = [
        PageTable("Parts that ran", ("stage", "what"), parts, numbers=False),
        PageTable(
            f"Settings that are not at their defaults (seed {pipeline.seed})",
            ("setting", "default", "value"),
            [(name, _said(default), _said(value)) for name, (default, value) in changed.items()],
            numbers=False,
        ),
        PageTable(
            "Digests (SHA-256, first 16 digits)",
            ("what", "digest", "written"),
            [
                *((f"stage {name}", record["content"][:16], record.get("written", "not recorded")) for name, record in records.items()),
                *(
                    (f"prompt {name}", str(digest)[:16], "")
                    for name, digest in {k: v for record in records.values() for k, v in record["key"].get("prompts", {}).items()}.items()
                ),
            ],
            numbers=False,
        ),
        PageTable("Versions", ("package", "version"), list(_versions(records).items()), numbers=False),
    ]
    return Section("ran", "What ran", [*warnings, *guard.warnings], tables=[table for table in tables if table.rows])


def cost_section(pipeline: Pipeline) -> Section:
    """Seconds, peak memory and disk of each stage, the machines, and what language models were paid."""
    records = _records(pipeline)
    total = sum(record["seconds"] for record in records.values()) or 1.0
    rows = [
        (
            name,
            f"{record['seconds']:,.0f}",
            f"{record['seconds'] / total:.0%}",
            _bytes(record.get("memory")),
            _bytes(record.get("gpu_memory")),
            _bytes(sum(record["files"].values())),
        )
        for name, record in records.items()
    ]
    rows.append(("all", f"{sum(record['seconds'] for record in records.values()):,.0f}", "100%", "", "", ""))
    notes = ["-: not recorded (made by an older version, or no GPU)"] if any("-" in row for row in rows) else []
    tables = [PageTable("Cost of each stage", ("stage", "seconds", "share", "peak memory", "GPU memory", "on disk"), rows, notes=notes)]
    machines = {name: record["machine"] for name, record in records.items() if "machine" in record}
    if machines:
        lines = [
            (name, str(one["cores"]), _bytes(one["memory"]), ", ".join(one["gpus"]) or "none", one["system"], one["python"])
            for name, one in machines.items()
        ]
        tables.append(PageTable("Machines", ("stage", "cores", "memory", "GPUs", "system", "Python"), lines, numbers=False))
    spend = _spend(pipeline)
    told = [] if spend.rows else ["No calls of a paid language model are recorded."]
    return Section("cost", "Cost", notes=told, tables=[*tables, *([spend] if spend.rows else [])])


def data_section(run: Run) -> Section:
    """The data card, and what predictions may know."""
    from score_rag.data.describe import describe
    from score_rag.data.report import DataReport, information

    interactions = run.interactions
    reading = DataReport(**read_json(run.folder("data") / "report.json"))
    history = run.pipeline.data.history
    summary = describe(interactions, reading, history=history)
    notes = [f"Information used: {information(interactions, history)}. Numbers of different information are not comparable."]
    if reading.verdicts:
        notes.append(reading.verdicts)
    tables = [PageTable.of(table) for table in summary.to_tables()]
    return Section("data", "Data", list(reading.warnings), notes, [table for table in tables if table.columns])


def _records(pipeline: Pipeline) -> dict[str, dict[str, Any]]:
    found = {stage.name: finished_record(pipeline, stage.name) for stage in stages(pipeline)}
    return {name: record for name, record in found.items() if record is not None}


def _versions(records: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    found: dict[str, set[str]] = {}
    for record in records.values():
        for name, version in record.get("versions", {}).items():
            found.setdefault(name, set()).add(version)
    return {name: ", ".join(sorted(versions)) for name, versions in found.items()}


def _spend(pipeline: Pipeline) -> PageTable:
    from score_rag.reranker.spend import read_spend

    rows = []
    for file in sorted(run_folder(pipeline).rglob("*.spend.jsonl")):
        spend = read_spend(file)
        cost = f"{spend.cost:.2f}" + (f" and {spend.unpriced:,} calls of unknown price" if spend.unpriced else "")
        name = file.relative_to(run_folder(pipeline)).as_posix()
        rows.append((name, f"{spend.requests:,}", f"{spend.prompt_tokens:,}", f"{spend.completion_tokens:,}", cost))
    return PageTable("Spend on language models", ("journal", "calls", "prompt tokens", "answer tokens", "USD"), rows)


def _said(value: Any) -> str:
    return "none" if value is None else str(value)


def _bytes(value: int | None) -> str:
    """A size.

    >>> _bytes(1_234_567_890), _bytes(2_500_000), _bytes(None)
    ('1.23 GB', '2.5 MB', '-')
    """
    if not value:
        return "-"
    return f"{value / 1e9:.2f} GB" if value >= 1e9 else f"{value / 1e6:.1f} MB" if value >= 1e5 else f"{value / 1e3:.1f} kB"
