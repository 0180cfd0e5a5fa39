"""The input of a job: one Parquet file, or a folder of them, read lazily; rows are numbered across all files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from score_rag.errors import DataError, InputError, did_you_mean
from score_rag.files import digest_file, digest_json
from score_rag.progress import Report, silent

__all__ = ["INPUT_ROW", "HeldSource", "Source", "find_source"]

INPUT_ROW = "input_row"
"""The number of a row in the input, from 0, over all files in the order of their names."""


@dataclass(frozen=True)
class Source:
    """Files of one schema.

    Attributes:
        digest: SHA-256 over the files' contents, in order.
        rows: Of all files.
    """

    files: tuple[Path, ...]
    schema: dict[str, pl.DataType]
    digest: str
    rows: int

    def scan(self) -> pl.LazyFrame:
        """All rows with their numbers."""
        return pl.scan_parquet(list(self.files)).with_row_index(INPUT_ROW).with_columns(pl.col(INPUT_ROW).cast(pl.Int64))

    def require(self, columns: Sequence[str], *, ids: Sequence[str], makes: Sequence[str]) -> None:
        """Check that the columns that a job reads are there, ids among them, and that those it makes are not.

        Raises:
            DataError: They are not.
        """
        missing = [name for name in columns if name not in self.schema]
        if missing:
            raise DataError(
                "columns are missing in the input",
                where=self.files[0],
                expected=", ".join(missing),
                found=", ".join(self.schema),
                hint=did_you_mean(missing[0], self.schema),
            )
        if bad := [name for name in ids if not (self.schema[name] == pl.String or self.schema[name].is_integer())]:
            raise DataError(
                "ids are neither texts nor whole numbers",
                where=self.files[0],
                expected=f"{bad[0]}: String or Int64",
                found=f"{bad[0]}: {self.schema[bad[0]]}",
            )
        if taken := [name for name in (INPUT_ROW, *makes) if name in self.schema]:
            raise DataError(
                "the input has columns that the job would write", where=self.files[0], found=", ".join(taken), hint="call them otherwise"
            )


@dataclass(frozen=True, eq=False)
class HeldSource(Source):
    """Rows that a job makes itself, the same on every machine; held in memory.

    Attributes:
        held: The rows.
    """

    held: pl.DataFrame

    @classmethod
    def of(cls, held: pl.DataFrame, digest: str) -> HeldSource:
        """Rows as a source, under a digest of all that they say."""
        return cls((), dict(held.schema), digest, len(held), held)

    def scan(self) -> pl.LazyFrame:
        return self.held.lazy().with_row_index(INPUT_ROW).with_columns(pl.col(INPUT_ROW).cast(pl.Int64))


def find_source(path: Path | str, *, report: Report = silent) -> Source:
    """Open an input, and read it once for its digest.

    Args:
        path: A Parquet file, or a folder whose `*.parquet` files are taken in the order of their names.

    Raises:
        InputError: There is no such file, or no Parquet file in the folder.
        DataError: A file is no Parquet, or of another schema than the first.
    """
    path = Path(path)
    files = sorted(file for file in path.glob("*.parquet") if not file.name.startswith(".")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise InputError(
            "there is no input",
            where=path,
            expected="a Parquet file, or a folder of *.parquet",
            found="an empty folder" if path.is_dir() else None,
        )
    rows, first = 0, pl.Schema()
    for file in files:
        try:
            schema = pl.read_parquet_schema(file)
            rows += int(pl.scan_parquet(file).select(pl.len()).collect().item())
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError("an input file is no Parquet file", where=file, found=str(error).splitlines()[0]) from error
        first = first or pl.Schema(schema)
        if schema != first:
            odd = [name for name in {**first, **schema} if first.get(name) != schema.get(name)]
            raise DataError(
                "input files have unlike columns",
                where=file,
                expected=", ".join(f"{name}: {first.get(name, 'none')}" for name in odd),
                found=", ".join(f"{name}: {schema.get(name, 'none')}" for name in odd),
            )
    digests = []
    for done, file in enumerate(files, start=1):
        digests.append(digest_file(file))
        report("reading the input", done, len(files))
    return Source(tuple(files), dict(first), digest_json(digests), rows)
