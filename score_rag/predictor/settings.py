"""Which engine scores prompts, and how it is reached."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["SERVERS", "EngineSettings"]

SERVERS = ("vllm", "sglang", "openai")
"""Engines that are servers: they need a URL (openai: a URL or a model that LiteLLM knows)."""


class EngineSettings(BaseModel):
    """Settings of a scoring engine.

    Attributes:
        engine: `auto` is `onnx` where the predictor's folder has an ONNX file, else `torch`; the rest are servers.
        url: Address of the server, without `/v1`: http://localhost:8000.
        model: Name of the model at the server (with a LoRA adapter: the adapter's name); the only one it serves by default.
        api: For `openai`: the call to use. `completions` gets the very text (chat template applied here), `chat` a user's turn.
        top_logprobs: For `openai`: how many of the likeliest tokens to ask for; Yes and No must be among them.
        api_key_env: Environment variable that holds the server's key.
        batch_tokens: Most tokens in one batch or request: bounds memory.
        timeout: Seconds a request.
        concurrency: Requests under way at once.
        retries: How often a request is repeated that timed out, or that the server could not serve (429, 5xx).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    engine: Literal["auto", "torch", "onnx", "vllm", "sglang", "openai"] = "auto"
    url: str | None = Field(None, pattern=r"^https?://")
    model: str | None = None
    api: Literal["completions", "chat"] = "completions"
    top_logprobs: int = Field(20, ge=2)
    api_key_env: str | None = None
    batch_tokens: int = Field(8192, ge=64)
    timeout: float = Field(60.0, gt=0)
    concurrency: int = Field(4, ge=1)
    retries: int = Field(2, ge=0)

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        if self.engine in ("vllm", "sglang") and self.url is None:
            raise ValueError(f"the engine {self.engine!r} needs a url: http://localhost:8000")
        if self.engine == "openai" and self.url is None and (self.model is None or self.api != "chat"):
            raise ValueError("the engine 'openai' needs a url, or api: chat and a model that LiteLLM knows")
        if self.engine not in SERVERS and self.url is not None:
            raise ValueError(f"a url is for the engines {', '.join(SERVERS)}, not for {self.engine!r}")
        return self
