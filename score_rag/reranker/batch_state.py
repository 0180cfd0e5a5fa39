"""A batch that was handed over and not read yet, in a file of its own, so that no kill has it paid for twice."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from score_rag.errors import AssessorError
from score_rag.files import write_text

__all__ = ["BatchRow", "PendingBatch", "batch_path"]


class BatchRow(NamedTuple):
    """One question of a batch: its key, the name of its reservation in the journal, and whose answer it is."""

    key: str
    call: str
    user_id: str
    item_id: str


@dataclass(frozen=True)
class PendingBatch:
    """A batch under way.

    Attributes:
        tag: What the batch is called at the provider, where it is looked for if its id was lost.
        model: Its LiteLLM name.
        api_base: Where it is served.
        rows: Its questions; the provider knows each by its number here, and nothing of its user.
        batch_id: The provider's name for it; None from before it is handed over until its id has come.
    """

    tag: str
    model: str
    api_base: str | None
    rows: tuple[BatchRow, ...]
    batch_id: str | None = None

    def write(self, path: Path) -> None:
        """Keep it, aside and then moved."""
        write_text(path, json.dumps(asdict(self), ensure_ascii=False))

    @classmethod
    def read(cls, path: Path) -> PendingBatch | None:
        """The batch that is under way; None where there is none.

        Raises:
            AssessorError: The file is malformed.
        """
        if not path.is_file():
            return None
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{**found, "rows": tuple(BatchRow(*row) for row in found["rows"])})
        except (ValueError, TypeError, KeyError) as error:
            raise AssessorError(
                "the note of a batch that is under way is malformed",
                where=path,
                hint="look for the batch at the provider; without this file its questions are asked, and paid for, again",
            ) from error


def batch_path(out: Path) -> Path:
    """Where a batch for the answers in `out` is noted: `assessments.batch.json` beside `assessments.jsonl`."""
    return out.with_name(f"{out.stem}.batch.json")
