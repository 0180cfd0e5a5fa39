"""A run at work behind a server: loaded once, asked in batches, renewed beside its work; knows nothing of HTTP but when to refuse."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.serving_run import ServingRun
from score_rag.pipeline.stages import STAGES
from score_rag.pipeline.state import finished_record
from score_rag.recommend.answering import Answered
from score_rag.recommend.question import FoundQuestion
from score_rag.recommend.recommender import Recommender
from score_rag.serve.batches import Batches
from score_rag.serve.metrics import Metrics
from score_rag.serve.refusals import Refusal
from score_rag.serve.requests_log import RequestsLog
from score_rag.serve.settings import ServeSettings

__all__ = ["Service"]

T = TypeVar("T")
_log = logging.getLogger("score_rag.serve")


class Service:
    """One run for any number of requests.

    Args:
        pipeline: Whose run.
        settings: Limits.

    Raises:
        StageError: A stage of the run is not finished.
    """

    def __init__(self, pipeline: Pipeline, settings: ServeSettings) -> None:
        self.pipeline = pipeline
        self.settings = settings
        opened = ServingRun.open(pipeline, stages=STAGES)
        self.recommender = Recommender(opened)
        self.feedback = opened.feedback
        self.metrics = Metrics()
        self.requests = RequestsLog(self.feedback.path.parent) if settings.keep_requests else None
        self.models = {stage: _content(pipeline, stage) for stage in STAGES}
        self.ready = threading.Event()
        self.failure: Exception | None = None
        self._models = ThreadPoolExecutor(settings.threads, thread_name_prefix="score-rag-models")
        self.lookups = ThreadPoolExecutor(2, thread_name_prefix="score-rag-lookups")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="score-rag-feedback")
        # What takes seconds, one after the other: it must not stand in the way of look-ups.
        self._slow = ThreadPoolExecutor(1, thread_name_prefix="score-rag-slow")
        self.batches = Batches(
            self._models, threads=settings.threads, most=settings.batch, wait=settings.gather, told=self.metrics.batches.observe
        )
        self._under_way = 0
        self._task: asyncio.Task[None] | None = None

    # Its life

    async def start(self) -> None:
        """Load everything beside the event loop, and look after index and feedback from then on."""
        self._task = asyncio.create_task(self._look_after())

    async def stop(self) -> None:
        """Let the work under way end, and let go of the models."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        for pool in (self._models, self.lookups, self._writer, self._slow):
            pool.shutdown(wait=True, cancel_futures=True)
        if self.requests is not None:
            self.requests.close()
        # FastAPI remembers the routes' functions, of which each knows this: the models need not stay with it.
        self.ready.clear()
        self.__dict__.pop("recommender", None)
        gc.unfreeze()

    async def _look_after(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self.lookups, self._load)
        except Exception as error:  # noqa: BLE001  # said by /health/ready and in the log
            self.failure = error
            _log.error("the run cannot be loaded: %s", error)
            return
        while True:
            await asyncio.sleep(self.settings.refresh)
            try:
                # A renewed run is whole before it takes the old one's place.
                await loop.run_in_executor(self.lookups, self._renew)
            except Exception as error:  # noqa: BLE001  # what stands answers on; the next look may find it mended
                _log.error("the new index is not used yet: %s", error)

    def _load(self) -> None:
        run = self.recommender.run
        assert isinstance(run, ServingRun)
        run.warm()
        _ = run.later_items, run.recommender, run.trained_users
        # The first question of each kind pays for what models prepare at their first use.
        user = next(iter(run.histories.log.users))
        item = next(iter(run.histories.catalogue))
        self.recommender.recommend(user, item)
        self.recommender.top(user, 1, candidates=2)
        self.metrics.generation.set(run.generation)
        _settle()
        self.ready.set()

    def _renew(self) -> None:
        if self.recommender.renew():
            self.metrics.generation.set(self.run.generation)
            _settle()

    @property
    def loaded(self) -> ServingRun:
        """The run that answers, without a look at what came in: taking that in may last, and the event loop must not wait for it.

        Raises:
            Refusal: It is not loaded yet, or could not be.
        """
        if self.failure is not None:
            raise Refusal(503, "failed", "the run cannot be loaded; the server's log says why")
        if not self.ready.is_set():
            raise Refusal(503, "starting", "the models are being loaded", retry=2)
        found = self.recommender.held()
        assert isinstance(found, ServingRun)
        return found

    @property
    def run(self) -> ServingRun:
        """The run to ask now, with everything that was acknowledged before; in a thread.

        Raises:
            Refusal: As `loaded`.
        """
        found = self.loaded
        found.catch_up()
        return found

    # Asking

    async def looked_up(self, act: Callable[[ServingRun], T]) -> T:
        """Something that reads the data, in a thread, with everything that was acknowledged before."""
        return await self._in(self.lookups, act)

    async def slowly(self, act: Callable[[ServingRun], T]) -> T:
        """Something that asks a model several times over, or reads much; one such thing after the other."""
        return await self._in(self._slow, act)

    async def _in(self, pool: ThreadPoolExecutor, act: Callable[[ServingRun], T]) -> T:
        # Where nothing is loaded, that is said at once.
        _ = self.loaded
        return await asyncio.get_running_loop().run_in_executor(pool, lambda: act(self.run))

    async def answers(
        self, run: ServingRun, asked: Sequence[FoundQuestion], *, reranked: bool, seconds: dict[str, float]
    ) -> list[Answered]:
        """One answer a question, answered together with those of other requests.

        Raises:
            Refusal: Too much is waiting.
        """
        if self.batches.waiting + len(asked) > self.settings.waiting:
            raise self.busy()
        self.metrics.waiting.set(self.batches.waiting + len(asked))
        return await self.batches.answers(run, asked, reranked=reranked, seconds=seconds)

    # Limits

    def busy(self) -> Refusal:
        """What to say where too much waits."""
        return Refusal(429, "busy", "too much is waiting already", retry=max(1.0, self.batches.seconds_left))

    async def within(self, disconnected: Callable[[], Awaitable[Any]], work: Awaitable[T], deadline: float) -> T:
        """Some work, while there is time and somebody waits for it; otherwise what of it has not begun is never done.

        Args:
            disconnected: Returns when the client has gone.

        Raises:
            Refusal: Too many requests are under way, or the time is over.
        """
        if self._under_way >= self.settings.requests:
            if hasattr(work, "close"):
                work.close()
            raise self.busy()
        self._under_way += 1
        task = asyncio.ensure_future(work)
        watcher = asyncio.ensure_future(disconnected())
        try:
            done, _ = await asyncio.wait({task, watcher}, timeout=deadline, return_when=asyncio.FIRST_COMPLETED)
            if task in done:
                return task.result()
            if watcher in done:
                raise Refusal(499, "late", "the client has gone")
            raise Refusal(504, "late", f"there is no answer within {deadline:g} seconds", retry=self.batches.seconds_left)
        finally:
            self._under_way -= 1
            for one in (task, watcher):
                one.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await one
            self.metrics.waiting.set(self.batches.waiting)

    async def write(self, act: Callable[[], T]) -> T:
        """Something that writes feedback, one after the other."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, act)


def _content(pipeline: Pipeline, stage: str) -> str:
    done = finished_record(pipeline, stage)
    content = (done or {}).get("content")
    return str(content)[:16]


def _settle() -> None:
    """What was loaded stays: the collector need not walk through all of it again, which takes as long as several answers."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
