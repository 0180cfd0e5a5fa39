"""Signs that the stream can write: a pipe of Windows or a latin-1 terminal gets plain signs instead of an error."""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata

__all__ = ["plain", "write_plainly", "writes"]

_HANDLER = "score-rag-plain"
_PLAIN = str.maketrans(
    {
        "✓": "+", "✗": "x", "→": ">", "←": "<", "·": "-", "•": "-", "×": "x", "±": "~", "≥": ">", "≤": "<", "…": ".",
        "█": "#", "░": ".", "▏": "|", "━": "-", "╸": "-", "╺": "-", "–": "-", "—": "-", "‐": "-", "−": "-",
        "’": "'", "‘": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "\u00a0": " ", "\u202f": " ",
        "ß": "s", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "æ": "a", "Æ": "A", "œ": "o", "Œ": "O", "ı": "i",
    }
)  # fmt: skip
"""One sign for one sign, so that tables stay straight."""


def plain(text: str) -> str:
    """A text in ASCII, as long as it was: letters without their accents, `?` for what has no plain form.

    >>> plain("✓ Amélie → 千と")
    '+ Amelie > ??'
    """
    return "".join(sign if sign.isascii() else _letter(sign) for sign in text.translate(_PLAIN))


def _letter(sign: str) -> str:
    if unicodedata.category(sign) == "So" or "BOX DRAWINGS" in unicodedata.name(sign, ""):
        return "-" if "HORIZONTAL" in unicodedata.name(sign, "") else "|" if "VERTICAL" in unicodedata.name(sign, "") else "+"
    base = unicodedata.normalize("NFKD", sign)[:1]
    return base if base.isascii() and base.isprintable() else "?"


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return plain(error.object[error.start : error.end]), error.end


def writes(stream: object, text: str) -> bool:
    """Whether a stream can write a text as it is."""
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeError, LookupError):
        return False
    return True


def write_plainly() -> None:
    """From now on, standard output and error write a plain sign for each that their encoding does not have."""
    codecs.register_error(_HANDLER, _replace)
    for stream in (sys.stdout, sys.stderr):
        encoding = (getattr(stream, "encoding", None) or "utf-8").lower().replace("_", "-")
        # What UTF-8 cannot write are halves of surrogate pairs, which are no signs.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace" if encoding in ("utf-8", "utf8") else _HANDLER)
