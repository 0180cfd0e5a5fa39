"""Published data sets as tests write and read them."""

from __future__ import annotations

from score_rag.data import read_source
from score_rag.data.report import DataReport


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".").replace("_DASH_", "-")).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def read(source, folder, **reading):
    """(events as tuples, items by id, report)."""
    report = DataReport(source)
    events, items = read_source(source, folder, report=report, **reading)
    names = [name for name in ("user_id", "item_id", "rating", "label", "timestamp", "split") if name in events.columns]
    rows = events.with_columns(events[name].cast(str) for name in names if name in ("user_id", "item_id", "split")).select(names).rows()
    return rows, {item["item_id"]: item for item in items.to_dicts()}, report
