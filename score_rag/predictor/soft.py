"""Soft tokens: vectors of a conventional recommender that stand in a prompt as tokens of their own (after CoLLM, Zhang et al. 2023).

A marker in the text names a vector of a table; the tokenizer's ids end where the table's begin, so that packing, shared beginnings and
scoring treat it like any token. The input embedding of such an id is the vector, projected by a small network that is trained.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from score_rag.errors import ModelError
from score_rag.seeds import forked_generators

if TYPE_CHECKING:
    import torch

__all__ = ["SoftTokens", "open_soft"]

_OPEN, _CLOSE = "\ue001", "\ue002"
_MARK = re.compile(f"{_OPEN}([0-9]+){_CLOSE}")
_WIDER = 10
"""The projection's hidden layer, in times of the vectors' width, as in CoLLM."""
_FILE = "soft_tokens.safetensors"


class SoftTokens:
    """A table of vectors, and the network that projects them.

    Args:
        scale: What vectors are divided by: their root mean square.
        dim: Their width.

    Attributes:
        projector: The network; None until `attach`.
    """

    def __init__(self, scale: float, dim: int) -> None:
        self.scale, self.dim = scale or 1.0, dim
        self.projector: Any = None
        self._rows: list[np.ndarray] = []
        self._places: dict[bytes, int] = {}
        self._table: torch.Tensor | None = None

    def mark(self, vector: np.ndarray) -> str:
        """The marker of a vector [dim]; equal vectors have one."""
        row = np.asarray(vector, dtype=np.float32) / np.float32(self.scale)
        place = self._places.setdefault(row.tobytes(), len(self._rows))
        if place == len(self._rows):
            self._rows.append(row)
        return f"{_OPEN}{place}{_CLOSE}"

    @staticmethod
    def without_marks(text: str) -> str:
        """A text with its markers taken out: what a tokenizer is fitted on."""
        return _MARK.sub("", text)

    def encoder(self, encode: Callable[[str], Sequence[int]], vocabulary: int) -> Callable[[str], list[int]]:
        """An encoder that reads markers.

        Args:
            encode: Plain text to token ids, whatever begins a text included.
            vocabulary: The first id of the table.
        """
        begin = len(encode(""))

        def read(text: str) -> list[int]:
            parts = _MARK.split(text)
            ids = list(encode(parts[0]))
            for place, after in zip(parts[1::2], parts[2::2], strict=True):
                ids.append(vocabulary + int(place))
                ids += list(encode(after))[begin:] if after else []
            return ids

        return read

    def attach(self, model: Any, *, seed: int = 0) -> Any:
        """Let a causal model read the table's tokens; its projection is new unless there is one already. Returns the embedding."""
        import torch

        plain = model.get_input_embeddings()
        if self.projector is None:
            with forked_generators(seed):
                self.projector = torch.nn.Sequential(
                    torch.nn.Linear(self.dim, _WIDER * self.dim), torch.nn.ReLU(), torch.nn.Linear(_WIDER * self.dim, plain.embedding_dim)
                )
                # So that a projected vector is about as long as a word's embedding.
                spread = float(plain.weight.detach().float().std()) * (6 / (_WIDER * self.dim)) ** 0.5
                torch.nn.init.normal_(self.projector[2].weight, std=spread)
                torch.nn.init.zeros_(self.projector[2].bias)
        self.projector.to(plain.weight.device)
        embedding = _embedding_class()(plain, self)
        model.set_input_embeddings(embedding)
        return embedding

    @staticmethod
    def detach(model: Any) -> None:
        """Give a model its plain embeddings back."""
        model.set_input_embeddings(model.get_input_embeddings().plain)

    def table(self, device: Any) -> torch.Tensor:
        """float32 [rows, dim] of all vectors that were marked."""
        import torch

        if self._table is None or len(self._table) < len(self._rows) or self._table.device != device:
            self._table = torch.from_numpy(np.stack(self._rows)).to(device)
        return self._table

    def save(self, folder: Path) -> None:
        """Write the projection."""
        from safetensors.torch import save_file

        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.projector.state_dict().items()}
        save_file(tensors, str(folder / _FILE))

    def load(self, folder: Path) -> None:
        """Read the projection that `save` wrote.

        Raises:
            ModelError: It is not there.
        """
        import torch
        from safetensors.torch import load_file

        if not (folder / _FILE).is_file():
            raise ModelError("the projection of soft tokens is missing", where=folder / _FILE)
        tensors = load_file(str(folder / _FILE))
        wide, dim = tensors["0.weight"].shape
        out = tensors["2.weight"].shape[0]
        self.projector = torch.nn.Sequential(torch.nn.Linear(dim, wide), torch.nn.ReLU(), torch.nn.Linear(wide, out))
        self.projector.load_state_dict(tensors)


def _embedding_class() -> Any:
    import torch

    class SoftEmbedding(torch.nn.Module):
        """Words by the plain embedding, the table's tokens by projection."""

        def __init__(self, plain: Any, soft: SoftTokens) -> None:
            super().__init__()
            self.plain, self.projector = plain, soft.projector
            self.soft = soft
            self.embedding_dim = plain.embedding_dim

        @property
        def weight(self) -> Any:
            return self.plain.weight

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            vocabulary = len(self.plain.weight)
            own = ids >= vocabulary
            out: torch.Tensor = self.plain(ids.masked_fill(own, 0))
            if own.any():
                vectors = self.soft.table(ids.device)[ids[own] - vocabulary]
                out = out.index_put((own,), self.projector(vectors).to(out.dtype))
            return out

    return SoftEmbedding


def open_soft(folder: Path, soft: SoftTokens, *, batch_tokens: int = 8192) -> Any:
    """The `Predictor` that was trained with soft tokens, over a table that may grow.

    Args:
        folder: What `fit_adapter` saved.
        soft: Whose table the prompts' markers name.
    """
    from transformers import AutoTokenizer

    from score_rag.files import read_json
    from score_rag.predictor.engines.torch import TorchEngine
    from score_rag.predictor.load import load_tuned
    from score_rag.predictor.predictor import Predictor
    from score_rag.predictor.tokens import plain_encoder, wrap_chat

    facts = read_json(folder / "predictor.json")
    base = str(folder / "base") if facts["bundled"] else str(facts["base"])
    model = load_tuned(folder, facts)
    soft.load(folder)
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    soft.attach(inner)
    inner.eval()
    vocabulary = len(inner.get_input_embeddings().weight)
    if facts["bundled"]:
        encode = soft.encoder(plain_encoder(folder / "base"), vocabulary)
    else:
        tokenizer: Any = AutoTokenizer.from_pretrained(base)
        chat = bool(getattr(tokenizer, "chat_template", None))
        read = soft.encoder(lambda text: list(tokenizer(text, add_special_tokens=not chat)["input_ids"]), vocabulary)

        def encode(text: str) -> list[int]:
            return read(wrap_chat(tokenizer, text))

    answers = int(facts["yes"]), int(facts["no"])
    engine = TorchEngine(model, encode, answers, max_tokens=int(facts["max_tokens"]), batch_tokens=batch_tokens)
    return Predictor(engine, temperature=float(facts["temperature"]), shift=float(facts["shift"]), settings=facts)
