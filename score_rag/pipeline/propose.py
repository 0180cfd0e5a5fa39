"""A whole pipeline file for files that nobody has described: how they are read, and settings that suit their size, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from score_rag.data import load
from score_rag.data.enough import require_enough
from score_rag.data.guess_files import guess_files
from score_rag.data.interactions import Interactions
from score_rag.data.settings import DataSettings
from score_rag.errors import InputError
from score_rag.files import home
from score_rag.pipeline.config import checked, set_override
from score_rag.pipeline.sizes import Size, size_of
from score_rag.progress import Report, silent

__all__ = ["Proposal", "most_active", "propose"]


@dataclass(frozen=True)
class Proposal:
    """A pipeline file that is not written yet.

    Attributes:
        name: Of the pipeline.
        text: Of its file.
        size: Which settings were chosen.
        assumed: What was assumed of the files, a line each.
        user: Somebody to ask about: who judged most.
        held: What the files hold, in a line.
    """

    name: str
    text: str
    size: Size
    assumed: Sequence[str]
    user: str
    held: str


def propose(files: Sequence[Path | str], *, name: str | None = None, overrides: Sequence[str] = (), progress: Report = silent) -> Proposal:
    """Look at files, read them, and choose settings by what they hold.

    Args:
        files: As `guess_files` takes them.
        name: Of the pipeline; by default that of the files' folder.
        overrides: `data.key=value`, in place of what was guessed.

    Raises:
        InputError: An override is of no setting of `data`, or the files are of no form that is known.
        ConfigError: A wrong value or name.
        DataError: The files cannot be read, or nothing can be learned from what they hold; with the setting to change.
    """
    guess = guess_files(files)
    stranger = next((one for one in overrides if not one.strip().startswith("data.")), None)
    if stranger is not None:
        raise InputError(
            "only settings of data are changed here", where=stranger, expected="data.key=value", hint="edit the file for others"
        )
    content: dict[str, Any] = {"name": name or guess.name, "data": {**guess.settings, "path": _seen_from_home(guess.settings["path"])}}
    for one in overrides:
        set_override(content, one)
    interactions, said = _read(content, guess.assumed, progress)
    judged = interactions.events.filter(~pl.col("sampled"))
    size = size_of(len(judged))
    users, items = (judged[column].n_unique() for column in ("user_id", "item_id"))
    held = f"{len(judged):,} events of {users:,} users, {items:,} items"
    text = _text(content, said, size, held)
    # What is written can be read: a mistake of ours would be seen here.
    checked(yaml.safe_load(text), Path(f"{content['name']}.yaml"))
    return Proposal(content["name"], text, size, said, most_active(interactions), held)


def _read(content: dict[str, Any], assumed: Sequence[str], progress: Report) -> tuple[Interactions, list[str]]:
    """The data; where days stand for times and nothing could be learned without the file's order, with that order."""
    path = Path(f"{content['name']}.yaml")
    said = list(assumed)
    interactions, report = load(checked(content, path).data, seed=checked(content, path).seed, progress=progress)
    if any(lack["remedy"] == {"data.ties": "file-order"} for lack in report.lacks) and "ties" not in content["data"]:
        content["data"]["ties"] = "file-order"
        said.append("most events of a user share one second: of those, the file's order says which came first (ties)")
        interactions, report = load(checked(content, path).data, seed=checked(content, path).seed, progress=progress)
    require_enough(report.to_dict(), content["data"]["path"])
    return interactions, said


def _seen_from_home(path: str) -> str:
    """A folder as a pipeline file names it: below the home from there, and else absolute."""
    whole, base = Path(path).expanduser().resolve(), home().resolve()
    return str(whole.relative_to(base)) if whole.is_relative_to(base) else str(whole)


def most_active(interactions: Interactions) -> str:
    """The user with most training judgements: somebody to ask about."""
    counted = interactions.learned.filter(~pl.col("sampled")).group_by("user_id", maintain_order=True).len()
    return str(counted.sort("len", descending=True, maintain_order=True)["user_id"][0])


def _text(content: Mapping[str, Any], said: Sequence[str], size: Size, held: str) -> str:
    """The file: what it is, how the data is read with all that was assumed, and the settings with their reasons."""
    defaults = DataSettings()
    data = {key: value for key, value in content["data"].items() if getattr(defaults, key, None) != value}
    shown = yaml.safe_dump({"name": content["name"]}, allow_unicode=True) + "\n"
    read = yaml.safe_dump({"data": data}, sort_keys=False, allow_unicode=True, width=120)
    lines = [
        f"# {held}. Settings for {size.about}; all parts bundled, on a CPU.",
        f"# What is not said here is at its default; every value with its meaning: score-rag pipelines show {content['name']} --full",
        shown.rstrip("\n"),
        "",
        *(f"# {line}" for line in said),
        read.rstrip("\n"),
        "",
        size.text.rstrip("\n"),
    ]
    return "\n".join(lines) + "\n"
