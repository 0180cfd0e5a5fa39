"""The vectors of a generation, written a block after another: what is held at a time does not grow with the documents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import polars as pl

from score_rag.progress import Report, part_of, silent

if TYPE_CHECKING:
    from score_rag.encoders.encoder import Encoder
    from score_rag.index.reader import BehaviourIndex

__all__ = ["write_vectors"]

_BLOCK = 16_384
"""Documents at a time: as tokens, some ten kilobytes each, they are the most that an encoder holds."""


def write_vectors(
    place: Path, documents: pl.DataFrame, encoder: Encoder, standing: BehaviourIndex | None = None, *, report: Report = silent
) -> tuple[np.ndarray, int]:
    """Write a vector for each document; a text is embedded once, and one that the standing index holds is not embedded again.

    Args:
        place: The file, `vectors.npy`.
        documents: Frame with `text`, in the order of the rows.
        encoder: Makes the vectors.
        standing: The generation before, of the same encoder.
        report: Told how far the work is.

    Returns:
        (float32 [documents, dim], memory-mapped; how many texts were embedded).
    """
    first = _rows(documents).select(pl.col("row").first().over("text"))["row"].to_numpy()
    known = _known(documents, standing)
    fresh = (first == np.arange(len(first))) & (known < 0)
    count, done, begin, dimension = int(fresh.sum()), 0, 0, 0
    # Written, not mapped: on a disk that is full a write fails with an error, and a mapped page takes the process with it.
    with place.open("wb") as file:
        for start in range(0, len(documents), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(documents)))
            new = rows[fresh[rows]]
            made = np.empty((0, 0), dtype=np.float32)
            if len(new):
                made = encoder.encode(documents["text"].gather(new).to_list(), report=part_of(report, done, count))
                done += len(new)
            if not start:
                dimension = made.shape[1] if standing is None else standing.vectors.shape[1]
                begin = _begin(file, (len(documents), dimension))
            block = np.empty((len(rows), dimension), dtype=np.float32)
            if standing is not None:
                block[known[rows] >= 0] = standing.vectors[known[rows][known[rows] >= 0]]
            block[new - start] = made.reshape(-1, dimension)
            again = rows[(known[rows] < 0) & ~fresh[rows]]
            before = again[first[again] < start]
            if len(before):
                file.flush()
                written = np.memmap(place, dtype=np.float32, mode="r", offset=begin, shape=(start, dimension))
                block[before - start] = written[first[before]]
            within = again[first[again] >= start]
            block[within - start] = block[first[within] - start]
            file.write(block.data)
    return np.load(place, mmap_mode="r", allow_pickle=False), count


def _known(documents: pl.DataFrame, standing: BehaviourIndex | None) -> np.ndarray:
    """int64 [documents]: where the standing index has each text, -1 where it has not."""
    if standing is None:
        return np.full(len(documents), -1, dtype=np.int64)
    held = _rows(standing.documents).unique("text", keep="last")
    return documents.select("text").join(held, on="text", how="left", maintain_order="left")["row"].fill_null(-1).to_numpy()


def _rows(documents: pl.DataFrame) -> pl.DataFrame:
    return documents.select("text", row=pl.int_range(pl.len(), dtype=pl.Int64))


def _begin(file: BinaryIO, shape: tuple[int, int]) -> int:
    """Write the head of the file, as `np.save` does; where the numbers begin."""
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return file.tell()
