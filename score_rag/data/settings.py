"""Settings of the data: where events come from, and how they become the one table."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from score_rag.data.choices import EVENT_NAMES, ITEM_NAMES, LIST_NAMES, History, Sampling, SplitKind, Ties, UnknownItems
from score_rag.data.forms import wrong_time_format, wrong_time_zone
from score_rag.errors import InputError, did_you_mean
from score_rag.settings import FrozenMapping, OpenSettings, Settings, also, location, misfits, of_form

__all__ = ["DataSettings", "Months"]


V = TypeVar("V")
Sign = Annotated[str, Field(min_length=1)]
Quote = Literal["none", '"', "'"]
PerFile = FrozenMapping[Literal["interactions", "items"], V]
"""A value for each of the two files."""


def _numbered(name: Any) -> Any:
    """A column may be named by its number."""
    return str(name) if type(name) is int else name


Name = Annotated[str, BeforeValidator(_numbered)]
Columns = FrozenMapping[str, Name]
"""Our names of columns to the file's, or to their numbers."""


class Months(Settings):
    """Calendar months (UTC) of each split, first and last, counted from `start`."""

    start: Annotated[str, of_form(r"[0-9]{4}-(0[1-9]|1[0-2])", "a month is written 2000-04")] = Field(
        "2000-04", description="months: month 0"
    )
    train: tuple[int, int] = Field((14, 23), description="months: first and last month of training")
    valid: tuple[int, int] = Field((24, 28), description="months: likewise of validation")
    test: tuple[int, int] = Field((29, 33), description="months: likewise of test")

    @property
    def ranges(self) -> dict[str, tuple[int, int]]:
        """First and last month by split."""
        return {"train": self.train, "valid": self.valid, "test": self.test}

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        spans = list(self.ranges.values())
        if any(first > last for first, last in spans) or any(a[1] >= b[0] for a, b in pairwise(spans)):
            found = ", ".join(f"{name} {list(span)}" for name, span in self.ranges.items())
            raise ValueError(f"the months of the splits make no sense: train, valid and test come one after the other, found {found}")
        return self


_OF_SOURCES = (
    "interactions", "items", "columns", "item_columns", "separator", "list_separator", "encoding", "quote", "header", "time_format",
    "time_zone", "decimal", "labels", "list_column", "strict",
)  # fmt: skip
"""Settings that some sources take, and others do not."""


def _each(value: str | Mapping[Any, str] | None) -> list[str]:
    return list(value.values()) if isinstance(value, Mapping) else [] if value is None else [value]


def _spelled_out(labels: Any) -> Any:
    """YAML reads `yes` and `no` as true and false: all that it reads so is meant."""
    if not isinstance(labels, Mapping):
        return labels
    words = {True: ("yes", "true", "on"), False: ("no", "false", "off")}
    return {word: value for name, value in labels.items() for word in (words[name] if isinstance(name, bool) else (name,))}


def _known_source(name: str) -> str:
    from score_rag.data.sources import SOURCES

    try:
        SOURCES[name]
    except InputError as error:
        raise ValueError(f"{error.what}; {error.hint}") from error
    return name


