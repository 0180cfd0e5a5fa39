"""What a prompt file is for, by what it declares: documents, questions told as texts, another user's behaviour, or the question itself."""

from __future__ import annotations

from typing import Literal

from score_rag.context.evidence import ALIKE, TOGETHER
from score_rag.context.variables import PREDICT_VARIABLES, check_predict_prompt
from score_rag.crm.registry import RECOMMENDERS
from score_rag.documents.check import check_document_prompt
from score_rag.documents.describer import DOCUMENT_VARIABLES
from score_rag.errors import PromptError
from score_rag.prompts import Prompt
from score_rag.reranker.assess_prompt import ASSESS_VARIABLES, check_assess_prompt
from score_rag.reranker.pair_texts import BEHAVIOUR_VARIABLES, check_behaviour_prompt

__all__ = ["Kind", "check_prompt", "kind_of"]

Kind = Literal["documents", "texts", "behaviour", "predict"]
"""`texts` are asked of the assessor and read by the reranker; a `behaviour` is read by the reranker."""


def kind_of(prompt: Prompt) -> Kind:
    """What a prompt is for.

    Raises:
        PromptError: No stage fills in what it declares.
    """
    declared = set(prompt.variables)
    if declared and declared <= DOCUMENT_VARIABLES:
        return "documents"
    if declared == ASSESS_VARIABLES and _is_for_assessments(prompt):
        return "texts"
    if "behaviour" in declared and declared <= BEHAVIOUR_VARIABLES:
        return "behaviour"
    if "target" in declared and declared <= PREDICT_VARIABLES:
        return "predict"
    raise PromptError(
        f"the prompt {prompt.name!r} has variables that no stage fills in",
        where=prompt.path,
        expected="those of describe_user, assess, rerank_behaviour or predict, the last with target",
        found=", ".join(sorted(declared)) or "none",
    )


def check_prompt(prompt: Prompt) -> Kind:
    """Fill a prompt in with made-up values, some of whom much is known and some of whom little is; give what it is for.

    Raises:
        PromptError: No stage can fill it in, it uses an attribute that a variable has not, or it leaves out what it is about.
    """
    kind = kind_of(prompt)
    if kind == "documents":
        check_document_prompt(prompt)
    elif kind == "texts":
        check_assess_prompt(prompt)
    elif kind == "behaviour":
        check_behaviour_prompt(prompt)
    else:
        check_predict_prompt(prompt, [*(name for name in RECOMMENDERS.names() if name != ALIKE), TOGETHER])
    return kind


def _is_for_assessments(prompt: Prompt) -> bool:
    """A question told as texts and one to the predictor may declare the same; only the first takes both for texts."""
    try:
        prompt.render(history="Liked: Heat.", target="Ronin (1998).")
    except PromptError:
        return False
    return True
