"""Titles that can stand in a sentence: one line, plain signs, articles where they are spoken, the year apart."""

from __future__ import annotations

import html

import polars as pl

from score_rag.data.report import DataReport

__all__ = ["clean_titles", "cut", "name_items", "one_line", "tidy_titles", "unescaped"]

_ARTICLES = "The|A|An|La|Le|Les|Il|Lo|L'|Das|Der|Die|El|Los|Las|Un|Une|Den|Det"
_LONGEST_TITLE = 200
# Line breaks and control characters; with them white space, and the marks that turn the direction of all text behind them. The joiners
# that emoji and some scripts are spelled with stay.
_BREAK = r"[\p{Cc}\x{2028}\x{2029}]"
_SPACE = r"[\s\p{Cc}\x{202A}-\x{202E}\x{2066}-\x{2069}\x{FEFF}]+"
_CODED = r"&(#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});"


def clean_titles(titles: pl.Series) -> tuple[pl.Series, pl.Series]:
    """(titles, years): `Usual Suspects, The (1995)` becomes `The Usual Suspects` and 1995.

    >>> [part.to_list() for part in clean_titles(pl.Series(["Heat (1995)", "Sting, The (1973)", "Babylon 5"]))]
    [['Heat', 'The Sting', 'Babylon 5'], [1995, 1973, None]]
    """
    text = titles.str.strip_chars()
    years = text.str.extract(r"\(([0-9]{4})\)\s*$").cast(pl.Int32)
    bare = text.str.replace(r"\s*\([0-9]{4}\)\s*$", "")
    return _turned(bare), years


def tidy_titles(titles: pl.Series, years: pl.Series | None, report: DataReport) -> tuple[pl.Series, pl.Series]:
    """(titles, years), tidied: one line, turned articles turned back, and a year at the end taken off.

    Args:
        titles: As the file has them.
        years: Those of a column of their own: then only a year that a title repeats is taken off it.
    """
    titles = unescaped(titles.str.strip_chars(), report)
    report.decide("titles with line breaks or control characters, which became spaces", int(titles.str.contains(_BREAK).sum()))
    titles = one_line(titles)
    bare, own = clean_titles(titles)
    if years is None:
        return cut(bare, "titles", report), own
    # A year that the title repeats would be told twice; another one is a part of the title.
    kept = _turned(titles)
    return cut(kept.set((own == years).fill_null(False), None).fill_null(bare), "titles", report), years


def one_line(text: pl.Series) -> pl.Series:
    """A title is a part of one line of a prompt: white space of any kind in it is a space, and so are control characters."""
    return text.str.replace_all(_SPACE, " ").str.strip_chars()


def unescaped(texts: pl.Series, report: DataReport, what: str = "titles") -> pl.Series:
    """`Tom &amp; Jerry` is what a web page says; people, and prompts, say `Tom & Jerry`."""
    coded = texts.str.contains(_CODED).fill_null(False)
    if not coded.any():
        return texts
    found = texts.filter(coded).unique()
    changed = texts.replace(found, pl.Series([html.unescape(text) for text in found], dtype=pl.String()))
    report.decide(f"{what} in the coding of web pages (&amp; and the like), put into plain signs", int((changed != texts).sum()))
    return changed


def cut(text: pl.Series, what: str, report: DataReport) -> pl.Series:
    """Texts no longer than a prompt can bear."""
    report.decide(f"{what} longer than {_LONGEST_TITLE} characters, cut", int((text.str.len_chars() > _LONGEST_TITLE).sum()))
    return text.str.slice(0, _LONGEST_TITLE)


def name_items(ids: pl.Series) -> pl.Series:
    """What items without a title are called."""
    return one_line("item " + ids).str.slice(0, _LONGEST_TITLE)


def _turned(titles: pl.Series) -> pl.Series:
    """`Sting, The` is `The Sting`; what stands in parentheses behind it stays there."""
    return titles.str.replace(rf"^(.*), ({_ARTICLES})( \(.*\))?$", "$2 $1$3")
