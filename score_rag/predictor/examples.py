"""Which training events become questions, and the texts that the embedded base reads."""

from __future__ import annotations

import numpy as np

from score_rag.data.interactions import Event, Interactions
from score_rag.predictor.context import Context, ContextFinder
from score_rag.predictor.prompt import PromptBuilder
from score_rag.predictor.tokens import with_answer
from score_rag.progress import Report, silent

__all__ = ["base_texts", "sample_events"]


def sample_events(interactions: Interactions, split: str, count: int | None, *, seed: int, least: int = 3) -> list[Event]:
    """At most `count` events of a split, in time order, whose users had at least `least` strictly earlier events.

    The draw is by event, uniform without replacement.
    """
    log = interactions.log
    fit = [event for event in interactions.rows(split) if len(log.before(event.user_id, event.timestamp)) >= least]
    if count is None or len(fit) <= count:
        return fit
    chosen = np.sort(np.random.default_rng(seed).choice(len(fit), count, replace=False))
    return [fit[place] for place in chosen]


def base_texts(
    interactions: Interactions,
    finder: ContextFinder,
    builder: PromptBuilder,
    *,
    varieties: int = 3,
    chunk: int = 14,
    most: int | None = None,
    seed: int = 0,
    report: Report = silent,
) -> list[list[str]]:
    """Whole prompts with their answers, long histories first: what the embedded base is trained on.

    Each training user's events are cut into chunks; a chunk's last event is the question, the others its history (each an answer to learn
    from). Cuts fall elsewhere in each variety. Half of the questions carry what other users did, half do not, so that the base knows both
    forms. Other users are found by stored documents here, which is cheap; the adapter later learns from the real thing.

    Args:
        most: At most so many texts a variety (drawn by chunk).
    """
    generator = np.random.default_rng(seed)
    log = interactions.train_log
    out: list[list[str]] = []
    for variety in range(varieties):
        events: list[Event] = []
        for user_id in log.users:
            rows = log.of(user_id)
            first = int(generator.integers(2, chunk + 1))
            events += [rows[end - 1] for end in [*range(first, len(rows), chunk), len(rows)] if end >= 2]
        if most is not None and len(events) > most:
            events = [events[place] for place in np.sort(generator.choice(len(events), most, replace=False))]
        told = generator.random(len(events)) < 0.5
        asked = finder.questions(events)
        contexts = iter(finder.find([question for question, yes in zip(asked, told, strict=True) if yes], stored=True))
        texts = []
        for event, question, yes in zip(events, asked, told, strict=True):
            context = next(contexts) if yes else Context()
            prompt = builder.build(
                question.history,
                question.item_id,
                neighbours=context.neighbours,
                retrieved=context.retrieved_ids,
                as_of=question.as_of,
                last=chunk - 1,
            )
            texts.append(with_answer(prompt, event.liked))
        out.append(texts)
        report("writing texts for the embedded Llama", variety + 1, varieties)
    return out
