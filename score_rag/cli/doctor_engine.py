"""`score-rag doctor --engine URL`: does a scoring server say what the local engine says, and does it cache beginnings?"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from score_rag.predictor.engines import Engine

__all__ = ["TOLERANCE", "compare", "examine_engine", "prefix_cache", "show_engine"]

TOLERANCE = 0.01
"""Servers compute in half precision and in batches of changing size; a difference above this is no rounding."""

_ROUNDS = 5


def examine_engine(url: str, kind: str, *, pipeline: str, model: str | None = None, prompts: int = 50) -> dict[str, Any]:
    """Compare a server with a finished run's local engine, on prompts of that run.

    Args:
        url: Address of the server.
        kind: `vllm`, `sglang` or `openai`.
        pipeline: Name or path of a pipeline that has been run.
        model: Name of the model at the server.
        prompts: How many to score.

    Raises:
        InputError: There is no such pipeline or engine.
        StageError: The pipeline's predictor is not finished.
        ModelError: The server cannot be reached, or does not serve the model.
    """
    from score_rag.context.examples import sample_events
    from score_rag.pipeline.run import Run
    from score_rag.predictor.predictor import Predictor

    run = Run.open(pipeline, stages=["predictor"])
    remote = Predictor.from_pretrained(run.folder("predictor"), engine=kind, engine_url=url, engine_model=model)
    questions = run.finder.questions(sample_events(run.interactions, "test", prompts, seed=0))
    texts = [told.text for told in run.write(questions)[1]]
    found = compare(remote.engine, run.predictor.engine, texts)
    return {
        **found,
        "url": url,
        "kind": kind,
        "model": getattr(remote.engine, "model", None),
        "prefix_cache": prefix_cache(remote.engine, texts),
    }


def compare(remote: Engine, local: Engine, texts: Sequence[str]) -> dict[str, Any]:
    """How far two engines are apart on the same texts: largest and mean |difference| of P, of the mass, and whether that is rounding."""
    texts = [text for text in texts if max(remote.count_tokens(text), local.count_tokens(text)) <= min(remote.max_tokens, local.max_tokens)]
    theirs, ours = remote.score(texts), local.score(texts)
    apart = [abs(one.probability - other.probability) for one, other in zip(theirs, ours, strict=True)]
    mass = [abs(one.mass - other.mass) for one, other in zip(theirs, ours, strict=True)]
    return {
        "prompts": len(texts),
        "largest_difference": max(apart),
        "mean_difference": statistics.fmean(apart),
        "largest_difference_of_mass": max(mass),
        "warnings": sum(bool(answer.warning) for answer in theirs),
        "ok": max(apart) <= TOLERANCE,
    }


def prefix_cache(engine: Engine, texts: Sequence[str]) -> dict[str, Any]:
    """Seconds of a long prompt with a beginning that the server has never read, and again with the beginning that it has just read.

    Returns:
        Medians `fresh_s` and `repeated_s`, their `ratio` (clearly below 1 where beginnings are cached), and `cached_tokens` of the repeated
        prompts where the server says it (else None).
    """
    longest = max(texts, key=len)
    words = longest.split("\n")
    room = engine.max_tokens - engine.count_tokens(longest)
    stamp = time.time_ns()
    usage = getattr(engine, "usage", None)
    fresh, repeated, cached, read = [], [], None, 0
    for number in range(_ROUNDS):
        # Another first line, and nothing after it is in any cache.
        first = f"{stamp + number}\n"
        body = longest if room > 2 * len(first) else "\n".join(words[len(words) // 4 :])
        fresh.append(_seconds(engine, first + body))
        before = (usage.cached, usage.prompt) if usage is not None else (None, 0)
        repeated.append(_seconds(engine, first + body))
        if usage is not None and usage.cached is not None:
            cached = (cached or 0) + usage.cached - (before[0] or 0)
            read += usage.prompt - before[1]
    return {
        "fresh_s": statistics.median(fresh),
        "repeated_s": statistics.median(repeated),
        "ratio": statistics.median(repeated) / statistics.median(fresh),
        "cached_tokens": cached,
        "repeated_tokens": read if cached is not None else None,
    }


def _seconds(engine: Engine, text: str) -> float:
    start = time.perf_counter()
    engine.score([text])
    return time.perf_counter() - start


def show_engine(found: dict[str, Any]) -> None:
    """For a person."""
    from rich.markup import escape

    from score_rag.cli.screen import console

    screen, cache = console(), found["prefix_cache"]
    where = escape(f"{found['kind']} at {found['url']}, model {found['model']}")
    screen.print(f"{where}: {found['prompts']} prompts against the local engine")
    screen.print(f"  P(Yes): largest difference {found['largest_difference']:.2g}, mean {found['mean_difference']:.2g}")
    screen.print(f"  mass of Yes and No: largest difference {found['largest_difference_of_mass']:.2g}")
    if found["warnings"]:
        screen.print(f"  [yellow]{found['warnings']} answers are bounds only: ask for more log-probabilities (top_logprobs)[/]")
    said = "the server does not say" if cache["cached_tokens"] is None else f"{cache['cached_tokens']} of {cache['repeated_tokens']} tokens"
    screen.print(
        f"  prefix cache: a repeated prompt takes {cache['ratio']:.2f} of a fresh one's time "
        f"({1000 * cache['repeated_s']:.0f} and {1000 * cache['fresh_s']:.0f} ms); tokens from the cache: {said}"
    )
    screen.print("[green]the same model[/]" if found["ok"] else f"[red]not the same model: P(Yes) differs by more than {TOLERANCE}[/]")
