"""Reading delimited files: every cell as text first, so that every mistake can be named with its line, and all of them at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from score_rag.errors import DataError

__all__ = ["Mistakes", "read_delimited", "read_table", "to_number"]

_SHOWN = 20


class Mistakes:
    """Collects what is wrong in files and raises it all at once (the first twenty shown)."""

    def __init__(self) -> None:
        self._found: list[str] = []
        self._more = 0

    def add(self, frame: pl.DataFrame, bad: pl.Series, column: str, *, file: Path, expected: str) -> None:
        """Note the rows where `bad` is true; `frame` has `_line` and the column as text."""
        rows = frame.filter(bad)
        self._more += len(rows)
        for line, value in rows.select("_line", column).head(_SHOWN).iter_rows():
            shown = "nothing" if value is None else repr(value if len(value) <= 40 else value[:37] + "...")
            self._found.append(f"{file.name}, line {line}: {column}: expected {expected}, found {shown}")

    def settle(self, where: Path) -> None:
        """Raise if anything was noted.

        Raises:
            DataError: Lists the mistakes.
        """
        if not self._found:
            return
        shown = "\n    ".join(self._found[:_SHOWN])
        rest = self._more - min(len(self._found), _SHOWN)
        raise DataError(
            f"{self._more} malformed cells",
            where=where,
            found="\n    " + shown + (f"\n    ... and {rest} more" if rest > 0 else ""),
            hint="mend or remove these rows; nothing was written",
        )


def read_delimited(file: Path, *, separator: str = ",", required: Sequence[str]) -> pl.DataFrame:
    """A delimited file with every cell as text, and `_line`, its line in the file (where no quoted cell spans lines).

    Raises:
        DataError: The file is missing, is not UTF-8, cannot be parsed, or lacks required columns.
    """
    if not file.is_file():
        raise DataError("a data file is missing", where=file, hint="say where the data is: --set data.path=FOLDER")
    try:
        frame = pl.read_csv(file, separator=separator, infer_schema=False, encoding="utf8", truncate_ragged_lines=False)
    except pl.exceptions.NoDataError:
        raise DataError("a data file is empty", where=file, expected=f"a header line with {', '.join(required)}") from None
    except pl.exceptions.PolarsError as error:
        raise DataError(
            "a data file cannot be read", where=file, found=str(error).splitlines()[0], expected="UTF-8, one delimiter"
        ) from error
    frame = frame.rename({name: name.removeprefix("\ufeff").strip() for name in frame.columns})
    missing = [name for name in required if name not in frame.columns]
    if missing:
        raise DataError(
            f"a data file lacks columns: {', '.join(missing)}", where=file, expected=", ".join(required), found=", ".join(frame.columns)
        )
    return frame.with_row_index("_line", offset=2)


def read_table(folder: Path, name: str, *, required: Sequence[str]) -> tuple[pl.DataFrame, Path]:
    """`NAME.parquet` or `NAME.csv` of a folder, every cell as text."""
    parquet, csv = folder / f"{name}.parquet", folder / f"{name}.csv"
    if parquet.is_file():
        try:
            frame = pl.read_parquet(parquet)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError("a data file cannot be read", where=parquet, expected="Parquet", found=str(error).splitlines()[0]) from error
        missing = [column for column in required if column not in frame.columns]
        if missing:
            raise DataError(f"a data file lacks columns: {', '.join(missing)}", where=parquet, found=", ".join(frame.columns))
        lists = [column for column, kind in frame.schema.items() if isinstance(kind, pl.List)]
        frame = frame.with_columns([pl.col(column).cast(pl.List(pl.String())).list.join("|") for column in lists])
        return frame.cast(pl.String()).with_row_index("_line", offset=1), parquet
    return read_delimited(csv, required=required), csv


def to_number(frame: pl.DataFrame, columns: Mapping[str, tuple[type[pl.DataType], str]], *, file: Path, mistakes: Mistakes) -> pl.DataFrame:
    """Cast text columns; what does not fit, is infinite or missing is noted as a mistake.

    Args:
        columns: Column to (type, what a good value looks like in words).
    """
    for column, (kind, words) in columns.items():
        values = frame[column].str.strip_chars().cast(pl.Float64, strict=False)
        bad = values.is_null() | ~values.is_finite().fill_null(False)
        if kind in (pl.Int64, pl.Int8):
            bad = bad | (values != values.floor()).fill_null(True)
        mistakes.add(frame, bad, column, file=file, expected=words)
        # Whole numbers are read as such: a double would round large ids and times.
        good = frame[column].str.strip_chars().cast(kind, strict=False) if kind is pl.Int64 else values.cast(kind, strict=False)
        frame = frame.with_columns(good.fill_null(values.cast(kind, strict=False)).alias(column))
    return frame
