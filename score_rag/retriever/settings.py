"""Settings of the retriever (CAR): its training, its index, how many users it returns."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from score_rag.encoders.limits import longest_input
from score_rag.settings import BUNDLED, FrozenMapping, ModelName, Settings, misfits, serving
from score_rag.training.settings import TrainerSettings

__all__ = ["IndexDtype", "RetrieverSettings", "RetrieverTraining"]

IndexDtype = Literal["float32", "bfloat16"]


class RetrieverTraining(Settings):
    """How the encoder is trained."""

    max_tokens: int = Field(80, ge=8, description="longer documents are cut")
    tune_layers: int | None = Field(3, ge=1, description="only the last so many layers; null tunes all")
    lora_rank: int | None = Field(
        None,
        ge=1,
        description="LoRA of that rank in those layers, merged when saved (wants more learning_rate); null tunes weights",
    )
    epochs: int = Field(4, ge=0, description="at most; the epoch that finds most neighbours of held-out users is kept")
    patience: int | None = Field(None, ge=1, description="epochs without gain before stopping; null runs all")
    batch_size: int = Field(64, ge=2, description="users")
    chunk: Annotated[int | None, serving()] = Field(
        None, ge=1, description="documents in memory at a time (gradient caching: the same gradients); null takes a batch at once"
    )
    negatives: int = Field(0, ge=0, description="users from outside a batch, sampled at random, as negatives only")
    hard_negatives: int = Field(
        0, ge=0, description="for each user of a batch: users who read alike but whom the CRM holds far apart, as negatives only"
    )
    learning_rate: float = Field(1e-4, gt=0, description="of AdamW")
    temperature: float = Field(0.05, gt=0, description="tau")
    hold_out: float = Field(0.1, ge=0, lt=1, description="share of users kept out of training: half choose the epoch, half are reported")
    trainer: TrainerSettings = TrainerSettings()

    @model_validator(mode="after")
    def _gains_are_told(self) -> Self:
        if self.patience is not None and not self.hold_out:
            raise misfits({"patience": "nothing tells a gain where hold_out is 0"})
        return self


class RetrieverSettings(RetrieverTraining):
    """CAR."""

    encoder: ModelName = Field(
        BUNDLED, description="bundled (MiniLM) | a hub name such as sentence-transformers/all-mpnet-base-v2 | a folder"
    )
    similarity_top_k: Annotated[int, serving(feeds=("reranker", "predictor"))] = Field(
        10, ge=1, description="Ke, users handed to the reranker"
    )
    index_dtype: Annotated[IndexDtype, serving()] = Field(
        "float32", description="bfloat16: documents are embedded about twice as fast, where the machine multiplies it natively"
    )
    store: str = Field(
        "chroma",
        description="chroma (beside the index) | ann (FAISS, for any moment; extra ann) | exact (none) | http://HOST:8000 (a Chroma server)"
        " | package.module:Name (a LlamaIndex vector store)",
    )
    store_options: FrozenMapping[str, Any] = Field(
        {}, description="a server's collection and headers; a vector store's keyword arguments; for ann, recall (.95)"
    )

    @model_validator(mode="after")
    def _encoder_reads_so_much(self) -> Self:
        most = longest_input(self.encoder)
        if most is not None and self.max_tokens > most:
            raise misfits({"max_tokens": f"the encoder {self.encoder} reads at most {most} tokens, found {self.max_tokens}"})
        return self

    @model_validator(mode="after")
    def _store_has_the_options(self) -> Self:
        server = self.store.startswith(("http://", "https://"))
        allowed = ("collection", "headers") if server else ("recall",) if self.store == "ann" else ()
        strangers = [name for name in self.store_options if name not in allowed]
        # What a vector store's class takes, it says itself.
        if strangers and (server or self.store in ("chroma", "ann", "exact")):
            expected = ", ".join(allowed) or "none"
            raise misfits({"store_options": f"the store {self.store} has no option {strangers[0]!r}; it has {expected}"})
        recall = self.store_options.get("recall", 0.95) if self.store == "ann" else 0.95
        if isinstance(recall, bool) or not isinstance(recall, int | float) or not 0 < recall <= 1:
            raise misfits({"store_options": f"a recall is above 0 and at most 1, found {recall!r}"})
        return self
