"""Whether a predictor's base knows the catalogue from elsewhere: does it complete its titles, and what does it lose without names?

A language model that has read a public data set may answer from memory, and what it gains over others on such data says little of other
data. Titles are cut in the middle, after some other titles of the catalogue; the model's likeliest continuation is compared with the rest.
Two controls say what can be guessed: made-up titles of the same words, and the rest of another title after the same beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from score_rag.errors import DataError
from score_rag.metrics.auc import auc
from score_rag.metrics.bootstrap import Bootstrap, Interval
from score_rag.progress import Report, silent

if TYPE_CHECKING:
    from score_rag.pipeline.run import Run

__all__ = ["Completed", "Contamination", "complete_titles", "made_up_titles", "probe_run"]

_SHOWN = 8
"""Titles of the catalogue that stand before each question, so that the model knows what is being listed."""
_FEWEST = 10
_DRAWS = 2000


@dataclass(frozen=True)
class Completed:
    """What a model made of titles.

    Attributes:
        exact: bool [n]: every token of the rest is the likeliest one.
        fit: float64 [n]: mean log-probability of the rest's tokens, nats.
    """

    exact: np.ndarray
    fit: np.ndarray


@dataclass(frozen=True)
class Contamination:
    """What was found.

    Attributes:
        base: The model.
        own: Whether it was trained on this very catalogue, by this run: then it remembers its training, which is no contamination.
        titles: How many were tried.
        exact: Share of the catalogue's titles that are completed to the letter, with its 95 % interval over titles.
        exact_made_up: The same of made-up titles.
        told_apart: Chance that a title's own rest fits it better than another title's rest: .5 where nothing is known.
        events: Held-out events that were asked with and without names; 0 where they were not.
        auc: With names.
        auc_loss: With names less without, paired over users.
    """

    base: str
    own: bool
    titles: int
    exact: Interval
    exact_made_up: Interval
    told_apart: float
    events: int = 0
    auc: float | None = None
    auc_loss: Interval | None = None

    @property
    def knows(self) -> bool:
        """Whether more titles are completed than made-up ones, beyond chance."""
        return self.exact.low > self.exact_made_up.high

    def warnings(self) -> list[str]:
        """What a reader of this run's tables must know."""
        if not self.knows:
            return []
        share = f"{self.exact.value:.0%} of the catalogue's titles to the letter (made-up ones: {self.exact_made_up.value:.0%})"
        if self.own:
            return [f"the bundled base completes {share}: it was trained on them here, and knows nothing else"]
        return [f"{self.base} completes {share}: it has read this catalogue elsewhere, and may have read who liked what"]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "knows": self.knows, "warnings": self.warnings()}


def made_up_titles(titles: Sequence[str], *, seed: int) -> list[str]:
    """Titles of as many words each, the words drawn from all of them.

    >>> sorted(" ".join(made_up_titles(["Heat Wave", "Dark Garden"], seed=1)).split())
    ['Dark', 'Garden', 'Heat', 'Wave']
    """
    words = np.random.default_rng(seed).permutation([word for title in titles for word in title.split()]).tolist()
    out, known = [], set(titles)
    for title in titles:
        count = len(title.split())
        made, words = words[:count], words[count:]
        if " ".join(made) in known:
            made.reverse()
        out.append(" ".join(made))
    return out


def complete_titles(
    model: Any,
    encode: Callable[[str], Sequence[int]],
    beginnings: Sequence[str],
    rests: Sequence[str],
    *,
    context: str = "",
    batch: int = 16,
    report: Report = silent,
) -> Completed:
    """Let a causal model go on after beginnings, and compare with rests (greedy, token by token).

    Args:
        model: Of transformers.
        encode: Text to token ids.
        beginnings: [n].
        rests: [n], each with the space before it.
        context: Stands before each beginning.
    """
    import torch

    device = next(model.parameters()).device
    rows, starts = [], []
    for beginning, rest in zip(beginnings, rests, strict=True):
        before, whole = list(encode(context + beginning)), list(encode(context + beginning + rest))
        # Where a tokenizer joins both, the first token that differs counts as the rest's.
        same = next((place for place, (a, b) in enumerate(zip(before, whole, strict=False)) if a != b), min(len(before), len(whole) - 1))
        rows.append(whole)
        starts.append(same)
    exact, fit = np.zeros(len(rows), dtype=bool), np.zeros(len(rows))
    order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
    with torch.inference_mode():
        for first in range(0, len(order), batch):
            some = order[first : first + batch]
            longest = max(len(rows[row]) for row in some)
            ids = torch.zeros((len(some), longest), dtype=torch.long)
            sees = torch.zeros_like(ids)
            for place, row in enumerate(some):
                ids[place, : len(rows[row])] = torch.tensor(rows[row])
                sees[place, : len(rows[row])] = 1
            logits = model(input_ids=ids.to(device), attention_mask=sees.to(device), use_cache=False).logits.float()
            logs = torch.log_softmax(logits, dim=-1)
            for place, row in enumerate(some):
                wanted = torch.tensor(rows[row][starts[row] :], device=device)
                said = logs[place, starts[row] - 1 : len(rows[row]) - 1]
                exact[row] = bool((said.argmax(-1) == wanted).all())
                fit[row] = float(said.gather(1, wanted[:, None]).mean())
            report("completing titles", min(first + batch, len(rows)), len(rows))
    return Completed(exact, fit)


