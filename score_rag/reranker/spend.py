"""What assessments cost: limits, and a journal that is written before each call, so that no kill hides what may have been paid."""

from __future__ import annotations

import json
import math
import secrets
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from score_rag.errors import AssessorError, SpendLimitError
from score_rag.files.lines import drop_torn_line

__all__ = ["Journal", "Limits", "Spend", "Usage", "journal_lines", "journal_path", "open_calls", "read_spend"]


class Usage(NamedTuple):
    """One call: its tokens, and its price in USD (None: nobody knows it)."""

    prompt_tokens: int
    completion_tokens: int
    cost: float | None


@dataclass(frozen=True)
class Limits:
    """What the answers to a job's questions may cost in all, earlier runs and calls in flight included; None: no limit.

    Attributes:
        max_cost: USD.
        max_requests: Calls.
        max_tokens: Of prompts and answers.
    """

    max_cost: float | None = None
    max_requests: int | None = None
    max_tokens: int | None = None


@dataclass(frozen=True)
class Spend:
    """What calls came to.

    Attributes:
        requests: Calls, those that failed among them.
        prompt_tokens: Sent.
        completion_tokens: Answered.
        cost: USD, of calls whose price is known.
        unpriced: Calls whose price is not known.
        unsettled: Calls whose answer was never seen: they count as much as was reserved for them.
    """

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    unpriced: int = 0
    unsettled: int = 0

    def __str__(self) -> str:
        """
        >>> str(Spend(3, 1200, 90, 0.0012))
        '$0.0012, 3 calls, 1,290 tokens'
        """
        price = "price unknown" if self.requests and self.unpriced == self.requests else f"${self.cost:,.4f}"
        return f"{price}, {self.requests:,} calls, {self.prompt_tokens + self.completion_tokens:,} tokens"

    def plus(self, usage: Usage, *, sign: int = 1, requests: int = 0, unsettled: int = 0) -> Spend:
        """With a call's usage added, or taken away again (`sign` -1)."""
        return Spend(
            self.requests + requests,
            self.prompt_tokens + sign * usage.prompt_tokens,
            self.completion_tokens + sign * usage.completion_tokens,
            self.cost + sign * (usage.cost or 0.0),
            self.unpriced + sign * (usage.cost is None),
            self.unsettled + unsettled,
        )

    def beyond(self, limits: Limits) -> str | None:
        """The limit that this passes; None where it passes none."""
        pairs = (
            ("max_cost", self.cost, limits.max_cost),
            ("max_requests", self.requests, limits.max_requests),
            ("max_tokens", self.prompt_tokens + self.completion_tokens, limits.max_tokens),
        )
        return next((name for name, value, limit in pairs if limit is not None and value > limit), None)


