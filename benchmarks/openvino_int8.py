"""An index embedded in int8 by OpenVINO: how much faster, and what it does to what is found. `python benchmarks/openvino_int8.py`.

After `score-rag run sample`. OpenVINO lives in an environment of its own, which is made where it is missing (`--openvino FOLDER`): only
documents are embedded there, from the trained encoder's `model.onnx`; queries stay with onnxruntime. Documents of a run are embedded by
both; each user's newest document asks among all others. Run it alone on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl

from score_rag.crm.artefacts import read_neighbours
from score_rag.encoders.encoder import TextEncoder
from score_rag.metrics.neighbours import nearest_users
from score_rag.metrics.ranking import ndcg_and_recall
from score_rag.retriever.examples import Neighbourhood, newest_texts

K = 10


def openvino_python(folder: Path) -> Path:
    """The interpreter of an environment with OpenVINO; made where it is missing."""
    python = folder / "bin" / "python"
    if not python.is_file():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "openvino==2026.4.1", "nncf==3.4.0", "tokenizers", "numpy>=2"], check=True
        )
    return python


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("runs/sample"))
    parser.add_argument("--openvino", type=Path, default=Path("runs/openvino"), help="where its environment is or shall be")
    given = parser.parse_args()
    place = given.run / "retriever" / "encoder"
    documents = pl.read_parquet(given.run / "documents" / "documents.parquet")
    world = Neighbourhood.of(documents, read_neighbours(given.run / "crm"))
    newest = newest_texts(documents)
    texts = [newest[user] for user in world.users]
    encoder = TextEncoder(place)
    encoder.encode(texts[:50])
    started = time.perf_counter()
    exact = encoder.encode(texts)
    seconds = time.perf_counter() - started
    python = openvino_python(given.openvino)
    scratch = given.openvino / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    (scratch / "asked.json").write_text(
        json.dumps({"texts": texts, "folder": str(place.resolve()), "max_tokens": encoder.max_tokens, "pooling": encoder.pooling})
    )
    root = Path(__file__).resolve().parent.parent
    script = Path(__file__).with_name("openvino_int8_inside.py")
    subprocess.run([python, script, scratch], check=True, env={**os.environ, "PYTHONPATH": str(root)})
    told = json.loads((scratch / "told.json").read_text())
    small = np.load(scratch / "vectors.npy")
    print(f"{len(texts):,} documents of {given.run}")
    print(f"documents/s, OpenVINO int8 / onnxruntime float32: {seconds / told['seconds']:.2f}")
    print(f"cosine of int8 to float32: mean {(small * exact).sum(axis=1).mean():.4f}, least {(small * exact).sum(axis=1).min():.4f}")
    everybody = np.arange(len(texts))
    float_tops, int_tops = (nearest_users(exact @ found.T, everybody, K) for found in (exact, small))
    same = np.mean([len({*one} & {*other}) / K for one, other in zip(float_tops, int_tops, strict=True)])
    print(f"of the ten found in float32, found in int8: {same:.3f}")
    wanted = [row[row >= 0] for row in world.neighbours]
    before, after = (ndcg_and_recall(list(found), wanted, K).recall.mean() for found in (float_tops, int_tops))
    print(f"recall@10 of the recommender's neighbours (all users): float32 {before:.4f}, int8 {after:.4f}")


if __name__ == "__main__":
    main()
