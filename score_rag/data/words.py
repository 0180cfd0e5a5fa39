"""Lists in one cell (genres, creators, keywords): in brackets, or between separators, whichever a column has."""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Mapping
from typing import Any

import polars as pl

from score_rag.data.attributes import NOTHING, Attributes
from score_rag.data.choices import LIST_NAMES
from score_rag.data.titles import cut, one_line, unescaped

__all__ = ["LISTS", "WORDS", "tidy_words", "words_of"]

LISTS = LIST_NAMES
WORDS = pl.List(pl.String())
_MOST_WORDS = 12
# Names of people hold commas (Tolkien, J.R.R.); the others hardly ever do.
_SEPARATORS = {"genres": "|;,", "keywords": "|;,", "creators": "|;"}
_USUAL = "|"
_LEAST_SHARE = 0.05
_OWN_SHARE, _OWN_ITEMS = 0.9, 20
_NAMES = ("name", "title", "value", "label")


def words_of(value: Any) -> list[str] | None:
    """The texts in a list, of objects their names; None where it is no list.

    >>> words_of(["Action", {"id": 18, "name": "Drama"}]), words_of({"a": 1})
    (['Action', 'Drama'], None)
    """
    if not isinstance(value, list | tuple | set | frozenset):
        return None
    found: list[str] = []
    for part in sorted(value, key=str) if isinstance(value, set | frozenset) else value:
        if isinstance(part, Mapping):
            part = next((part[name] for name in _NAMES if isinstance(part.get(name), str)), None)
        inner = words_of(part)
        found += inner if inner is not None else [] if part is None or isinstance(part, Mapping) else [str(part)]
    return found


def tidy_words(items: pl.DataFrame, column: str, attributes: Attributes, separator: str | None) -> pl.Series:
    """The lists of a column: each word on one line, none empty, the first so many.

    Args:
        items: The column as lists, or as text, and `_line`.
        separator: Between words in one cell; None looks at the cells.
    """
    report = attributes.report
    cells = items[column]
    words = cells if cells.dtype == WORDS else _split(unescaped(cells, report, column), column, attributes, separator)
    flat = pl.DataFrame({"row": pl.int_range(len(words), eager=True), "word": words}).explode("word").drop_nulls()
    flat = flat.with_columns(word=cut(one_line(flat["word"]), column, report)).filter(~pl.col("word").str.to_lowercase().is_in(NOTHING))
    lists = flat.group_by("row", maintain_order=True).agg("word")
    many = lists["word"].list.len() > _MOST_WORDS
    report.decide(f"items with more than {_MOST_WORDS} {column}, of which the first are used", int(many.sum()))
    if column == "genres" and len(lists) >= _OWN_ITEMS and flat["word"].n_unique() >= _OWN_SHARE * len(lists):
        report.warn(
            f"nearly every item has a genre of its own ({attributes.file.name}, column {attributes.name(column)}, such as "
            f"{flat['word'][0]!r}): is it the right column (data.item_columns), and what separates genres (data.list_separator)?"
        )
    every = pl.DataFrame({"row": pl.int_range(len(words), eager=True)}).join(lists, on="row", how="left", maintain_order="left")
    return every["word"].list.head(_MOST_WORDS).fill_null([])


def _split(cells: pl.Series, column: str, attributes: Attributes, separator: str | None) -> pl.Series:
    report, place = attributes.report, f"{attributes.file.name} (column {attributes.name(column)})"
    text = cells.str.strip_chars().fill_null("")
    bracketed = text.str.contains(r"(?s)^[\[({].*[\])}]$")
    lists = {cell: words for cell in text.filter(bracketed).unique() if (words := words_of(_literal(cell))) is not None}
    listed = text.is_in(list(lists)) if lists else bracketed & False
    report.decide(f"cells of {place} read as lists in brackets", int(listed.sum()))
    plain = text.set(listed, None)
    sign = separator or _guessed(plain, _SEPARATORS[column])
    if not separator and sign != _USUAL:
        report.decide(f"cells of {place} split at {sign!r} (data.list_separator)", int(plain.str.contains(sign, literal=True).sum()))
    words = plain.str.split(sign).to_list() if listed.any() else None
    if words is None:
        return plain.str.split(sign)
    return pl.Series([lists[cell] if own else said for cell, own, said in zip(text, listed, words, strict=True)], dtype=WORDS)


def _guessed(cells: pl.Series, signs: str) -> str:
    """What separates the words of a column: the first sign that a good share of its cells has."""
    told = max(int((cells.fill_null("") != "").sum()), 1)
    shares = {sign: int(cells.str.contains(sign, literal=True).sum()) / told for sign in signs}
    return next(
        (sign for sign, share in shares.items() if share >= _LEAST_SHARE), next((s for s, share in shares.items() if share), _USUAL)
    )


def _literal(cell: str) -> Any:
    """What a list in JSON or in Python says; None where the text is none. Read as data, never run."""
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.literal_eval(cell)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
