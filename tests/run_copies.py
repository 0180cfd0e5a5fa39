"""Copies of a run for tests to write to: weights are hard links, all else is copied."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from score_rag.files import digest_json, digests_of, read_json, sealed, write_json

# Less than that is copied. The toy run's two encoders are more, and 280 of its 290 MB.
_LARGE = 1 << 20


def weights(folder: Path) -> list[Path]:
    """The files under a folder that copies share with it."""
    return sorted(path for path in folder.rglob("*") if _shared(path))


def _shared(path: Path) -> bool:
    return path.suffix in (".safetensors", ".onnx") and path.is_file() and path.stat().st_size >= _LARGE


def copy_run(source: str | Path, target: str | Path, *, leave: tuple[str, ...] = ()) -> Path:
    """Copies a run's folder without the names in `leave`; what exists at the target stays.

    The library replaces weights and never writes into them, so a hundred copies take the room of one. `digest` tells when that was not so.
    """
    ignore = shutil.ignore_patterns(*leave)
    return Path(shutil.copytree(source, target, ignore=ignore, copy_function=_link_or_copy, dirs_exist_ok=True))


def _link_or_copy(source: str, target: str) -> None:
    if _shared(Path(source)):
        os.link(source, target)
    else:
        shutil.copy2(source, target)


def digest(folder: Path) -> dict[str, str]:
    """Of every shared file under a folder: its name there and the SHA-256 of its bytes."""
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in weights(folder)}


def said(folder: Path) -> dict:
    """What each file of a stage says, but for where the run lies, and for what torch counts while it exports."""
    import onnx

    out = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or name in ("finished.json", "adapter/README.md") or "/chroma/" in name:
            continue
        if name == "index/index.json":
            # Each index has an id of its own, by chance, and its seal tells of it.
            out[name] = {key: value for key, value in read_json(path).items() if key not in ("index", "seal")}
        elif name == "adapter/adapter_config.json":
            out[name] = {key: value for key, value in read_json(path).items() if key != "base_model_name_or_path"}
        elif path.suffix == ".onnx":
            model = onnx.load(path)
            for node in model.graph.node:
                node.ClearField("metadata_props")
            out[name] = model.SerializeToString(deterministic=True)
        elif name == "assessments.jsonl":
            # Several are asked at once, and kept in the order of their answers.
            out[name] = sorted(path.read_bytes().splitlines())
        else:
            out[name] = path.read_bytes()
    return out


def reseal(folder: Path) -> None:
    """Let the record of a stage, or of an index's generation, tell of its files as they are now: as if they had been written so."""
    if (folder / "finished.json").is_file():
        record = _unsealed(folder / "finished.json")
        found = digests_of(folder)
        record["digests"] = {name: found[name] for name in record["digests"] if name in found}
        record["files"] = {name: (folder / name).stat().st_size for name in record["files"] if (folder / name).is_file()}
        write_json(folder / "finished.json", sealed({**record, "content": digest_json(record["digests"])}))
    else:
        settings = _unsealed(folder.parent / "index.json")
        write_json(folder.parent / "index.json", sealed({**settings, "digests": digests_of(folder, without=("chroma",))}))


def _unsealed(file: Path) -> dict:
    return {name: value for name, value in read_json(file).items() if name != "seal"}
