"""Exported models and saved tokenizers, served without torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from score_rag.arguments import read_text
from score_rag.errors import ModelError, RunStage
from score_rag.progress import Report, silent

__all__ = ["OnnxModel", "TextTokenizer", "each_once", "length_buckets"]


class OnnxModel:
    """One ONNX file, ready to run.

    Args:
        path: The file.
        threads: Threads inside one run; by default `OMP_NUM_THREADS`, else one a core.

    Raises:
        ModelError: The file is missing or is no ONNX model.
    """

    def __init__(self, path: Path | str, *, threads: int | None = None) -> None:
        import onnxruntime

        self.path = path = Path(path)
        self.threads = threads
        if not path.is_file():
            raise ModelError("an exported model is missing", where=path, remedy=RunStage(None, again=True))
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads or int(os.environ.get("OMP_NUM_THREADS", "0"))
        try:
            self._session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises its own family, which has no common public base
            raise ModelError("an exported model cannot be read", where=path, found=str(error).splitlines()[0]) from error
        self._inputs = {value.name for value in self._session.get_inputs()}

    def __reduce__(self) -> tuple[Any, ...]:
        # A session cannot be copied; the file can be opened again, from another working directory too.
        return partial(OnnxModel, threads=self.threads), (self.path.absolute(),)

    def __repr__(self) -> str:
        return f"OnnxModel({str(self.path)!r})"

    def run(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """The output for a batch; inputs that the model does not have are left out."""
        fed = {name: value for name, value in inputs.items() if name in self._inputs}
        return np.asarray(self._session.run(None, fed)[0])


class TextTokenizer:
    """A saved fast tokenizer, without transformers: ids, token types and masks, padded to the right.

    Args:
        folder: Holds `tokenizer.json`.
        max_tokens: Longer inputs are cut at the end (of a pair, at the end of the longer side).
    """

    def __init__(self, folder: Path | str, *, max_tokens: int) -> None:
        from tokenizers import Tokenizer

        file = Path(folder) / "tokenizer.json"
        if not file.is_file():
            raise ModelError("a tokenizer is missing", where=file)
        try:
            self._tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # the tokenizers package raises bare exceptions
            raise ModelError("a tokenizer cannot be read", where=file, found=str(error), remedy=RunStage(None, again=True)) from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)
        self.max_tokens = max_tokens

    def encode(self, texts: Sequence[str] | Sequence[tuple[str, str]]) -> list[Any]:
        """Encodings (with `.ids` and `.type_ids`) of texts or pairs.

        Raises:
            InputError: A text cannot be written in UTF-8.
        """
        try:
            return list(self._tokenizer.encode_batch(list(texts)))
        except TypeError:
            for place, given in enumerate(texts):
                for text in (given,) if isinstance(given, str) else given:
                    read_text(text, where=f"text {place} to encode")
            raise

    @staticmethod
    def pad(encodings: Sequence[Any]) -> dict[str, np.ndarray]:
        """`input_ids`, `token_type_ids`, `attention_mask`, each int64 [n, longest]."""
        longest = max(2, max(len(encoding.ids) for encoding in encodings))
        shape = (len(encodings), longest)
        out = {name: np.zeros(shape, dtype=np.int64) for name in ("input_ids", "token_type_ids", "attention_mask")}
        for row, encoding in enumerate(encodings):
            end = len(encoding.ids)
            out["input_ids"][row, :end] = encoding.ids
            out["token_type_ids"][row, :end] = encoding.type_ids
            out["attention_mask"][row, :end] = 1
        return out


def length_buckets(lengths: Sequence[int], *, tokens: int = 4096) -> list[list[int]]:
    """Row numbers in batches of similar length, at most `tokens` padded tokens a batch: little is padded, memory is bounded.

    >>> length_buckets([3, 1, 3, 2], tokens=6)
    [[1, 3], [0, 2]]
    """
    order = sorted(range(len(lengths)), key=lambda row: lengths[row])
    batches: list[list[int]] = []
    for row in order:
        if batches and (len(batches[-1]) + 1) * lengths[row] <= tokens:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def each_once(
    inputs: Sequence[str] | Sequence[tuple[str, str]],
    tokenizer: TextTokenizer,
    compute: Callable[[dict[str, np.ndarray]], np.ndarray],
    *,
    shape: tuple[int, ...] = (),
    tokens: int = 4096,
    doing: str = "",
    report: Report = silent,
) -> np.ndarray:
    """What a model says of each input: equal inputs are computed once, and inputs of like length together.

    Args:
        inputs: Texts or pairs of texts.
        tokenizer: Makes a batch of them.
        compute: Takes a padded batch (as `TextTokenizer.pad` gives it), returns [batch, *shape].
        shape: Of one input's output.
        tokens: Padded tokens a batch.
        doing: For the report.

    Returns:
        float32 [len(inputs), *shape].
    """
    unique = list(dict.fromkeys(inputs))
    out = np.zeros((len(unique), *shape), dtype=np.float32)
    encodings = tokenizer.encode(unique) if unique else []  # type: ignore[arg-type]  # of one kind, as the inputs are
    done = 0
    for batch in length_buckets([len(encoding.ids) for encoding in encodings], tokens=tokens):
        out[batch] = compute(tokenizer.pad([encodings[row] for row in batch]))
        done += len(batch)
        report(doing, done, len(unique))
    place = {one: row for row, one in enumerate(unique)}
    return out[[place[one] for one in inputs]] if len(inputs) else out
