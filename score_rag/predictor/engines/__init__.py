"""Engines that score texts: one interface, one file an engine, each imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from score_rag.errors import ModelError
from score_rag.extras import names_extras
from score_rag.predictor.engines.engine import Engine, TokenEngine
from score_rag.predictor.settings import SERVERS, EngineSettings

__all__ = ["Engine", "TokenEngine", "open_engine"]


@names_extras()
def open_engine(folder: Path, facts: dict[str, Any], settings: EngineSettings, *, device: str | None = None) -> TokenEngine:
    """The engine of a finished predictor.

    Args:
        folder: What `fit_predictor` saved: `predictor.json`, and `base/`, `adapter/`, `model.onnx` as it has them.
        facts: Content of `predictor.json`.
        settings: Which engine, and how it is reached.
        device: For `torch`.

    Raises:
        ModelError: A part is missing or does not fit, or the server cannot be reached.
    """
    answers = (int(facts["yes"]), int(facts["no"]))
    most, batch = int(facts["max_tokens"]), settings.batch_tokens
    onnx = folder / "model.onnx"
    if settings.engine == "onnx" and not onnx.is_file():
        raise ModelError("this predictor has no ONNX file", where=onnx, hint="use the torch engine: engine: torch")
    if settings.engine == "onnx" or (settings.engine == "auto" and onnx.is_file()):
        from score_rag.predictor.engines.onnx import OnnxEngine
        from score_rag.predictor.tokens import plain_encoder

        return OnnxEngine(onnx, plain_encoder(folder / "base"), answers, max_tokens=most, batch_tokens=batch)
    base = str(folder / "base") if facts["bundled"] else str(facts["base"])
    if settings.engine in SERVERS:
        return _server(base, facts, settings, answers)

    from score_rag.predictor.engines.torch import TorchEngine
    from score_rag.predictor.load import load_tuned

    model = load_tuned(folder, facts, device=device)
    return TorchEngine(model, _encoder(base, facts)[0], answers, max_tokens=most, batch_tokens=batch)


def _server(base: str, facts: dict[str, Any], settings: EngineSettings, answers: tuple[int, int]) -> TokenEngine:
    encode, spell = _encoder(base, facts)
    most = int(facts["max_tokens"])
    if settings.engine == "vllm":
        from score_rag.predictor.engines.vllm import VllmEngine

        return VllmEngine(settings, encode, answers, max_tokens=most)
    if settings.engine == "sglang":
        from score_rag.predictor.engines.sglang import SglangEngine

        return SglangEngine(settings, encode, answers, max_tokens=most)
    from score_rag.predictor.engines.openai import OpenAIEngine

    return OpenAIEngine(settings, encode, answers, max_tokens=most, names=(spell(answers[0]), spell(answers[1])))


def _encoder(base: str, facts: dict[str, Any]) -> tuple[Callable[[str], list[int]], Callable[[int], list[str]]]:
    """(text to token ids, token id to its spellings) of a base; transformers is imported only for a base that is not bundled."""
    if facts["bundled"]:
        from tokenizers import Tokenizer

        from score_rag.predictor.tokens import plain_encoder

        encode = plain_encoder(Path(base))
        plain = Tokenizer.from_file(str(Path(base) / "tokenizer.json"))
        return encode, lambda token: _spellings(plain.decode([token]), plain.id_to_token(token))
    from transformers import AutoTokenizer

    from score_rag.predictor.tokens import chat_encoder

    tokenizer: Any = AutoTokenizer.from_pretrained(base)
    return chat_encoder(tokenizer), lambda token: _spellings(tokenizer.decode([token]), tokenizer.convert_ids_to_tokens(token))


def _spellings(decoded: str, piece: str | None) -> list[str]:
    """As text, as a piece of the vocabulary, and without the space that a server's own chat form makes needless."""
    return list(dict.fromkeys([decoded, *([piece] if piece else []), decoded.strip()]))
