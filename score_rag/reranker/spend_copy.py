"""Calls of one journal of spend, copied into another: what a shard paid, into the run's, each call once."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from score_rag.files.lines import drop_torn_line
from score_rag.reranker.spend import journal_lines

__all__ = ["copy_spend"]


def copy_spend(source: Path, target: Path, keys: Collection[str]) -> None:
    """Append the calls for these questions that one journal has and the other has not, or has only as reserved."""
    known = {(line["call"], line["state"]) for line, _ in journal_lines(target)}
    calls: set[str] = set()
    new = []
    for line, _ in journal_lines(source):
        if line["state"] == "reserved" and line["key"] in keys:
            calls.add(line["call"])
        if line["call"] in calls and (line["call"], line["state"]) not in known:
            new.append(json.dumps(line) + "\n")
    if new:
        target.parent.mkdir(parents=True, exist_ok=True)
        drop_torn_line(target)
        with target.open("a", encoding="utf-8") as stream:
            stream.write("".join(new))
