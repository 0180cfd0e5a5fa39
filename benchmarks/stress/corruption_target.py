"""What a target of damage is."""

from __future__ import annotations

from pathlib import Path

__all__ = ["Target", "Unnoticed"]


class Unnoticed(Exception):
    """It answered, and otherwise than before."""


class Target:
    """Files of one kind.

    Attributes:
        weight: How often it is drawn, beside the others.
        cost: How many small files cost what one of these does.
    """

    needs_toy = False
    weight = 1
    cost = 1

    def prepare(self, place: Path, toy: str | None) -> None:
        """Make the files where they are not there, and remember what is right; called in each process."""

    def files(self, place: Path) -> list[Path]:
        return sorted(file for file in place.rglob("*") if file.is_file() and not file.name.startswith("."))

    def open(self, place: Path, file: Path) -> str:
        raise NotImplementedError
