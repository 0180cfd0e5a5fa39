"""Settings of the predictor: what it learns, which engine scores with it, and the section of a pipeline file that holds both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from score_rag.settings import BUNDLED, ModelName, Settings, also, misfits, of_form, serving
from score_rag.training.settings import TrainerSettings

__all__ = ["SERVERS", "AdapterTraining", "BaseTraining", "EngineSettings", "NeighbourChoice", "PredictorSettings"]

SERVERS = ("vllm", "sglang", "openai")
"""Engines that are servers: they need a URL (openai: a URL or a model that LiteLLM knows)."""
NeighbourChoice = Literal["judges", "any"]
"""Who may be told: users who judged the item or those most like it (they can say something of it), or any user (the paper)."""


class EngineSettings(Settings):
    """Which engine scores prompts, and how it is reached."""

    engine: Annotated[Literal["auto", "torch", "onnx", "vllm", "sglang", "openai"], serving()] = Field(
        "auto", description="auto is onnx where the predictor has an ONNX file, else torch; vllm, sglang and openai are servers"
    )
    url: Annotated[str | None, serving(), of_form("https?://.*", "an address begins with http:// or https://")] = Field(
        None, description="address of the server, without /v1: http://localhost:8000"
    )
    model: Annotated[str | None, serving()] = Field(
        None, description="name of the model at the server (with an adapter: the adapter's); null takes the only one it serves"
    )
    api: Annotated[Literal["completions", "chat"], serving()] = Field(
        "completions", description="openai: completions gets the very text (chat template applied here), chat a user's turn"
    )
    top_logprobs: Annotated[int, serving()] = Field(
        20, ge=2, description="openai: how many of the likeliest tokens to ask for; Yes and No must be among them"
    )
    api_key_env: Annotated[str | None, serving()] = Field(None, description="environment variable that holds the server's key")
    batch_tokens: Annotated[int, serving()] = Field(8192, ge=64, description="most tokens in one batch or request: bounds memory")
    timeout: Annotated[float, serving()] = Field(60.0, gt=0, description="seconds a request")
    concurrency: Annotated[int, serving()] = Field(4, ge=1, description="requests under way at once")
    retries: Annotated[int, serving()] = Field(2, ge=0, description="repeats of a request that timed out or could not be served (429, 5xx)")

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        if self.engine in ("vllm", "sglang") and self.url is None:
            raise misfits({"url": f"the engine {self.engine!r} needs one: http://localhost:8000"})
        if self.engine == "openai" and self.url is None and (self.model is None or self.api != "chat"):
            raise misfits({"url": "the engine 'openai' needs one, or api: chat and a model that LiteLLM knows"})
        if self.engine not in SERVERS and self.url is not None:
            raise misfits({"url": f"is for the engines {', '.join(SERVERS)}, not for {self.engine!r}"})
        return self


class BaseTraining(Settings):
    """The bundled Llama, trained from scratch where the base is `bundled`."""

    width: int = Field(96, ge=8, description="of hidden states; heads divides it")
    layers: int = Field(2, ge=1, description="of the Llama")
    heads: int = Field(4, ge=1, description="of each layer")
    vocabulary: int = Field(2000, ge=300, description="most tokens to learn")
    examples: int | None = Field(None, ge=20, description="training questions an epoch, at most; null takes all")
    questions: int = Field(8, ge=1, description="most questions in a sequence, where the prompt shows the history")
    epochs: int = Field(3, ge=1, description="at most; the epoch with the best AUC on validation questions is kept")
    batch_size: int = Field(4, ge=1, description="sequences")
    learning_rate: float = Field(2e-3, gt=0, description="highest; it warms up, then falls as a cosine")
    weight_decay: float = Field(0.5, ge=0, description="of matrices")
    language_weight: float = Field(0.3, ge=0, description="weight of the language-model loss beside that of Yes against No")
    teacher_weight: float = Field(
        0.5, ge=0, le=1, description="how much training aims at what the recommenders expect, where the prompt tells it, beside the answer"
    )
    evidence_dropout: float = Field(0.1, ge=0, lt=1, description="chance that a kind of evidence is hidden from a sequence")
    neighbour_dropout: float = Field(0.3, ge=0, lt=1, description="chance that a sequence shows no neighbours")
    name_dropout: float = Field(0.8, ge=0, le=1, description="chance that items of a sequence have no names: a small model remembers them")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.width % self.heads:
            raise misfits({"heads": f"the heads do not divide the width: {self.heads} heads, width {self.width}"})
        return self


class AdapterTraining(Settings):
    """The LoRA adapter on a frozen base."""

    max_tokens: int = Field(
        512, ge=32, description="longest prompt; a longer one is shortened: less history, shorter behaviours, fewer neighbours"
    )
    lora_rank: int = Field(8, ge=1, description="rank of the adapter's matrices")
    lora_alpha: int = Field(16, ge=1, description="scale of the adapter, over its rank")
    lora_dropout: float = Field(0.05, ge=0, lt=1, description="of what the adapter reads, while training")
    lora_targets: tuple[str, ...] = Field(("q_proj", "v_proj"), description="modules with an adapter")
    quantize: Literal["none", "4bit"] = Field("none", description="4bit: QLoRA, where bitsandbytes is installed")
    epochs: int = Field(2, ge=1, description="at most; the epoch with the best AUC on validation questions is kept")
    batch_size: int = Field(4, ge=1, description="sequences")
    questions: int = Field(8, ge=1, description="questions a sequence")
    learning_rate: float = Field(1e-3, gt=0, description="highest; it warms up, then falls as a cosine")
    weight_decay: float = Field(1e-3, ge=0, description="of the adapter's matrices")
    language_weight: float = Field(0.1, ge=0, description="weight of the language-model loss on the answers, which keeps their mass")
    dtype: Literal["float32", "bfloat16", "float16"] = Field("float32", description="of the base")
    trainer: TrainerSettings = TrainerSettings()


class PredictorSettings(AdapterTraining):
    """The language model that answers Yes or No."""

    base: ModelName = Field(
        BUNDLED,
        description="bundled (a small Llama trained from scratch) | a hub name such as meta-llama/Llama-3.1-8B-Instruct | a folder",
    )
    bundled_base: BaseTraining = BaseTraining()
    prompt: str = Field(
        "predict_evidence",
        description="prompts/<name>.md: predict (the paper's, for hub models) | predict_evidence (for the bundled Llama)",
    )
    history: int = Field(10, ge=0, description="latest events in the prompt, where it shows the history")
    neighbours: Annotated[NeighbourChoice, also("reranker")] = Field(
        "judges", description="which users may be neighbours: judges (of the item, or of those most like it) | any (the paper)"
    )
    train_events: int | None = Field(
        1_000_000,
        ge=20,
        description="training events that questions and levels are drawn from, at most (a kilobyte of memory each); null takes all",
    )
    examples: int | None = Field(1500, ge=20, description="questions to tune on; null takes all of `train_events`")
    valid_examples: int = Field(2000, ge=20, description="validation questions that choose epochs, calibrate and compare, at most")
    scoring: EngineSettings = EngineSettings()

    @model_validator(mode="before")
    @classmethod
    def _earlier_name(cls, values: Any) -> Any:
        """`embedded_base` is what earlier versions called `bundled_base`."""
        if not isinstance(values, Mapping) or not isinstance(values.get("embedded_base"), Mapping):
            return values
        given = {name: value for name, value in values.items() if name != "embedded_base"}
        return {**given, "bundled_base": {**values["embedded_base"], **(given.get("bundled_base") or {})}}