class DataSettings(OpenSettings):
    """Where events come from and how they are split."""

    source: Annotated[str, AfterValidator(_known_source)] = Field(
        "sample", description="sample | table | movielens | amazon | ... (docs/data.md has them all), or of an installed package"
    )
    path: Annotated[str | None, location()] = Field(None, description="folder of the source's files; table: or the one file of the events")
    interactions: str | None = Field(None, description="name of the events' file, where the usual one is not meant")
    items: str | None = Field(None, description="name of the catalogue's file, likewise; table: none where there is no catalogue")
    columns: Columns = Field({}, description="table: our names to yours, e.g. {user_id: customer, timestamp: bought_at}")
    item_columns: Columns = Field({}, description="table: likewise for item_id, title, year, genres, creators, keywords")
    separator: PerFile[Sign] | Sign | None = Field(
        None, description="table, recbole: between cells; null goes by the file's ending and first line; or {interactions: ..., items: ...}"
    )
    list_separator: FrozenMapping[str, Sign] | Sign | None = Field(
        None, description="table: between several genres in one cell, or {genres: ..., creators: ...}; null looks at the cells"
    )
    encoding: PerFile[str] | str = Field(
        "utf-8", description="table: utf-8, latin-1, cp1252, utf-16, ...; or {interactions: ..., items: ...}"
    )
    quote: PerFile[Quote] | Quote | None = Field(
        None,
        description='table: around cells: none | " | \'; null: none in .tsv, .dat and between ::, else "; or for each file',
    )
    header: PerFile[bool] | bool = Field(
        True,
        description="table: the first line names the columns; false: columns are numbered, {user_id: 1}; or for each file",
    )
    time_format: str | None = Field(
        None,
        description="table, recbole: strptime's form, as %d.%m.%Y, or seconds | milliseconds | microseconds | nanoseconds | date-number",
    )
    time_zone: str = Field("UTC", description="table, recbole: of times that name none, e.g. Europe/Berlin")
    decimal: Literal[".", ","] = Field(".", description="table: before the fraction of a rating")
    labels: Annotated[FrozenMapping[Name, Literal[0, 1]], BeforeValidator(_spelled_out)] = Field(
        {}, description="table: words in the column label, e.g. {like: 1, dislike: 0}"
    )
    list_column: Annotated[str | None, BeforeValidator(_numbered)] = Field(
        None, description="table: the column whose cells hold several items each, as MIND's impressions (N1-1 N2-0), in place of item_id"
    )
    strict: bool = Field(
        False, description="refuse years, genres, creators, keywords that cannot be understood, instead of leaving them unknown"
    )
    threshold: float = Field(4.0, description="least rating that counts as liked")
    unknown_items: UnknownItems = Field(
        "keep", description="keep: events of items that are not in the catalogue stay, the item named by its id | drop"
    )
    k_core: int | None = Field(None, ge=1, description="leave out users and items with fewer events, repeatedly; null keeps all")
    max_users: int | None = Field(None, ge=1, description="at most so many users, sampled at random by the seed; null takes all")
    split: SplitKind = Field(
        "quantiles", description="quantiles: cut global time | months | leave-last-out (leaks across users) | column: as the file says"
    )
    train: float = Field(0.8, gt=0, lt=1, description="quantiles: share of events, by time")
    valid: float = Field(0.1, gt=0, lt=1, description="quantiles: likewise; the rest is test")
    months: Months = Field(Months(), description="months: calendar months of each split")
    background: bool = Field(
        False,
        description="months: events before the first training month are learned from and shown in prompts, not dropped; never asked about",
    )
    history: Annotated[History, also("crm", "reranker", "predictor", own=False)] = Field(
        "all", description="all judgements, or positives only (what published tables use)"
    )
    ties: Ties = Field("strict", description="strict | file-order (the file's order decides within a second, as in some published numbers)")
    negatives: int = Field(0, ge=0, description="sampled for each event of implicit feedback")
    negative_sampling: Sampling = Field("uniform", description="uniform | popularity")

    @classmethod
    def own_model(cls, values: Mapping[str, Any]) -> type[Settings] | None:
        from score_rag.data.sources import SOURCES

        try:
            return SOURCES[str(values.get("source", cls.model_fields["source"].default))].settings
        except InputError:
            return None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        from score_rag.data.sources import SOURCES

        found: dict[str, str] = {}
        source = SOURCES[self.source]
        for name in _OF_SOURCES:
            if name not in source.takes and getattr(self, name) != type(self).model_fields[name].get_default():
                takers = ", ".join(known for known in SOURCES.names() if name in SOURCES[known].takes)
                found[name] = f"for source {takers} alone, this is {self.source}"
        if self.path and not source.needs_folder:
            others = ", ".join(known for known in SOURCES.names() if known != self.source)
            found["path"] = f"the source {self.source} has no files; for your own, say source: table (of {others})"
        found |= {name: told for name, told in self._wrong().items() if name not in found}
        if self.split == "quantiles" and self.train + self.valid > 1 + 1e-9:
            found["valid"] = f"the shares of train and valid are more than everything: {self.train} + {self.valid}"
        if found:
            raise misfits(found)
        return self

    def _wrong(self) -> dict[str, str]:
        """What is wrong in single settings of how files are read."""
        found: dict[str, str] = {}
        for name, known in (("columns", EVENT_NAMES), ("item_columns", ITEM_NAMES)):
            given: Mapping[str, str] = getattr(self, name)
            strange = next((ours for ours in given if ours not in known), None)
            # An item's only name may be its id and its title.
            once = [theirs for ours, theirs in given.items() if not (ours == "title" and theirs == given.get("item_id"))]
            shared = sorted({theirs for theirs in once if once.count(theirs) > 1})
            if strange is not None:
                found[name] = f"there is no column {strange!r} of ours to map; {did_you_mean(strange, known)}"
            elif shared:
                found[name] = f"one column cannot be two of ours: {', '.join(shared)}"
        for encoding in _each(self.encoding):
            try:
                codecs.lookup(encoding)
            except LookupError:
                found["encoding"] = f"there is no such encoding: {encoding}"
        for sign in _each(self.separator):
            if set(sign) & set('"\r\n\0'):
                found["separator"] = f"this cannot separate cells: {sign!r}"
        if isinstance(self.list_separator, Mapping) and (strangers := sorted(self.list_separator.keys() - set(LIST_NAMES))):
            found["list_separator"] = f"there is no list {strangers[0]!r}; {did_you_mean(strangers[0], LIST_NAMES)}"
        if self.time_format and (told := wrong_time_format(self.time_format)):
            found["time_format"] = told
        if told := wrong_time_zone(self.time_zone):
            found["time_zone"] = told
        return found

    def reading(self) -> dict[str, Any]:
        """What the source's `read` takes of it, beside its folder."""
        from score_rag.data.sources import SOURCES

        source = SOURCES[self.source]
        return {name: getattr(self, name) for name in (*source.takes, *source.settings.model_fields)}
