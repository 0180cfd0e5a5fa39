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
    """Answers calls in batches, in one thread, in the order in which they came.

    What waits when the thread becomes free is the next batch, so a call that comes alone waits for nobody.

    Args:
        answer: Answers a batch: one answer a call, or the error of that call alone.
        worker: The one thread that it runs in.
        most: Calls in a batch.
    """

    def __init__(
        self, answer: Callable[[Sequence[Asked]], Sequence[Answer | Exception]], worker: ThreadPoolExecutor, *, most: int = 64
    ) -> None:
        self._answer = answer
        self._worker = worker
        self._most = most
        self._waiting: deque[tuple[Asked, Future[Answer], Context]] = deque()
        self._lock = Lock()

    async def ask(self, asked: Asked) -> Answer:
        """The answer to one call; the event loop goes on.

        Raises:
            Exception: What went wrong with this call.
        """
        loop = asyncio.get_running_loop()
        future: Future[Answer] = Future()
        with self._lock:
            self._waiting.append((asked, future, copy_context()))
        # Not at once: calls of other tasks that are about to run (as of `asyncio.gather`) come first, and into the same batch.
        loop.call_soon(self._worker.submit, self._work)
        return await asyncio.wrap_future(future, loop=loop)

    def _work(self) -> None:
        with self._lock:
            batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        batch = [call for call in batch if call[1].set_running_or_notify_cancel()]
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
