"""P(like) of a prompt: the softmax over the Yes and No logits where the answer would stand, by whichever engine.

Texts in, answers out: what a token is, and how a beginning that many prompts share is computed once, is the business of the engines
(`score_rag.predictor.engines`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from score_rag.errors import InputError
from score_rag.files import check_sealed, part_folder, read_json
from score_rag.predictor.answer import LOW_MASS, Answer, calibrated
from score_rag.predictor.engines import open_engine
from score_rag.predictor.engines.prefix import shared_beginning
from score_rag.predictor.engines.torch import score_tokens
from score_rag.predictor.load import load_causal_model
from score_rag.predictor.settings import EngineSettings
from score_rag.progress import Report, silent

if TYPE_CHECKING:
    from score_rag.predictor.engines import Engine

__all__ = ["LOW_MASS", "Answer", "Predictor", "load_causal_model", "score_tokens", "shared_beginning"]


class Predictor:
    """Scores prompts by an engine, and calibrates what it says.

    Args:
        engine: Anything with the interface of `score_rag.predictor.engines.Engine`.
        temperature: Calibrates: P = sigmoid((logit of Yes - logit of No - shift) / temperature). 1 changes nothing;
            the order of the answers and their mass stay as they are.
        shift: Taken off before; 0 changes nothing.
        settings: Content of `predictor.json`, where there is one.

    Attributes:
        engine: The engine.
        temperature: The temperature.
        shift: The shift.
        settings: As given.
    """

    def __init__(self, engine: Engine, *, temperature: float = 1.0, shift: float = 0.0, settings: dict[str, Any] | None = None) -> None:
        if not temperature > 0:
            raise InputError("the temperature of a predictor is not positive", expected="a number above 0", found=temperature)
        self.engine = engine
        self.temperature = temperature
        self.shift = shift
        self.settings = settings or {}
        self._again: partial[Predictor] | None = None

    @classmethod
    def from_pretrained(
        cls,
        folder: Path | str,
        *,
        engine: str | EngineSettings = "auto",
        engine_url: str | None = None,
        engine_model: str | None = None,
        device: str | None = None,
    ) -> Predictor:
        """Load what `fit_predictor` saved.

        Args:
            folder: A finished predictor folder, or the folder of the run that holds it (`runs/sample`).
            engine: `auto` (`onnx` where the folder has it, else `torch`), `torch`, `onnx`, or a server: `vllm`, `sglang`, `openai`; or
                all settings of an engine.
            engine_url: Address of a server.
            engine_model: Name of the model at the server.
            device: For torch: `cpu`, `cuda`, ...; the first GPU, if there is one, by default.

        Raises:
            InputError: There is no such engine, or it lacks a URL.
            ModelError: The folder, its base model, its adapter, or the engine's file is missing or does not fit; the server cannot be
                reached or does not serve the model.
        """
        folder = part_folder(folder, "predictor")
        check_sealed(folder, served=True)
        if not isinstance(engine, EngineSettings):
            try:
                engine = EngineSettings.model_validate({"engine": engine, "url": engine_url, "model": engine_model})
            except ValidationError as error:
                told = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'engine'}: {one['msg']}" for one in error.errors())
                raise InputError("the engine's settings do not fit", found=told) from error
        facts = read_json(folder / "predictor.json")
        opened = open_engine(folder, facts, engine, device=device)
        found = cls(opened, temperature=float(facts.get("temperature", 1.0)), shift=float(facts.get("shift", 0.0)), settings=facts)
        found._again = partial(cls.from_pretrained, folder.absolute(), engine=engine, device=device)
        return found

    def __reduce__(self) -> Any:
        # A session, a model on a GPU or a connection cannot be copied; what was opened from a folder is opened again.
        if self._again is None:
            return super().__reduce__()
        return self._again, (), {"temperature": self.temperature, "shift": self.shift, "settings": self.settings}

    def __repr__(self) -> str:
        where = "" if self._again is None else f"{str(self._again.args[0])!r}, "
        return f"Predictor({where}{type(self.engine).__name__}, temperature={self.temperature:.3g}, shift={self.shift:.3g})"

    def count_tokens(self, text: str) -> int:
        """Tokens of a prompt as the engine reads it: shorten by whole history items until it is at most `max_tokens`."""
        return self.engine.count_tokens(text)

    @property
    def max_tokens(self) -> int:
        """Longest prompt that the engine reads, in tokens."""
        return self.engine.max_tokens

    def score(self, prompts: Sequence[str], *, report: Report = silent) -> list[Answer]:
        """One answer a prompt, in order; the same for a prompt alone or among others (to 1e-5 in float32).

        Raises:
            InputError: A prompt is empty, or longer than `max_tokens`: `PromptBuilder` shortens by whole items before it comes here.
            ModelError: The engine cannot answer.
        """
        return self._calibrated(self.engine.score(prompts, report=report))

    async def ascore(self, prompts: Sequence[str]) -> list[Answer]:
        """`score`, without blocking the event loop."""
        return self._calibrated(await self.engine.ascore(prompts))

    def _calibrated(self, answers: Sequence[Answer]) -> list[Answer]:
        return [dataclasses.replace(answer, probability=calibrated(answer.probability, self.temperature, self.shift)) for answer in answers]
