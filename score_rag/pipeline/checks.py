"""What a stage needs from outside, looked for before any stage runs: models that read enough, prompts that can be filled."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from score_rag.errors import ConfigError
from score_rag.extras import TRAINING, require
from score_rag.pipeline.config import Pipeline
from score_rag.settings import BUNDLED

__all__ = ["check_crm", "check_documents", "check_predictor", "check_reranker", "check_retriever"]


def check_documents(pipeline: Pipeline) -> None:
    """The prompt of documents can be filled, and its tokenizer is there.

    Raises:
        ScoreError: Otherwise.
    """
    from score_rag.documents.check import check_document_prompt
    from score_rag.pipeline.describe import make_describer
    from score_rag.prompts import find_prompt

    prompt = find_prompt(pipeline.documents.prompt)
    make_describer(pipeline, prompt, {})
    check_document_prompt(prompt)


def check_crm(pipeline: Pipeline) -> None:
    """What training needs is installed: of this stage and of all that follow, so that no first stage runs in vain.

    Raises:
        MissingPackageError: Otherwise.
    """
    require(*TRAINING)


def check_retriever(pipeline: Pipeline) -> None:
    """The encoder is there and reads `retriever.max_tokens`.

    Raises:
        ScoreError: Otherwise.
    """
    from score_rag.encoders.encoder import find_encoder

    require(*TRAINING, *(["faiss"] if pipeline.retriever.store == "ann" else []))
    _check_length(find_encoder(pipeline.retriever.encoder), pipeline.retriever.max_tokens, "retriever.max_tokens")
    _check_package(pipeline.retriever.trainer.report_to, "retriever.trainer.report_to")


def check_reranker(pipeline: Pipeline) -> None:
    """Both encoders are there and of the right kind, the cross-encoder reads `reranker.max_tokens`, and the prompts can be filled.

    Raises:
        ScoreError: Otherwise.
    """
    from score_rag.encoders.encoder import find_encoder
    from score_rag.encoders.kinds import check_kind
    from score_rag.pipeline.measuring import check_measure_prompt
    from score_rag.prompts import find_prompt
    from score_rag.reranker.assess_prompt import check_assess_prompt
    from score_rag.reranker.pair_texts import PairTexts, check_behaviour_prompt

    require(*TRAINING)
    found = find_encoder(pipeline.reranker.encoder, setting="reranker.encoder")
    _check_length(found, pipeline.reranker.max_tokens, "reranker.max_tokens")
    check_kind(found, "cross-encoder", setting="reranker.encoder")
    compares = find_encoder(pipeline.reranker.similarity_encoder, setting="reranker.similarity_encoder")
    check_kind(compares, "bi-encoder", setting="reranker.similarity_encoder")
    check_assess_prompt(find_prompt(pipeline.reranker.assess_prompt))
    _check_package(pipeline.reranker.trainer.report_to, "reranker.trainer.report_to")
    check_behaviour_prompt(PairTexts.shipped(pipeline.reranker.question_prompt, pipeline.reranker.behaviour_prompt).behaviour)
    if pipeline.reranker.supervision != "assessment":
        check_measure_prompt(find_prompt(pipeline.reranker.measure_prompt))


def check_predictor(pipeline: Pipeline) -> None:
    """The prompt can be filled by this pipeline, and the base is there.

    Raises:
        ScoreError: Otherwise.
    """
    from score_rag.context.evidence import ALIKE, TOGETHER
    from score_rag.context.variables import check_predict_prompt
    from score_rag.predictor.tokens import find_base
    from score_rag.prompts import find_prompt

    require(*TRAINING)
    experts = [name for name in pipeline.crm.experts if name != ALIKE]
    check_predict_prompt(find_prompt(pipeline.predictor.prompt), [*experts, TOGETHER] if experts else [])
    if pipeline.predictor.base != BUNDLED:
        find_base(pipeline.predictor.base)
    _check_package(pipeline.predictor.trainer.report_to, "predictor.trainer.report_to")
    _check_package("bitsandbytes" if pipeline.predictor.quantize != "none" else None, "predictor.quantize")


def _check_package(name: str | None, setting: str) -> None:
    """A package that only this setting needs is installed."""
    if name is not None and find_spec(name) is None:
        raise ConfigError("a setting needs a package that is not installed", where=setting, expected=name, hint=f"pip install {name}")


def _check_length(encoder: Path, tokens: int, setting: str) -> None:
    from score_rag.encoders.limits import longest_input

    most = longest_input(encoder)
    if most is not None and tokens > most:
        raise ConfigError("the encoder cannot read so much", where=setting, expected=f"at most {most}", found=tokens)
