"""The predictor as a language model of LlamaIndex: it answers Yes or No, with the logarithms of both probabilities."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from llama_index.core.base.llms.types import CompletionResponse, CompletionResponseAsyncGen, CompletionResponseGen, LLMMetadata, LogProb
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.llms.callbacks import llm_completion_callback
from llama_index.core.llms.custom import CustomLLM

from score_rag.predictor.answer import Answer
from score_rag.predictor.predictor import Predictor

__all__ = ["PredictorLLM"]

_LEAST = 1e-12


class PredictorLLM(CustomLLM):
    """A trained predictor where LlamaIndex takes a language model: one word, Yes or No.

    The prompt should be written as the predictor learned to read it (`Recommendation.prompt` shows one). `logprobs` has one place with both
    words, the likelier first: log(P · mass) of Yes and log((1 - P) · mass) of No, where P is the calibrated P(like) and mass what the model
    gave to both words together. `raw` is the `Answer`. It is no chat model and calls no functions.

    Args:
        predictor: Such as `Predictor.from_pretrained("runs/sample/predictor")`.
    """

    _predictor: Predictor = PrivateAttr()

    def __init__(self, predictor: Predictor, **more: Any) -> None:
        super().__init__(**more)
        self._predictor = predictor

    @classmethod
    def from_pretrained(cls, folder: Path | str, **more: Any) -> PredictorLLM:
        """Open a finished predictor folder, or the one of a run (`runs/sample`).

        Raises:
            ModelError: There is no predictor in the folder.
        """
        return cls(Predictor.from_pretrained(folder), **more)

    @classmethod
    def class_name(cls) -> str:
        return "PredictorLLM"

    @property
    def metadata(self) -> LLMMetadata:
        """What it reads and writes."""
        return LLMMetadata(context_window=self._predictor.max_tokens, num_output=1, is_chat_model=False, model_name="score-rag/predictor")

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **more: Any) -> CompletionResponse:
        """Yes or No.

        Raises:
            InputError: The prompt is empty or too long.
        """
        return _response(self._predictor.score([prompt])[0])

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **more: Any) -> CompletionResponse:
        """`complete`, without blocking the event loop."""
        return _response((await self._predictor.ascore([prompt]))[0])

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **more: Any) -> CompletionResponseGen:
        """`complete` as a stream of one word."""

        def words() -> CompletionResponseGen:
            yield _response(self._predictor.score([prompt])[0])

        return words()

    @llm_completion_callback()
    async def astream_complete(self, prompt: str, formatted: bool = False, **more: Any) -> CompletionResponseAsyncGen:
        """`acomplete` as a stream of one word."""

        async def words() -> CompletionResponseAsyncGen:
            yield _response((await self._predictor.ascore([prompt]))[0])

        return words()


def _response(answer: Answer) -> CompletionResponse:
    shares = {"Yes": answer.probability * answer.mass, "No": (1 - answer.probability) * answer.mass}
    word = "Yes" if answer.probability >= 0.5 else "No"
    order = sorted(shares, key=lambda one: one != word)
    places = [[LogProb(token=one, logprob=math.log(max(shares[one], _LEAST)), bytes=list(one.encode())) for one in order]]
    return CompletionResponse(text=word, delta=word, logprobs=places, raw=answer)
