"""Every error that score-rag raises on purpose, under one base class.

A message says what went wrong, where, what was expected, what was found, and what to do next. The library raises, in its own words: a
remedy is a setting, a stage, an index, a data set. Only the command line prints; it turns a remedy into the command to type, and
`exit_code` into the process's status: 2 for a mistake in what was typed, 3 for a limit of spend, 4 for failed rows, 1 for the rest.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = [
    "AssessorError",
    "ChangeSetting",
    "ConfigError",
    "Consult",
    "DataError",
    "Evaluate",
    "FetchDataset",
    "IndexMismatchError",
    "InputError",
    "LockedError",
    "MissingPackageError",
    "ModelError",
    "PromptError",
    "Remedy",
    "RenewIndex",
    "RowsFailedError",
    "RunStage",
    "ScoreError",
    "SpendLimitError",
    "StageError",
    "did_you_mean",
]


@dataclass(frozen=True)
class ChangeSetting:
    """Remedy: other values of settings, by their names in a pipeline file, such as `{"data.path": "FOLDER"}`."""

    values: Mapping[str, Any]

    @property
    def assignments(self) -> list[str]:
        """`section.name=value` each, as overrides of a pipeline are written.

        >>> ChangeSetting({"data.path": "FOLDER", "data.separator": ";", "retriever.tune_layers": None}).assignments
        ['data.path=FOLDER', 'data.separator=";"', 'retriever.tune_layers=null']
        """
        return [f"{name}={_in_yaml(value)}" for name, value in self.values.items()]

    def __str__(self) -> str:
        return f"set {' and '.join(self.assignments)}"


@dataclass(frozen=True)
class RunStage:
    """Remedy: run a stage of the pipeline (None: all of them); `again` where it had been run."""

    stage: str | None
    again: bool = False

    def __str__(self) -> str:
        return f"run {'the pipeline' if self.stage is None else f'the stage {self.stage}'}{' again' if self.again else ''}"


@dataclass(frozen=True)
class RenewIndex:
    """Remedy: build, update or rebuild an index of behaviour documents; without a folder, the one that a run serves from."""

    how: Literal["build", "update", "rebuild"]
    folder: str | None = None

    def __str__(self) -> str:
        return f"{self.how} the index{f' in {self.folder}' if self.folder else ''}"


@dataclass(frozen=True)
class FetchDataset:
    """Remedy: fetch a public data set; `into` another folder than the usual, `force` to replace what is there."""

    name: str
    into: str | None = None
    force: bool = False

    def __str__(self) -> str:
        return f"fetch the data set {self.name}{f' into {self.into}' if self.into else ''}{' with force' if self.force else ''}"


@dataclass(frozen=True)
class Evaluate:
    """Remedy: evaluate the pipeline on a split; `kind` is that of the table: `scorecard`, `evidence` or `shuffled`."""

    split: str
    kind: str = "scorecard"

    def __str__(self) -> str:
        return f"evaluate the pipeline on {self.split}{f' ({self.kind})' if self.kind != 'scorecard' else ''}"


@dataclass(frozen=True)
class Consult:
    """Remedy: look at what there is (`pipelines`, `prompts`, `settings`), or have one checked (a `prompt` or an `engine`, by name)."""

    what: Literal["pipelines", "prompts", "settings", "prompt", "engine"]
    name: str | None = None

    def __str__(self) -> str:
        return f"list the {self.what}" if self.name is None else f"check the {self.what} {self.name}"


Remedy = ChangeSetting | RunStage | RenewIndex | FetchDataset | Evaluate | Consult


def _in_yaml(value: Any) -> str:
    """A value as a pipeline file would have it: quoted where YAML would read something else."""
    plain = isinstance(value, str) and re.fullmatch(r"[\w~$][^#:\\'\"\n]*(:[^\s#'\"]+)*|[./][^#:\\'\"\n]*", value)
    return str(value) if plain else json.dumps(value, ensure_ascii=False)


class ScoreError(Exception):
    """Base of all errors raised by score-rag.

    Args:
        what: One sentence: what went wrong.
        where: File, line, key or stage it concerns.
        expected: What would have been right.
        found: What was there instead.
        hint: The next thing to do, or why to do what `remedy` says.
        remedy: The next thing to do, for a program to read; the command line says which command that is.

    Attributes:
        pipeline: How the pipeline was named, set on the way by whoever knows it; None where nobody does.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        expected: object = None,
        found: object = None,
        hint: str | None = None,
        remedy: Remedy | None = None,
    ) -> None:
        self.what = what
        self.where = None if where is None else str(where)
        self.expected = None if expected is None else str(expected)
        self.found = None if found is None else str(found)
        self.hint = hint
        self.remedy = remedy
        self.pipeline: str | None = None
        super().__init__(what)

    def __str__(self) -> str:
        parts = [self.what]
        if self.where is not None:
            parts.append(f"where: {self.where}")
        if self.expected is not None:
            parts.append(f"expected: {self.expected}")
        if self.found is not None:
            parts.append(f"found: {self.found}")
        advice = ": ".join(str(part) for part in (self.hint, self.remedy) if part is not None)
        if advice:
            parts.append(f"hint: {advice}")
        return "\n  ".join(parts)


class InputError(ScoreError):
    """Something typed or passed by the caller does not exist or does not fit (user, item, stage, option)."""

    exit_code = 2


class ConfigError(ScoreError):
    """A pipeline file is malformed or has an unknown key or value."""

    exit_code = 2


class PromptError(ScoreError):
    """A prompt file is malformed, or uses a variable that it does not declare."""

    exit_code = 2


class DataError(ScoreError):
    """A data file is missing or has malformed rows."""


class StageError(ScoreError):
    """A stage's input is missing or stale."""


class ModelError(ScoreError):
    """A model or tokenizer is not where it should be, or is not the one that was expected."""


class MissingPackageError(ModelError, ModuleNotFoundError):
    """A package is not installed that only this needs; the hint names the extra of the install that brings it."""


class IndexMismatchError(ScoreError):
    """A vector collection was built by another encoder, or is not complete."""


class AssessorError(ScoreError):
    """The language model asked for self-assessments failed, or returned invalid answers after all retries."""


class SpendLimitError(AssessorError):
    """A limit on what assessments may cost was reached; all that was answered is kept."""

    exit_code = 3


class RowsFailedError(ScoreError):
    """A shard is done, and some of its rows have no result. Trying again changes nothing."""

    exit_code = 4


class LockedError(ScoreError):
    """Another process is writing to the same folder."""


def did_you_mean(word: str, choices: Iterable[str], *, show: int = 8) -> str:
    """A hint for a mistyped word: the nearest choice, or the list of choices.

    >>> did_you_mean("retreiver", ["data", "crm", "retriever"])
    "did you mean 'retriever'?"
    >>> did_you_mean("zzz", ["data", "crm"])
    'one of: data, crm'
    >>> did_you_mean("zzz", ["data", "crm"], show=0)
    'nothing is called like it'
    """
    options = [str(choice) for choice in list(choices)]  # a copy first: a catalogue may grow meanwhile
    if near := difflib.get_close_matches(str(word), options, n=1, cutoff=0.6):
        return f"did you mean {near[0]!r}?"
    if not show:
        return "nothing is called like it"
    more = f", ... ({len(options)} in all)" if len(options) > show else ""
    return f"one of: {', '.join(options[:show])}{more}"