def probe_run(run: Run, *, titles: int = 200, rows: int | None = 1000, report: Report = silent) -> Contamination:
    """Probe the base of a finished run's predictor, and ask held-out events with and without the items' names.

    Args:
        titles: At most so many, drawn by the pipeline's seed.
        rows: At most so many events of the evaluated split, as whole users; None asks none.

    Raises:
        StageError: The run is not finished.
        DataError: Too few titles have two words.
        ModelError: The base cannot be loaded.
    """
    from score_rag.files import read_json
    from score_rag.predictor.load import load_causal_model

    folder = run.folder("predictor")
    facts = read_json(folder / "predictor.json")
    base = str(folder / "base") if facts["bundled"] else str(facts["base"])
    every = sorted({item.title for item in run.interactions.catalogue.values() if len(item.title.split()) > 1})
    if len(every) < _FEWEST + _SHOWN:
        raise DataError("too few titles have two words", expected=f"at least {_FEWEST + _SHOWN}", found=len(every))
    generator = np.random.default_rng(run.pipeline.seed)
    drawn = generator.permutation(every).tolist()[: titles + _SHOWN]
    shown, asked = drawn[:_SHOWN], drawn[_SHOWN:]
    context = "".join(f"{title}\n" for title in shown)
    model, encode = load_causal_model(base, dtype=facts["dtype"]), _plain(base)

    def complete(some: Sequence[str], rests: Sequence[str] | None = None) -> Completed:
        halves = [_halves(title) for title in some]
        own = [rest for _, rest in halves] if rests is None else rests
        return complete_titles(model, encode, [beginning for beginning, _ in halves], own, context=context, report=report)

    true, made = complete(asked), complete(made_up_titles(asked, seed=run.pipeline.seed))
    others = complete(asked, [_halves(title)[1] for title in [*asked[1:], asked[0]]])
    found = Contamination(
        "the bundled base" if facts["bundled"] else str(facts["base"]),
        bool(facts["bundled"]),
        len(asked),
        _share(true.exact, run.pipeline.seed),
        _share(made.exact, run.pipeline.seed),
        auc(np.repeat([1, 0], len(asked)), np.concatenate([true.fit, others.fit])),
    )
    return found if rows is None else _without_names(run, found, rows, report)


def _without_names(run: Run, found: Contamination, rows: int, report: Report) -> Contamination:
    from dataclasses import replace

    from score_rag.data.interactions import event_rows

    split = run.pipeline.evaluation.split
    frame = run.interactions.events.filter(run.interactions.events["split"] == split)
    users = frame["user_id"].unique(maintain_order=True)
    order = users.gather(np.random.default_rng(run.pipeline.seed).permutation(len(users)))
    count = dict(frame.group_by("user_id").len().rows())
    kept: list[str] = []
    total = 0
    for user in order:
        if kept and total + count[user] > rows:
            break
        kept.append(user)
        total += count[user]
    frame = frame.filter(frame["user_id"].is_in(kept))
    questions = run.finder.questions(list(event_rows(frame)))
    contexts, told = run.write(questions, report=report)
    bare = run.writer.write(questions, contexts, hide=("name",))
    scores = [np.array([a.probability for a in run.predictor.score([one.text for one in texts], report=report)]) for texts in (told, bare)]
    bootstrap = Bootstrap(frame["user_id"].to_list(), frame["label"].to_numpy(), seed=run.pipeline.seed)
    (own, draws), (theirs, other) = (bootstrap.auc(values) for values in scores)
    return replace(found, events=len(frame), auc=own, auc_loss=bootstrap.interval(own - theirs, draws - other))


def _halves(title: str) -> tuple[str, str]:
    """A title's first and second half, in words, the first no shorter.

    >>> _halves("The Silence of the Lambs"), _halves("Blade Runner")
    (('The Silence of', ' the Lambs'), ('Blade', ' Runner'))
    """
    words = title.split()
    middle = (len(words) + 1) // 2
    return " ".join(words[:middle]), " " + " ".join(words[middle:])


def _share(exact: np.ndarray, seed: int) -> Interval:
    """A share with its 95 % interval over titles; where all agree, that of the rule of three."""
    value = float(exact.mean())
    if value in (0.0, 1.0):
        return Interval(value, max(0.0, value - 3 / len(exact)), min(1.0, value + 3 / len(exact)))
    draws = np.random.default_rng(seed).binomial(len(exact), value, _DRAWS) / len(exact)
    return Interval(value, float(np.percentile(draws, 2.5)), float(np.percentile(draws, 97.5)))


def _plain(base: str) -> Callable[[str], Sequence[int]]:
    """Text to ids as a text goes on: with what begins a text, without a chat form."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(base)
    return lambda text: list(tokenizer(text)["input_ids"])
