"""Settings of the data: where events come from, and how they become the one table."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from score_rag.data.choices import EVENT_NAMES, ITEM_NAMES, History, Sampling, SplitKind, Ties
from score_rag.errors import InputError, did_you_mean
from score_rag.settings import FrozenMapping, OpenSettings, Settings, also, location, misfits

__all__ = ["DataSettings", "Months"]


class Months(Settings):
    """Calendar months (UTC) of each split, first and last, counted from `start`."""

    start: str = Field("2000-04", pattern=r"^\d{4}-(0[1-9]|1[0-2])$", description="months: month 0")
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
        "sample", description="sample | table | movielens | amazon | ... (score-rag data list), or of an installed package"
    )
    path: Annotated[str | None, location()] = Field(None, description="folder of the source's files")
    interactions: str | None = Field(None, description="name of the events' file, where the usual one is not meant")
    items: str | None = Field(None, description="name of the catalogue's file, likewise")
    columns: FrozenMapping[str, str] = Field({}, description="table: our names to yours, e.g. {user_id: customer, timestamp: bought_at}")
    item_columns: FrozenMapping[str, str] = Field({}, description="table: likewise for item_id, title, year, genres, creators, keywords")
    separator: str | None = Field(None, min_length=1, description="table: between cells; null goes by the file's ending")
    list_separator: str = Field("|", min_length=1, description="table: between several genres in one cell")
    encoding: str = Field("utf-8", description="table: utf-8, latin-1, cp1252, utf-16, ...")
    threshold: float = Field(4.0, description="least rating that counts as liked")
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
        for name in ("interactions", "items", "columns", "item_columns", "separator", "list_separator", "encoding"):
            if name not in source.takes and getattr(self, name) != type(self).model_fields[name].default:
                takers = ", ".join(known for known in SOURCES.names() if name in SOURCES[known].takes)
                found[name] = f"for source {takers} alone, this is {self.source}"
        if self.path and not source.needs_folder:
            others = ", ".join(known for known in SOURCES.names() if known != self.source)
            found["path"] = f"the source {self.source} has no files; for your own, say source: table (of {others})"
        for name, known in (("columns", EVENT_NAMES), ("item_columns", ITEM_NAMES)):
            given: Mapping[str, str] = getattr(self, name)
            strange = next((ours for ours in given if ours not in known), None)
            shared = sorted({theirs for theirs in given.values() if list(given.values()).count(theirs) > 1})
            if strange is not None:
                found.setdefault(name, f"there is no column {strange!r} of ours to map; {did_you_mean(strange, known)}")
            elif shared:
                found.setdefault(name, f"one column cannot be two of ours: {', '.join(shared)}")
        try:
            codecs.lookup(self.encoding)
        except LookupError:
            found["encoding"] = f"there is no such encoding: {self.encoding}"
        if self.separator and set(self.separator) & set('"\r\n\0'):
            found["separator"] = f"this cannot separate cells: {self.separator!r}"
        if self.split == "quantiles" and self.train + self.valid > 1 + 1e-9:
            found["valid"] = f"the shares of train and valid are more than everything: {self.train} + {self.valid}"
        if found:
            raise misfits(found)
        return self

    def reading(self) -> dict[str, Any]:
        """What the source's `read` takes of it, beside its folder."""
        from score_rag.data.sources import SOURCES

        source = SOURCES[self.source]
        return {name: getattr(self, name) for name in (*source.takes, *source.settings.model_fields)}
