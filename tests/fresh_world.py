"""Judgements that come in after training, and what a run's parts know."""

from __future__ import annotations

from score_rag import open_recommender
from score_rag.feedback.record import Feedback
from score_rag.recommend.question import find_question

NOW = 1_700_000_000


def judged(user, items, *, liked=lambda item: True, first=NOW, **more):
    return [Feedback(f"{user}-{item}-{first}", user, item, liked(item), first + n, **more) for n, item in enumerate(items)]


def even(item):
    return int(item) % 2 == 0


def chances(recommender, user):
    """Mean P(like) of the even and of the odd films that nobody of the data was asked about before."""
    log = recommender.run.histories.log
    seen = {event.item_id for event in log.of(user)}
    free = [item for item in recommender.run.histories.catalogue if item not in seen]
    means = []
    for taste in (0, 1):
        some = [item for item in free if int(item) % 2 == taste][:3]
        means.append(sum(recommender.recommend(user, item).probability for item in some) / len(some))
    return means


def known_of(run):
    """All that a run's parts hold of judgements."""
    world, rates = run.interactions, run.writer.evidence.rates
    items = sorted(world.catalogue)
    times = (None, 1_000_050_001, NOW, NOW + 5)
    return {
        "log": {user: sorted(event[:4] for event in world.log.of(user)) for user in sorted(world.log.users)},
        "train": {user: sorted(event[:4] for event in world.train_log.of(user)) for user in sorted(world.train_log.users)},
        "rates": {(item, when): rates.counts(item, when) for item in items for when in times},
        "means": [rates.mean(when) for when in times],
        "judges": {(item, when): dict(sorted(run.judges.before(item, when, None).items())) for item in items for when in times},
        "crowd": [run.judges.rates.mean(when) for when in times],
    }


def warmed(pipeline):
    run = open_recommender(pipeline).run
    run.warm()
    return run


def told_question(flow):
    return find_question(flow.interactions, "1", "2")
