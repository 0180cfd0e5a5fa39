"""Sources of interactions, behind one function. The names are loaded when they are first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from score_rag.data.interactions import Interactions
    from score_rag.data.loading import load
    from score_rag.data.log import Event, Item, UserLog
    from score_rag.data.report import DataReport
    from score_rag.data.settings import DataSettings
    from score_rag.data.sources import SOURCES, Source, read_source, source_files

__all__ = [
    "SOURCES",
    "DataReport",
    "DataSettings",
    "Event",
    "Interactions",
    "Item",
    "Source",
    "UserLog",
    "load",
    "read_source",
    "source_files",
]

_HOMES = {
    "DataReport": "report",
    "DataSettings": "settings",
    "Event": "log",
    "Interactions": "interactions",
    "Item": "log",
    "SOURCES": "sources",
    "Source": "sources",
    "UserLog": "log",
    "load": "loading",
    "read_source": "sources",
    "source_files": "sources",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"score_rag.data.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
