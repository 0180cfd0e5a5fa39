"""Shards handed to actors: who works on which, how far they are, and what becomes of the shard of an actor that died."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from score_rag.errors import LockedError, ScoreError, SpendLimitError
from score_rag.progress import Report, with_detail
from score_rag.shards.cluster.errors import LostShardError, StalledShardError
from score_rag.shards.cluster.ray_cluster import count_places, new_actor
from score_rag.shards.cluster.worker import Told
from score_rag.shards.shard import Shard
from score_rag.shards.work import Done

__all__ = ["TRIES", "HandOut"]

TRIES = 3
"""How often a shard is begun, at most."""

_LOOK = 1.0
"""Seconds between two looks at how far actors are."""


@dataclass
class _Busy:
    """An actor at work.

    Attributes:
        result: Ray's promise of what comes of the shard.
        asked: Likewise of how far it is; None where it was not asked since it last said.
        since: When it last said something new.
        there: Whether it has ever said anything.
    """

    actor: Any
    shard: Shard
    result: Any
    asked: Any
    since: float
    told: Told = (0, "waiting for a place in the cluster", 0, 1)
    there: bool = False


class HandOut:
    """One job's shards on one cluster.

    Args:
        ray: The module, connected.
        given: What a `ShardWorker` is made of.
        room: `cpus` and `gpus` of an actor.
        work: Options of `ShardWorker.work`.
        timeout: Seconds without progress after which a shard hangs.

    Attributes:
        tries: How often each shard was begun.
    """

    def __init__(
        self, ray: Any, given: tuple[Any, ...], *, room: dict[str, float], work: dict[str, Any], timeout: float, report: Report
    ) -> None:
        self._ray, self._given, self._room, self._work = ray, given, room, work
        self._timeout, self._report = timeout, report
        self._idle: list[Any] = []
        self._busy: list[_Busy] = []
        self._done: dict[Shard, Done] = {}
        self._limited: SpendLimitError | None = None
        self._moved: set[Shard] = set()
        self.tries: Counter[Shard] = Counter()

    def run(self, shards: Sequence[Shard]) -> list[Done]:
        """Do all; see `run_on_ray` for what is raised."""
        self._queue, self._all = deque(shards), len(shards)
        while self._queue or self._busy:
            self._start()
            ready, _ = self._ray.wait([one.result for one in self._busy], num_returns=1, timeout=_LOOK)
            for one in [one for one in self._busy if one.result in ready]:
                self._busy.remove(one)
                self._end(one)
            for one in self._busy:
                self._listen(one)
            self._tell()
        if self._limited is not None:
            raise self._limited
        return [self._done[shard] for shard in shards]

    def stop(self) -> None:
        """Kill all actors; what they wrote down is kept."""
        for actor in (*self._idle, *(one.actor for one in self._busy)):
            self._ray.kill(actor)
        self._idle, self._busy = [], []

    def _start(self) -> None:
        """As many as there are places: a cluster that lost a node has fewer."""
        self._take_back()
        places = count_places(self._ray.nodes(), **self._room) if self._queue else 0
        while self._queue and len(self._busy) < max(places, 1):
            shard = self._queue.popleft()
            there = bool(self._idle)
            actor = self._idle.pop() if there else new_actor(self._ray, *self._given, **self._room)
            self.tries[shard] += 1
            result = actor.work.remote(shard, **self._work)
            self._busy.append(_Busy(actor, shard, result, None, time.monotonic(), there=there))

    def _take_back(self) -> None:
        """Shards of actors that wait for a place while others are free: the cluster had lost a node, and did not know it yet."""
        waiting = [one for one in self._busy if not one.there]
        for one in waiting[: len(self._idle)]:
            self._ray.kill(one.actor)
            self._busy.remove(one)
            self.tries[one.shard] -= 1
            self._moved.add(one.shard)
            self._queue.appendleft(one.shard)

    def _end(self, one: _Busy) -> None:
        errors = self._ray.exceptions
        try:
            found = self._ray.get(one.result)
        except errors.RayTaskError as error:
            cause = getattr(error, "cause", None) or error
            self._idle.append(one.actor)
            raise self._lost(one, f"{type(cause).__name__}: {(str(cause).splitlines() or [''])[0]}", "as none of our errors") from error
        except errors.RayError as error:
            self._again(one, f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}")
            return
        self._idle.append(one.actor)
        if isinstance(found, Done):
            self._done[one.shard] = found
        elif isinstance(found, SpendLimitError):
            # A limit is its shard's own.
            self._limited = self._limited or found
        elif isinstance(found, LockedError) and (self.tries[one.shard] > 1 or one.shard in self._moved):
            # Whoever held the shard before it was lost may not have ended yet.
            self._again(one, found.what)
            time.sleep(_LOOK)
        else:
            raise found

    def _again(self, one: _Busy, why: str) -> None:
        if self.tries[one.shard] >= TRIES:
            raise self._lost(one, why, f"{TRIES} times")
        self._queue.appendleft(one.shard)

    def _lost(self, one: _Busy, why: str, how: str) -> ScoreError:
        return LostShardError(
            f"shard {one.shard} was lost, {how}",
            where=self._given[1],
            expected="an actor that lives as long as a shard takes",
            found=why,
            hint="is a node too small for it (memory)? what is done is kept; the same command goes on",
        )

    def _listen(self, one: _Busy) -> None:
        """Ask how far an actor is, without waiting for what it says.

        Raises:
            StalledShardError: It has said nothing new for too long.
        """
        if one.asked is None:
            one.asked = one.actor.told.options(concurrency_group="telling").remote()
        elif self._ray.wait([one.asked], timeout=0)[0]:
            try:
                told, one.there = self._ray.get(one.asked), True
            except self._ray.exceptions.RayError:
                told = one.told  # It died; the end of its shard says so.
            if told != one.told:
                one.told, one.since = told, time.monotonic()
            one.asked = None
        if time.monotonic() - one.since > self._timeout:
            _, what, done, total = one.told
            raise StalledShardError(
                f"shard {one.shard} hangs: no progress for {self._timeout:g} seconds",
                where=self._given[1],
                expected="progress within --timeout",
                found=f"{what}: {done:,} of {total:,}",
                hint="what is done is kept; the same command goes on, with a higher --timeout where a batch takes that long",
            )

    def _tell(self) -> None:
        shares = [min(one.told[2] / one.told[3], 1.0) for one in self._busy if one.told[0] and one.told[3]]
        now = ", ".join(f"{one.shard} {one.told[1]}" for one in self._busy[:2])
        told = (
            with_detail("shards on Ray", f"{len(self._busy)} at work, {now}, {sum(shares):.1f} under way")
            if self._busy
            else "shards on Ray"
        )
        self._report(told, len(self._done), self._all)
