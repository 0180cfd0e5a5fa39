"""What happens to files: bits flip, ends are lost, blocks are empty, files change places."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["KINDS", "damaged", "damaged_bytes"]

KINDS = ("bit", "bytes", "block", "truncated", "emptied", "longer", "swapped")


def damaged_bytes(raw: bytes, kind: str, draw: random.Random, other: bytes = b"") -> bytes:
    """Other bytes than these."""
    if kind == "emptied":
        return b""
    if kind == "truncated":
        return raw[: draw.randrange(len(raw))]
    if kind == "longer":
        return raw + draw.randbytes(draw.randint(1, 64))
    if kind == "swapped":
        return other
    out, place = bytearray(raw), draw.randrange(len(raw))
    if kind == "bit":
        out[place] ^= 1 << draw.randrange(8)
    elif kind == "bytes":
        out[place : place + 8] = draw.randbytes(len(out[place : place + 8]))
    else:
        out[place : place + 512] = bytes(len(out[place : place + 512]))
    return bytes(out)


@contextmanager
def damaged(file: Path, kind: str, draw: random.Random, others: Sequence[Path] = ()) -> Iterator[bool]:
    """A damaged file in a file's place while the block lasts; whether it is another indeed. Links to the file stay as they are."""
    raw = file.read_bytes()
    alike = [one for one in others if one != file and one.suffix == file.suffix and one.stat().st_size < 1 << 20]
    if kind == "swapped" and not alike:
        kind = "bit"
    bad = damaged_bytes(raw, kind, draw, draw.choice(alike).read_bytes() if kind == "swapped" else b"") if raw else b"\0"
    kept, aside = file.with_name(f".{file.name}.kept"), file.with_name(f".{file.name}.bad")
    os.link(file, kept)
    aside.write_bytes(bad)
    aside.replace(file)
    try:
        yield bad != raw
    finally:
        kept.replace(file)
