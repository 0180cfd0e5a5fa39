"""A prompt as its file is now, filled in with a real user and item of a finished run."""

from __future__ import annotations

from score_rag.context.question import Question
from score_rag.documents.describer import describe_item
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.run import Run
from score_rag.prompts import find_prompt
from score_rag.recommend.items import find_item
from score_rag.recommend.prompt_kinds import kind_of
from score_rag.recommend.question import find_history

__all__ = ["preview_prompt"]


def preview_prompt(pipeline: Pipeline, name: str, user_id: str, item_id: str) -> str:
    """A prompt as its file is now, filled in with a real user and item of a finished run.

    Raises:
        PromptError: A prompt whose variables are none of those that score-rag fills in.
    """
    prompt = find_prompt(name)
    kind = kind_of(prompt)
    run = Run.open(pipeline, predict_prompt=prompt)
    item = find_item(run.interactions.catalogue, item_id)
    history = find_history(run.interactions, user_id, None, None)
    if kind == "documents":
        return run.make_describer(prompt).describe(history)
    if kind == "behaviour":
        values = {"behaviour": run.describer.describe(history), "verdict": "liked", "target": describe_item(item)}
        return prompt.render(**{name: values[name] for name in prompt.variables})
    if kind == "texts":
        return prompt.render(history=run.describer.describe(history), target=describe_item(item))
    _, (told,) = run.write([Question(user_id, item.item_id, history, None)])
    return told.text
