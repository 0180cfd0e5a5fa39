"""Texts embedded in int8 by OpenVINO; runs in the environment that `openvino_int8.py` makes, not by itself."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import nncf
import numpy as np
import openvino

from score_rag.inference.onnx import TextTokenizer, length_buckets


def main() -> None:
    scratch = Path(sys.argv[1])
    asked = json.loads((scratch / "asked.json").read_text())
    texts, folder = asked["texts"], Path(asked["folder"])
    tokenizer = TextTokenizer(folder, max_tokens=asked["max_tokens"])
    model = openvino.convert_model(folder / "model.onnx")
    names = {name for port in model.inputs for name in port.get_names()}

    def fed(some: list) -> dict[str, np.ndarray]:
        return {name: value for name, value in tokenizer.pad(some).items() if name in names}

    # Calibrated on some of the texts: how large activations get, nothing else.
    calibration = [fed([encoding]) for encoding in tokenizer.encode(texts[:: max(1, len(texts) // 100)])]
    small = nncf.quantize(model, nncf.Dataset(calibration), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(calibration))
    compiled = openvino.Core().compile_model(small, "CPU", {"PERFORMANCE_HINT": "THROUGHPUT"})

    def embed(texts: list[str]) -> np.ndarray:
        encodings = tokenizer.encode(texts)
        out = None
        for batch in length_buckets([len(encoding.ids) for encoding in encodings]):
            inputs = fed([encodings[row] for row in batch])
            states = compiled(inputs)[0]
            mask = inputs["attention_mask"][..., None].astype(np.float32)
            pooled = states[:, 0] if asked["pooling"] == "cls" else (states * mask).sum(axis=1) / mask.sum(axis=1)
            out = np.zeros((len(texts), pooled.shape[1]), dtype=np.float32) if out is None else out
            out[batch] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return out

    embed(texts[:50])
    started = time.perf_counter()
    vectors = embed(texts)
    (scratch / "told.json").write_text(json.dumps({"seconds": time.perf_counter() - started}))
    np.save(scratch / "vectors.npy", vectors)


if __name__ == "__main__":
    main()
