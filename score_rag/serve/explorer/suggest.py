"""Users and items to begin with, and those that match what is being typed."""

from __future__ import annotations

from score_rag.data.log import Item
from score_rag.pipeline.serving_run import ServingRun

__all__ = ["some_users", "suggested_items", "suggested_users"]

_MOST = 20


def some_users(run: ServingRun, count: int = 8) -> list[tuple[str, int]]:
    """(user, judgements) of a few, from all over the data."""
    log = run.histories.log
    users = log.users
    step = max(1, len(users) // count)
    return [(user, len(log.of(user))) for user in users[::step][:count]]


def suggested_users(run: ServingRun, typed: str) -> list[str]:
    """Ids that begin so."""
    typed = typed.strip().casefold()
    found = []
    for user in run.histories.log.users:
        if user.casefold().startswith(typed):
            found.append(user)
            if len(found) == _MOST:
                break
    return found


def suggested_items(run: ServingRun, typed: str) -> list[Item]:
    """Items whose name has what is typed; those that begin with it first. Of a history in names the last is meant."""
    typed = typed.rpartition(";")[2].strip().removeprefix("-").strip().casefold()
    begin: list[Item] = []
    inside: list[Item] = []
    # A copy: another thread may take in an item that is new.
    for item in list(run.histories.catalogue.values()):
        name = item.name.casefold()
        if name.startswith(typed):
            begin.append(item)
            if len(begin) == _MOST:
                break
        elif typed in name and len(inside) < _MOST:
            inside.append(item)
    return [*begin, *inside][:_MOST]
