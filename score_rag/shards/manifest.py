"""What the shards of a folder have in common: `manifest.json`, written by the first that comes, compared by all others."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from score_rag.errors import DataError, InputError
from score_rag.files import digest_json, read_json
from score_rag.files.modes import new_file

__all__ = ["MANIFEST", "claim", "read_manifest"]

MANIFEST = "manifest.json"
_FORMAT = 1


def claim(output: Path, facts: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """Make a folder that of a job, or see that it is.

    Args:
        facts: Everything that the results depend on, and the number of shards.
        about: What a reader may like to know; not compared.

    Returns:
        The job's fingerprint.

    Raises:
        InputError: The folder is another job's, or holds Parquet files of nobody's.
        DataError: The manifest cannot be read.
    """
    fingerprint = digest_json({"format": _FORMAT, **facts})
    manifest = output / MANIFEST
    output.mkdir(parents=True, exist_ok=True)
    if not manifest.exists():
        if strange := next(output.glob("*.parquet"), None):
            raise InputError(
                "this folder holds Parquet files and no manifest", where=output, found=strange.name, hint="give the job a folder of its own"
            )
        _put_once(manifest, {"format": _FORMAT, "fingerprint": fingerprint, "facts": facts, "about": about})
    held = read_manifest(output)
    if held["fingerprint"] != fingerprint:
        old, new = _flat({"format": held["format"], **held["facts"]}), _flat({"format": _FORMAT, **facts})
        odd = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        raise InputError(
            "this folder holds the shards of another job",
            where=manifest,
            expected=_told(odd, old) or held["fingerprint"],
            found=_told(odd, new) or fingerprint,
            hint="give this job a folder of its own, or remove that one",
        )
    return fingerprint


def read_manifest(output: Path) -> dict[str, Any]:
    """What `claim` wrote.

    Raises:
        InputError: It is not there.
        DataError: It is of another form.
    """
    file = output / MANIFEST
    if not file.is_file():
        raise InputError(
            "there are no shards here", where=output, expected=f"a folder with {MANIFEST}", found=None if output.is_dir() else "none"
        )
    found = read_json(file)
    if not isinstance(found, dict) or not {"format", "fingerprint", "facts"} <= found.keys() or not isinstance(found["facts"], dict):
        raise DataError("a manifest is of another form", where=file)
    if digest_json({"format": found["format"], **found["facts"]}) != found["fingerprint"]:
        raise DataError("a manifest was changed: it is not what its fingerprint says", where=file)
    return found


def _put_once(file: Path, content: dict[str, Any]) -> None:
    """Write a file unless another process does: the first to come says which job it is."""
    handle, aside = new_file(file)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(content, stream, indent=2, sort_keys=True, ensure_ascii=False)
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(aside, file)
        except FileExistsError:
            return
        except OSError:
            # A file system without links: whoever comes last says it, and the comparison that follows tells the other.
            if not file.exists():
                aside.replace(file)
    finally:
        aside.unlink(missing_ok=True)


def _flat(tree: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in tree.items():
        out.update(_flat(value, f"{before}{name} ") if isinstance(value, dict) else {f"{before}{name}": value})
    return out


def _told(names: list[str], values: Mapping[str, Any]) -> str:
    told = [f"{name} {str(values.get(name, 'none'))[:16]}" for name in names[:4]]
    return ", ".join(told) + (f" (and {len(names) - 4} more)" if len(names) > 4 else "")
