"""Any server that speaks OpenAI's API and gives log-probabilities, through LiteLLM: one token is asked for, and the likeliest are read.

The list is short (20 by default, and at most at many servers). If one answer is not on it, its probability is bounded by the least likely
token on the list and by what the list leaves over, and the answer carries a warning; if neither is on it, there is nothing to read.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from score_rag.errors import ModelError
from score_rag.extras import names_extras
from score_rag.predictor.answer import Answer, from_probabilities
from score_rag.predictor.engines.http import HttpEngine, api_key
from score_rag.predictor.engines.retry import AGAIN, Unavailable
from score_rag.predictor.settings import EngineSettings
from score_rag.predictor.tokens import ANSWERS
from score_rag.progress import Report, silent

__all__ = ["OpenAIEngine", "read_top"]


class OpenAIEngine(HttpEngine):
    """Scores by an OpenAI-compatible server; see `HttpEngine`.

    Args:
        settings: With `api: completions` the server gets our token ids; with `api: chat`, a user's turn in its own chat template.
        encode: Text to token ids.
        answers: Token ids of Yes and No.
        max_tokens: Longest row.
        names: How the server may spell the two tokens, the likeliest spelling first.
    """

    kind = "openai"

    def __init__(
        self,
        settings: EngineSettings,
        encode: Callable[[str], Sequence[int]],
        answers: tuple[int, int],
        *,
        max_tokens: int,
        names: tuple[Sequence[str], Sequence[str]] = ((" Yes", "Yes"), (" No", "No")),
    ) -> None:
        self._litellm = _litellm()
        self._names = tuple((f"token_id:{token}", *own) for token, own in zip(answers, names, strict=True))
        self._key = api_key(settings)
        super().__init__(settings, encode, answers, max_tokens=max_tokens)
        self._openai: Any = None
        if settings.url:
            from openai import OpenAI

            # LiteLLM would keep connections of its own open for an hour.
            self._openai = OpenAI(api_key=self._key or "none", base_url=f"{self.url}/v1", http_client=self._client, max_retries=0)

    def score(self, texts: Sequence[str], *, report: Report = silent) -> list[Answer]:
        """One answer a text, in order; see `Engine.score`."""
        if self.settings.api == "completions":
            return super().score(texts, report=report)
        self.rows(texts)
        batches = [[place] for place in range(len(texts))]
        return self.in_parallel(batches, lambda batch: [self._ask(texts[place]) for place in batch], report)

    def score_rows(self, rows: Sequence[list[int]], report: Report) -> list[Answer]:
        """One answer a row, by a request each, neighbours in the sorted order one after another."""
        order = sorted(range(len(rows)), key=lambda row: rows[row])
        return self.in_parallel([[row] for row in order], lambda batch: self.ask([rows[row] for row in batch]), report)

    def ask(self, rows: Sequence[list[int]]) -> list[Answer]:
        """One answer a row."""
        return [self._ask(row) for row in rows]

    def _ask(self, prompt: str | list[int]) -> Answer:
        where = self.url if self.settings.url else self.model

        def attempt() -> Any:
            try:
                return self._call(prompt)
            except Exception as error:  # litellm wraps every provider's errors in classes of its own and of openai's
                status, told = getattr(error, "status_code", None), (str(error).splitlines() or [type(error).__name__])[0][:300]
                if status is None or status in AGAIN:
                    raise Unavailable(told) from error
                raise self.refused(where, status, told) from error

        answer = self.persist(attempt, where)
        usage = getattr(answer, "usage", None)
        self.count(usage.model_dump() if usage is not None else None)
        return read_top(self._top(answer), self._names, where=where)

    def _call(self, prompt: str | list[int]) -> Any:
        settings = self.settings
        common: dict[str, Any] = {
            "api_base": f"{self.url}/v1" if settings.url else None,
            "api_key": self._key or ("none" if settings.url else None),
            "max_tokens": 1,
            "temperature": 0,
            "timeout": settings.timeout,
            "max_retries": 0,
            "client": self._openai,
        }
        if settings.api == "completions":
            model = f"text-completion-openai/{self.model}"
            return self._litellm.text_completion(model=model, prompt=prompt, logprobs=settings.top_logprobs, **common)
        model = f"openai/{self.model}" if settings.url else self.model
        turns = [{"role": "user", "content": prompt}]
        return self._litellm.completion(model=model, messages=turns, logprobs=True, top_logprobs=settings.top_logprobs, **common)

    def _top(self, answer: Any) -> dict[str, float]:
        """Log-probability of each of the likeliest tokens, by its spelling."""
        try:
            given = answer.choices[0].logprobs
            if self.settings.api == "completions":
                return {str(token): float(value) for token, value in given.top_logprobs[0].items()}
            return {str(one.token): float(one.logprob) for one in given.content[0].top_logprobs}
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise ModelError(
                "the openai server gave no log-probabilities",
                where=self.url if self.settings.url else self.model,
                expected="the likeliest first tokens with their log-probabilities",
                found=repr(answer)[:200],
                hint="some servers must be started with log-probabilities on; some models never give them",
            ) from error

    def _find_model(self) -> tuple[str, int | None]:
        # Without a URL, LiteLLM knows the provider by the model's name, and the first question shows whether it is there.
        return super()._find_model() if self.settings.url else (str(self.settings.model), None)


def read_top(top: Mapping[str, float], names: Sequence[Sequence[str]], *, where: object = None) -> Answer:
    """An answer from the likeliest tokens.

    Args:
        top: Log-probability by spelling.
        names: Spellings of Yes, and of No, the likeliest first.
        where: For the error.

    Raises:
        ModelError: Neither is among them.

    >>> answer = read_top({"Yes": math.log(0.5), "Maybe": math.log(0.3)}, (["Yes"], ["No"]))
    >>> round(answer.probability, 3), round(answer.mass, 3), answer.warning
    (0.714, 0.7, 'No is not among the 2 likeliest tokens: P(Yes) is 0.714 at least')
    """
    found = [next((math.exp(top[name]) for name in own if name in top), None) for own in names]
    yes, no = found
    if yes is not None and no is not None:
        return from_probabilities(yes, no)
    listed = [math.exp(value) for value in top.values()]
    if yes is None and no is None:
        raise ModelError(
            "the model would write neither Yes nor No",
            where=where,
            expected=f"one of them among its {len(top)} likeliest tokens",
            found=", ".join(repr(name) for name in list(top)[:8]),
            hint="is it the tuned model (with its adapter), asked in its own chat form? try api: chat, or a larger top_logprobs",
        )
    most = max(0.0, min(min(listed), 1.0 - sum(listed)))
    answer = from_probabilities(most if yes is None else yes, most if no is None else no)
    lost, limit = (ANSWERS[0], "at most") if yes is None else (ANSWERS[1], "at least")
    warning = f"{lost} is not among the {len(top)} likeliest tokens: P(Yes) is {answer.probability:.3f} {limit}"
    return from_probabilities(most if yes is None else yes, most if no is None else no, warning=warning)


@names_extras()
def _litellm() -> Any:
    # Without this, the import asks a server for a price list, and waits for it.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    litellm.telemetry = False
    litellm.suppress_debug_info = True
    return litellm
