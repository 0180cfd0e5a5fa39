"""Settings of the reranker (SARE): its assessor, its training, how many users it keeps."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from score_rag.encoders.limits import longest_input
from score_rag.settings import BUNDLED, ModelName, Settings, misfits, serving
from score_rag.training.settings import TrainerSettings

__all__ = ["AssessmentSettings", "RerankerSettings", "RerankerTraining"]


class RerankerTraining(Settings):
    """How the cross-encoder is trained."""

    layers: int | None = Field(None, ge=1, description="keep only the first so many layers; null: 2 of the bundled encoder, all of another")
    max_tokens: int = Field(160, ge=8, description="longer pairs are cut")
    epochs: int = Field(2, ge=0, description="over all questions")
    batch_size: int = Field(8, ge=1, description="questions")
    learning_rate: float | None = Field(None, gt=0, description="of AdamW; null: 5e-4 for the bundled encoder, 2e-5 for another")
    loss_temperature: float | None = Field(
        None,
        gt=0,
        description="InfoNCE's: what the loss divides scores by; null: 0.05 for the bundled encoder, whose head is new, 1 for another",
    )
    hold_out: float = Field(0.15, gt=0, lt=1, description="share of questions kept out of training, for its metrics")
    trainer: TrainerSettings = TrainerSettings()


class AssessmentSettings(Settings):
    """Who writes the assessments, and how it is asked."""

    assessor: str = Field(
        "score-rag/offline", description="score-rag/offline (bundled rules) | any LiteLLM model, such as gpt-4o-mini or ollama/llama3.1"
    )
    api_base: Annotated[str | None, serving()] = Field(None, description="address of your own OpenAI-compatible server")
    max_answer_tokens: int = Field(400, ge=16, description="longest answer of the assessor")
    temperature: float = Field(0.0, ge=0, le=2, description="of the assessor's answers")
    retries: Annotated[int, serving()] = Field(2, ge=0, description="further calls for a question whose answer is invalid or does not come")
    max_failed: Annotated[float, serving()] = Field(
        0.1, ge=0, le=1, description="share of questions that may stay without a valid answer; more stop the job"
    )
    timeout: Annotated[float, serving()] = Field(60.0, gt=0, description="seconds a call")
    concurrency: Annotated[int, serving()] = Field(4, ge=1, description="calls at a time")


class RerankerSettings(RerankerTraining, AssessmentSettings):
    """SARE."""

    encoder: ModelName = Field(
        BUNDLED, description="whose weights the cross-encoder starts from: bundled | a hub name such as BAAI/bge-reranker-large | a folder"
    )
    similarity_encoder: ModelName = Field(
        BUNDLED, description="whose vectors compare assessments with behaviours: bundled | a bi-encoder's hub name | a folder"
    )
    supervision: Literal["assessment", "measured", "both"] = Field(
        "assessment",
        description="what ranks behaviours in training: a language model's assessments (the paper) | how much telling each raises the "
        "likelihood of the true answer, by a small Llama trained for it | both",
    )
    assess_prompt: str = Field("assess", description="prompts/assess.md: what the assessor is asked")
    measure_prompt: str = Field(
        "predict_neighbours", description="prompts/predict_neighbours.md: the question by which usefulness is measured"
    )
    question_prompt: str = Field("rerank", description="prompts/rerank.md: a question as the cross-encoder reads it")
    behaviour_prompt: str = Field("rerank_behaviour", description="prompts/rerank_behaviour.md: another user, likewise")
    pairs: int = Field(300, ge=10, description="(user, item) questions to ask the assessor about, or to measure by")
    top_n: Annotated[int, serving(feeds=("predictor",))] = Field(2, ge=0, description="Ks, users kept; 0 tells none")

    def complete(self) -> Self:
        """The same with what null means for this encoder."""
        layers, rate, temperature = (2, 5e-4, 0.05) if self.encoder == BUNDLED else (None, 2e-5, 1.0)
        return self.changed(
            layers=self.layers or layers,
            learning_rate=self.learning_rate or rate,
            loss_temperature=self.loss_temperature or temperature,
        )

    @model_validator(mode="after")
    def _encoder_reads_so_much(self) -> Self:
        most = longest_input(self.encoder)
        if most is not None and self.max_tokens > most:
            raise misfits({"max_tokens": f"the encoder {self.encoder} reads at most {most} tokens, found {self.max_tokens}"})
        return self
