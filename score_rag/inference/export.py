"""Trained models in a form that answers in a fresh process at once: exported when they are trained, served without torch.

Importing transformers alone takes longer than a whole recommendation should. So encoder, cross-encoder and the bundled Llama are exported
to ONNX at the end of their training and served by onnxruntime and tokenizers; tests hold both forms to the same numbers.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from score_rag.inference.onnx import OnnxModel
from score_rag.inference.quiet import quiet

if TYPE_CHECKING:
    import torch

__all__ = ["export_onnx"]

# Of inputs by which a traced model is held against its module: unlike the example's, and a batch of one.
_SHAPES = ((3, 11), (1, 5))
_TOLERANCE = 1e-4


def export_onnx(module: torch.nn.Module, example: dict[str, torch.Tensor], path: Path, *, output: str) -> None:
    """Write a module as ONNX, with free batch size and length.

    Traced, which takes a seventh of the time of torch's newer exporter. A trace may freeze what depended on the example, so it is
    held against the module on other shapes, and where it differs (or torch no longer traces) the newer exporter writes the file.

    Args:
        module: Takes the example's tensors by keyword and returns one tensor.
        example: Inputs of shape [batch >= 2, length >= 2], int64; those called `*mask` are 1 for tokens, 0 for padding.
        path: The file to write.
        output: Name of the output.
    """
    module = module.eval()
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not _trace(module, example, path, output):
            _export(module, example, path, output)
    _without_traces(path)


def _trace(module: torch.nn.Module, example: dict[str, torch.Tensor], path: Path, output: str) -> bool:
    """Write by TorchScript's exporter; whether the file answers as the module does."""
    import torch

    free = {name: {0: "batch", 1: "length"} for name in example}
    # What the first axis of the output is, is known; of the rest the trace finds out.
    free[output] = {0: "batch"}
    names: dict[str, Any] = {"input_names": list(example), "output_names": [output], "dynamic_axes": free}
    try:
        torch.onnx.export(module, (), str(path), kwargs=dict(example), dynamo=False, verbose=False, **names)
    except (RuntimeError, ValueError, TypeError, NotImplementedError, AttributeError):  # of tracing; the newer exporter's own are said
        return False
    return _agrees(module, example, path)


def _agrees(module: torch.nn.Module, example: dict[str, torch.Tensor], path: Path) -> bool:
    import torch

    generator = np.random.default_rng(0)
    written = OnnxModel(path, threads=1)
    for batch, length in _SHAPES:
        given = {name: _other(name, one, (batch, length), generator) for name, one in example.items()}
        with torch.no_grad():
            expected = module(**{name: torch.from_numpy(one) for name, one in given.items()}).numpy()
        try:
            found = written.run(given)
        except Exception:  # noqa: BLE001  # onnxruntime's own family has no common public base
            return False
        if found.shape != expected.shape or not np.allclose(found, expected, rtol=_TOLERANCE, atol=_TOLERANCE):
            return False
    return True


def _other(name: str, example: torch.Tensor, shape: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    """An input of another shape: ids no higher than the example's, a mask that pads one row right and one left."""
    if not name.endswith("mask"):
        return generator.integers(0, int(example.max()) + 1, shape)
    mask = np.ones(shape, dtype=np.int64)
    mask[0, -2:] = 0
    if shape[0] > 1:
        mask[1, :3] = 0
    return mask


def _export(module: torch.nn.Module, example: dict[str, torch.Tensor], path: Path, output: str) -> None:
    """Write by the newer exporter."""
    import torch

    batch, length = torch.export.Dim("batch", min=1, max=65536), torch.export.Dim("length", min=2, max=8192)
    torch.onnx.export(
        module,
        (),
        str(path),
        kwargs=dict(example),
        input_names=list(example),
        output_names=[output],
        dynamic_shapes={name: {0: batch, 1: length} for name in example},
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def _without_traces(path: Path) -> None:
    """Leave out where each node came from: torch numbers its traces by process, so equal models would have unequal files."""
    import onnx

    model = onnx.load(path)
    for node in model.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    onnx.save(model, path)
