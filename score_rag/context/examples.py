"""Which training events become questions, and the texts that the embedded base reads."""

from __future__ import annotations

import numpy as np

from score_rag.context.finder import ContextFinder, RetrievedContext
from score_rag.context.prompt import PromptBuilder
from score_rag.data.interactions import Interactions
from score_rag.data.log import Event
from score_rag.predictor.tokens import with_answer
from score_rag.progress import Report, silent

__all__ = ["base_texts", "sample_events"]


def sample_events(interactions: Interactions, split: str, count: int | None, *, seed: int, least: int = 3) -> list[Event]:
    """At most `count` events of a split, in time order, whose users had at least `least` strictly earlier events.

    The draw is by event, uniform without replacement.
    """
    log = interactions.log
    fit = [event for event in interactions.rows(split) if len(log.earlier(event)) >= least]
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
    questions: int = 6,
    most: int | None = None,
    seed: int = 0,
    report: Report = silent,
) -> list[list[str]]:
    """What the embedded base is trained on: several questions of one user in one text, each with its answer.

    A text is the prompt of a training event (its history in lines, each an answer to learn from), the answer, then the prompts of the
    user's next events without a history of their own. Each question tells how the crowd judged its item, the last one also tells of the
    nearest users. A question is left out where it shares its second with the one before, whose answer would not be known yet. Seven of
    ten texts carry what other users did, the rest do not, so that the base knows both forms. Other users are found by stored documents
    here, which is cheap; the adapter later learns from the real thing.

    Args:
        varieties: Lists of texts, their cuts at other places.
        questions: Most questions a text.
        most: At most so many texts a variety, drawn uniformly.
    """
    generator = np.random.default_rng(seed)
    by_user: dict[str, list[Event]] = {}
    for event in interactions.rows("train"):
        by_user.setdefault(event.user_id, []).append(event)
    out: list[list[str]] = []
    for variety in range(varieties):
        packs: list[list[Event]] = []
        for events in by_user.values():
            rows: list[Event] = []
            for event in events:
                if not rows or event.timestamp > rows[-1].timestamp:
                    rows.append(event)
                elif rows[-1].sampled and not event.sampled and generator.random() < 0.5:
                    # The judgement itself takes the place of a negative that was drawn for its second: as many of one as of the other.
                    rows[-1] = event
            first = int(generator.integers(1, questions + 1))
            packs += [rows[start : start + questions] for start in range(first, len(rows), questions)]
        if most is not None and len(packs) > most:
            packs = [packs[place] for place in np.sort(generator.choice(len(packs), most, replace=False))]
        told = [pack for pack, yes in zip(packs, generator.random(len(packs)) < 0.7, strict=True) if yes]
        asked = finder.questions([event for pack in told for event in pack])
        found = dict(zip(((q.user_id, q.item_id, q.as_of) for q in asked), finder.find(asked, stored=True), strict=True))
        texts = []
        for pack in packs:
            parts = []
            for place, question in enumerate(finder.questions(pack)):
                context = found.get((question.user_id, question.item_id, question.as_of), RetrievedContext())
                prompt = builder.build(
                    question.history,
                    question.item_id,
                    neighbours=context.neighbours if place + 1 == len(pack) else (),
                    retrieved=context.retrieved_ids,
                    as_of=question.as_of,
                    last=None if place == 0 else 0,
                )
                parts.append(with_answer(prompt, pack[place].liked))
            texts.append("\n".join(parts))
        out.append(texts)
        report("writing texts for the embedded Llama", variety + 1, varieties)
    return out