class Journal:
    """Keeps calls within limits, in a file that says what each may cost before it is made and what it cost after.

    Thread-safe. A context manager, which closes the file.

    Args:
        path: JSON lines, appended to; None keeps nothing.
        keys: The questions of the job: of others, the journal's calls do not count.
        limits: What they may cost in all.
    """

    def __init__(self, path: Path | None, keys: Collection[str], limits: Limits) -> None:
        self.path, self.limits = path, limits
        self._open: dict[str, Usage] = {}
        self._counted: dict[str, int] = {}
        self._factor = 1.0
        self._changed = threading.Condition()
        self._stream: TextIO | None = None
        self.spend = Spend() if path is None else read_spend(path, keys)

    def __enter__(self) -> Journal:
        if self.path is not None:
            drop_torn_line(self.path)
            self._stream = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *error: object) -> None:
        if self._stream is not None:
            self._stream.close()

    def reserve(self, key: str, usage: Usage, *, wait: bool = True) -> str:
        """Note a call that is about to be made, with the most that it can come to.

        Args:
            wait: While calls in flight may leave room for it; without, what is in flight counts as spent.

        Returns:
            The call's name, for `settle`.

        Raises:
            SpendLimitError: It could pass a limit.
        """
        with self._changed:
            counted, usage = usage.prompt_tokens, self._as_billed(usage)
            while passed := self.spend.plus(usage, requests=1).beyond(self.limits):
                if not wait or not self._open or passed == "max_requests":
                    raise SpendLimitError(
                        f"the limit {passed} was reached",
                        where=self.path,
                        expected=f"{passed} {getattr(self.limits, passed)} at most",
                        found=f"{self.spend.requests:,} calls, {self.spend.prompt_tokens + self.spend.completion_tokens:,} tokens, "
                        f"${self.spend.cost:.4f} so far; the next call may take {usage.prompt_tokens + usage.completion_tokens:,} tokens"
                        + ("" if usage.cost is None else f", ${usage.cost:.6f}"),
                        hint="a higher limit goes on",
                    )
                self._changed.wait()
            call = secrets.token_hex(8)
            self._write({"call": call, "key": key, "state": "reserved", **usage._asdict()})
            self._open[call], self._counted[call] = usage, counted
            self.spend = self.spend.plus(usage, requests=1, unsettled=1)
            return call

    def settle(self, call: str, usage: Usage) -> None:
        """Note what a call came to."""
        with self._changed:
            self._write({"call": call, "state": "settled", **usage._asdict()})
            self.spend = self.spend.plus(self._open.pop(call), sign=-1).plus(usage, unsettled=-1)
            if counted := self._counted.pop(call):
                self._factor = max(self._factor, usage.prompt_tokens / counted)
            self._changed.notify_all()

    def take_over(self, calls: Collection[str]) -> None:
        """Calls that another process reserved and left open can be settled by this one."""
        others = [call for call in calls if not self.is_open(call)]
        if self.path is not None and others:
            known = open_calls(self.path)
            with self._changed:
                self._open |= {call: known[call] for call in others if call in known}
                self._counted |= {call: 0 for call in others if call in known}

    def is_open(self, call: str) -> bool:
        """Whether a call was reserved and neither settled nor lost."""
        with self._changed:
            return call in self._open

    def lose(self, call: str) -> None:
        """Nothing was heard of a call: it may be billed, so it counts as it was reserved."""
        with self._changed:
            self._open.pop(call)
            self._counted.pop(call)
            self._changed.notify_all()

    def _as_billed(self, usage: Usage) -> Usage:
        """A call's usage, where providers were seen to count more tokens in a prompt than we did: as much more."""
        if self._factor == 1.0:
            return usage
        cost = None if usage.cost is None else usage.cost * self._factor
        return Usage(math.ceil(usage.prompt_tokens * self._factor), usage.completion_tokens, cost)

    def _write(self, line: dict[str, Any]) -> None:
        if self._stream is not None:
            self._stream.write(json.dumps(line) + "\n")
            self._stream.flush()


def journal_path(out: Path) -> Path:
    """Where the spend on the answers in `out` is kept: `assessments.spend.jsonl` beside `assessments.jsonl`."""
    return out.with_name(f"{out.stem}.spend.jsonl")


def read_spend(path: Path, keys: Collection[str] | None = None) -> Spend:
    """What a journal's calls came to, those without an answer as they were reserved.

    Args:
        keys: Only calls for these questions; None: for all.
    """
    wanted = None if keys is None else set(keys)
    open_calls: dict[str, Usage] = {}
    spend = Spend()
    for line, usage in journal_lines(path):
        if line["state"] == "reserved" and (wanted is None or line["key"] in wanted):
            open_calls[line["call"]] = usage
            spend = spend.plus(usage, requests=1, unsettled=1)
        elif line["state"] == "settled" and line["call"] in open_calls:
            spend = spend.plus(open_calls.pop(line["call"]), sign=-1).plus(usage, unsettled=-1)
    return spend


def open_calls(path: Path) -> dict[str, Usage]:
    """Calls that were reserved and never settled, with what was reserved."""
    found: dict[str, Usage] = {}
    for line, usage in journal_lines(path):
        if line["state"] == "reserved":
            found[line["call"]] = usage
        else:
            found.pop(line["call"], None)
    return found


def journal_lines(path: Path) -> Iterator[tuple[dict[str, Any], Usage]]:
    """The whole lines of a journal; the last one of a killed run may be torn, and was then never followed by its call."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.endswith("\n") or not line.strip():
                continue
            try:
                found = json.loads(line)
                usage = Usage(int(found["prompt_tokens"]), int(found["completion_tokens"]), found["cost"])
                _ = found["call"], found["state"]
            except (ValueError, KeyError, TypeError) as error:
                raise AssessorError(
                    "a line of the journal of spend is malformed",
                    where=f"{path}, line {number}",
                    found=line[:80],
                    hint="remove that line; its call is then not counted",
                ) from error
            yield found, usage
