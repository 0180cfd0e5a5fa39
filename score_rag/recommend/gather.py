"""Calls of an event loop that come together are answered together: a batch costs a model much less than its calls one by one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context, copy_context
from threading import Lock
from typing import Generic, TypeVar

__all__ = ["Gathered"]

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class Gathered(Generic[Asked, Answer]):
    """Answers calls in batches, in the order in which they came. A call that was cancelled while it waited is not answered.

    What waits when a thread becomes free is the next batch, so a call that comes alone waits for nobody longer than `wait`. Of several
    threads, each takes its share of what waits.

    Args:
        answer: Answers a batch: one answer a call, or the error of that call alone.
        worker: The threads that it runs in.
        most: Calls in a batch; where they are of several sizes, the sizes of its calls together. A greater call is a batch of its own.
        wait: Seconds for which a call waits for others to come.
        size: Of a call.
        threads: How many `worker` has.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Asked]], Sequence[Answer | Exception]],
        worker: ThreadPoolExecutor,
        *,
        most: int = 64,
        wait: float = 0.0,
        size: Callable[[Asked], int] = lambda asked: 1,
        threads: int = 1,
    ) -> None:
        self._answer = answer
        self._worker = worker
        self._most = most
        self._wait = wait
        self._size = size
        self._threads = threads
        self._queue: deque[tuple[Asked, Future[Answer], Context]] = deque()
        self._lock = Lock()

    async def ask(self, asked: Asked) -> Answer:
        """The answer to one call; the event loop goes on.

        Raises:
            Exception: What went wrong with this call.
        """
        loop = asyncio.get_running_loop()
        future: Future[Answer] = Future()
        with self._lock:
            self._queue.append((asked, future, copy_context()))
        # Not at once: calls of other tasks that are about to run (as of `asyncio.gather`) come first, and into the same batch.
        if self._wait:
            loop.call_later(self._wait, self._worker.submit, self._work)
        else:
            loop.call_soon(self._worker.submit, self._work)
        return await asyncio.wrap_future(future, loop=loop)

    def _next(self) -> list[tuple[Asked, Future[Answer], Context]]:
        batch: list[tuple[Asked, Future[Answer], Context]] = []
        full = 0
        with self._lock:
            most = self._most
            if self._threads > 1:
                most = min(most, -(-sum(self._size(asked) for asked, _, _ in self._queue) // self._threads))
            while self._queue:
                call = self._queue[0]
                own = self._size(call[0])
                if batch and full + own > most:
                    break
                self._queue.popleft()
                if call[1].set_running_or_notify_cancel():
                    batch.append(call)
                    full += own
        return batch

    def _work(self) -> None:
        batch = self._next()
        if not batch:
            return
        try:
            # A batch has many callers; it runs in the context of the first.
            answers = batch[0][2].run(self._answer, [asked for asked, _, _ in batch])
        except BaseException as error:  # noqa: BLE001  # whoever asked gets it
            for _, future, _ in batch:
                future.set_exception(error)
            return
        for (_, future, _), answer in zip(batch, answers, strict=True):
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
