"""Settings of what the predictor learns."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from score_rag.training.settings import TrainerSettings

__all__ = ["AdapterTraining", "BaseTraining"]


class BaseTraining(BaseModel):
    """The bundled Llama, trained from scratch where the base is `embedded`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(96, ge=8, description="of hidden states; heads divides it")
    layers: int = Field(2, ge=1)
    heads: int = Field(4, ge=1)
    vocabulary: int = Field(2000, ge=300, description="most tokens to learn")
    questions: int = Field(8, ge=1, description="most questions a sequence, where the prompt tells the history")
    epochs: int = Field(3, ge=1, description="at most; the epoch with the best AUC on validation questions is kept")
    batch_size: int = Field(8, ge=1, description="sequences")
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(0.5, ge=0)
    language_weight: float = Field(0.3, ge=0, description="weight of the language-model loss beside that of Yes against No")
    evidence_dropout: float = Field(0.1, ge=0, lt=1, description="chance that a kind of evidence is hidden from a sequence")
    neighbour_dropout: float = Field(0.3, ge=0, lt=1, description="chance that a sequence is told no neighbours")
    name_dropout: float = Field(0.8, ge=0, le=1, description="chance that items of a sequence have no names: a small model remembers them")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"heads: {self.heads} does not divide the width {self.width}")
        return self


class AdapterTraining(BaseModel):
    """The LoRA adapter on a frozen base."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_tokens: int = Field(512, ge=32, description="longest prompt; what is longer tells less of the history and of other users")
    lora_rank: int = Field(8, ge=1)
    lora_alpha: int = Field(16, ge=1)
    lora_dropout: float = Field(0.05, ge=0, lt=1)
    lora_targets: tuple[str, ...] = ("q_proj", "v_proj")
    quantize: Literal["none", "4bit"] = Field("none", description="4bit: QLoRA, where bitsandbytes is installed")
    epochs: int = Field(2, ge=1, description="at most; the epoch with the best AUC on validation questions is kept")
    batch_size: int = Field(16, ge=1, description="sequences")
    questions: int = Field(8, ge=1, description="questions a sequence")
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-3, ge=0)
    language_weight: float = Field(0.1, ge=0, description="weight of the language-model loss on the answers, which keeps their mass")
    dtype: Literal["float32", "bfloat16", "float16"] = Field("float32", description="of the base")
    trainer: TrainerSettings = TrainerSettings()
