"""Exported models: what is traced answers as its module does on other shapes; what cannot be traced, the newer exporter writes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from score_rag.inference import export
from score_rag.inference.export import export_onnx
from score_rag.inference.onnx import OnnxModel

IDS = {"input_ids": torch.full((2, 8), 5), "attention_mask": torch.ones((2, 8), dtype=torch.long)}


class Sums(torch.nn.Module):
    """The sum of each row's ids that the mask lets through."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return (input_ids * attention_mask).sum(1)


class Frozen(torch.nn.Module):
    """Depends on the length in Python: a trace keeps the example's."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return Sums()(input_ids, attention_mask) * float(input_ids.shape[1])


class Refused(Sums):
    """Refuses a trace, as what depends on values may."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        if torch.jit.is_tracing():
            raise RuntimeError("not in a trace")
        return super().forward(input_ids, attention_mask)


@pytest.mark.filterwarnings("ignore")
def test_a_trace_that_froze_the_example_is_found_out(tmp_path):
    assert export._trace(Sums(), IDS, tmp_path / "sums.onnx", "sums")
    assert not export._trace(Frozen(), IDS, tmp_path / "frozen.onnx", "sums")


@pytest.mark.parametrize(("module", "newer"), [(Sums, 0), (Refused, 1)])
def test_whatever_wrote_it_it_answers_as_the_module_does(module, newer, tmp_path, monkeypatch):
    written = []
    kept = export._export
    monkeypatch.setattr(export, "_export", lambda *given: (written.append(1), kept(*given)))
    export_onnx(module(), IDS, tmp_path / "model.onnx", output="sums")
    assert len(written) == newer
    ids, mask = np.arange(20, dtype=np.int64).reshape(4, 5), np.ones((4, 5), dtype=np.int64)
    mask[2, 3:] = 0
    expected = module()(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
    np.testing.assert_array_equal(OnnxModel(tmp_path / "model.onnx").run({"input_ids": ids, "attention_mask": mask}), expected)


def test_equal_models_have_equal_files(tmp_path):
    for name in ("one", "other"):
        export_onnx(Sums(), IDS, tmp_path / f"{name}.onnx", output="sums")
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "other.onnx").read_bytes()
