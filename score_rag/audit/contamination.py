"""Whether a predictor's base knows the catalogue from elsewhere: does it complete its titles, and what does it lose without names?

A language model that has read a public data set may answer from memory, and what it gains over others on such data says little of other
data. Titles are cut in the middle, after some other titles of the catalogue; the model's likeliest continuation is compared with the rest.
Two controls say what can be guessed: made-up titles of the same words, and the rest of another title after the same beginning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from score_rag.audit.titles import Completed, complete_titles, halves, made_up_titles, plain_text_encoder
from score_rag.data.interactions import event_rows
from score_rag.errors import DataError
from score_rag.evaluation.rows import choose_rows
from score_rag.metrics.bootstrap import Bootstrap, Interval
from score_rag.progress import Report, silent

if TYPE_CHECKING:
    from score_rag.pipeline.run import Run

__all__ = ["Contamination", "probe_run"]

_SHOWN = 8
"""Titles of the catalogue that stand before each question, so that the model knows what is being listed."""
_FEWEST = 10
_DRAWS = 2000


@dataclass(frozen=True)
class Contamination:
    """What was found.

    Attributes:
        base: The model.
        own: Whether it was trained on this very catalogue, by this run: then it remembers its training, which is no contamination.
        titles: How many were tried.
        exact: Share of the catalogue's titles that are completed to the letter, with its 95 % interval over titles.
        exact_made_up: The same of made-up titles.
        told_apart: Share of titles that their own rest fits better than another title's rest, equal fits counting half: .5 where nothing
            is known.
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

    def lines(self) -> list[str]:
        """What was measured, a line each."""
        shares = (("titles of the catalogue", self.exact), ("made-up titles of the same words", self.exact_made_up))
        out = [
            f"{told}: {share.value:.1%} completed to the letter (95 % {share.low:.1%} to {share.high:.1%}; {self.titles} tried)"
            for told, share in shares
        ]
        out.append(f"a title's own rest fits better than another's: {self.told_apart:.3f} (.5 knows nothing)")
        if self.auc is not None and self.auc_loss is not None:
            loss = self.auc_loss
            out.append(
                f"AUC {self.auc:.4f}; without the items' names it loses {loss.value:+.4f} (95 % {loss.low:+.4f} to {loss.high:+.4f}), "
                f"{self.events:,} events"
            )
        return out

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """What `to_dict` gave."""
        facts = {name: value[name] for name in cls.__dataclass_fields__}
        read = {name: Interval(**facts[name]) for name in ("exact", "exact_made_up", "auc_loss") if facts[name] is not None}
        return cls(**{**facts, **read})

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "knows": self.knows, "warnings": self.warnings()}


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
    model, encode = load_causal_model(base, dtype=facts["dtype"]), plain_text_encoder(base)

    def complete(some: Sequence[str], rests: Sequence[str] | None = None) -> Completed:
        cut = [halves(title) for title in some]
        own = [rest for _, rest in cut] if rests is None else rests
        return complete_titles(model, encode, [beginning for beginning, _ in cut], own, context=context, report=report)

    true, made = complete(asked), complete(made_up_titles(asked, seed=run.pipeline.seed))
    others = complete(asked, [halves(title)[1] for title in [*asked[1:], asked[0]]])
    found = Contamination(
        "the bundled base" if facts["bundled"] else str(facts["base"]),
        bool(facts["bundled"]),
        len(asked),
        _share(true.exact, run.pipeline.seed),
        _share(made.exact, run.pipeline.seed),
        float(np.mean((true.fit > others.fit) + 0.5 * (true.fit == others.fit))),
    )
    return found if rows is None else _without_names(run, found, rows, report)


def _without_names(run: Run, found: Contamination, rows: int, report: Report) -> Contamination:
    frame = choose_rows(run.interactions, run.pipeline.evaluation.split, rows, seed=run.pipeline.seed)
    questions = run.finder.questions(list(event_rows(frame)))
    contexts, told = run.write(questions, report=report)
    bare = run.writer.write(questions, contexts, hide=("name",))
    scores = [np.array([a.probability for a in run.predictor.score([one.text for one in texts], report=report)]) for texts in (told, bare)]
    bootstrap = Bootstrap(frame["user_id"].to_list(), frame["label"].to_numpy(), seed=run.pipeline.seed)
    (own, draws), (theirs, other) = (bootstrap.auc(values) for values in scores)
    return replace(found, events=len(frame), auc=own, auc_loss=bootstrap.interval(own - theirs, draws - other))


def _share(exact: np.ndarray, seed: int) -> Interval:
    """A share with its 95 % interval over titles; where all agree, that of the rule of three."""
    value = float(exact.mean())
    if value in (0.0, 1.0):
        return Interval(value, max(0.0, value - 3 / len(exact)), min(1.0, value + 3 / len(exact)))
    draws = np.random.default_rng(seed).binomial(len(exact), value, _DRAWS) / len(exact)
    return Interval(value, float(np.percentile(draws, 2.5)), float(np.percentile(draws, 97.5)))
