"""What ran at each stage of a run; a bundled part is called what it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from score_rag.files import read_json

__all__ = ["provenance_of", "provenance_of_crm", "provenance_of_data"]


def provenance_of(folder: Callable[[str], Path]) -> dict[str, str]:
    """A line for each trained stage, and one for the data: what liked and disliked mean.

    Args:
        folder: Gives the folder of a finished stage.
    """
    from score_rag.crm.registry import model_class

    crm = model_class(read_json(folder("crm") / "config.json")["model"])
    told = {**provenance_of_data(folder), "crm": provenance_of_crm(folder)}
    retriever = read_json(folder("retriever") / "retriever.json")
    name = "all-MiniLM-L6-v2 (bundled)" if retriever["bundled"] else retriever["base"]
    told["retriever"] = f"{name}, fine-tuned on the neighbours by {crm.name}"
    reranker = read_json(folder("reranker") / "reranker.json")
    base = "cross-encoder from all-MiniLM-L6-v2 (bundled)" if reranker["bundled"] else f"cross-encoder from {reranker['base']}"
    told["reranker"] = f"{base}, taught by {_teacher(reranker)}"
    predictor = read_json(folder("predictor") / "predictor.json")
    own = "small Llama (bundled: trained from scratch on this run's text)"
    tuned = "LoRA-tuned" if predictor.get("adapter", True) else "without an adapter: no epoch of LoRA was better than the base alone"
    told["predictor"] = f"{own if predictor['bundled'] else predictor['base']}, {tuned}"
    return told


def provenance_of_data(folder: Callable[[str], Path]) -> dict[str, str]:
    """What liked and disliked mean, as `data`; a run of an earlier version does not say it."""
    verdicts = read_json(folder("data") / "report.json").get("verdicts")
    return {"data": verdicts} if verdicts else {}


def provenance_of_crm(folder: Callable[[str], Path]) -> str:
    """The conventional recommender, and those whose expectations are told."""
    from score_rag.crm.expectations import EXPECTATION_COLUMNS
    from score_rag.crm.experts import read_expectations
    from score_rag.crm.registry import model_class

    crm = model_class(read_json(folder("crm") / "config.json")["model"])
    told = crm.name if crm.kind == "file" else f"{crm.name}, trained on this data"
    experts = read_expectations(folder("crm")).columns[len(EXPECTATION_COLUMNS) :]
    return f"{told}; expectations of {', '.join(model_class(name).name for name in experts)}" if experts else told


def _teacher(reranker: dict[str, Any]) -> str:
    measured = ["measured usefulness"] if reranker.get("supervision", "assessment") != "assessment" else []
    if (assessor := reranker.get("assessor")) is None:
        return measured[0]
    rule = " (bundled: rule-based, no language model)" if assessor.startswith("score-rag/") else ""
    return " and ".join([f"assessments of {assessor}{rule}", *measured])
