"""The variants of an ablation: what each leaves out or puts in another's place, and whether its predictor is trained for it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from score_rag.context.evidence import KINDS
from score_rag.errors import InputError, did_you_mean
from score_rag.evaluation.ablate.placement import Place
from score_rag.evaluation.ablate.retrieval import Retrieval
from score_rag.evaluation.ablate.segments import Form
from score_rag.pipeline.fit_predictor import OTHERS

__all__ = ["FULL", "TRAINED", "Variant", "choose", "known_names"]

TRAINED = "-trained"
"""Ends the name of a variant whose predictor is trained for it."""


@dataclass(frozen=True)
class Variant:
    """One way to be less, or other, than the full system.

    Attributes:
        name: On the command line and in the run's folder.
        group: Heading of its rows.
        told: What it is, in words.
        retrieval: Who is told is chosen so; None: by CAR.
        reranked: Whether SARE chooses among them.
        supervision: Whether SARE is taught by another source than the run's.
        hide: Kinds of evidence that are not told.
        place: Where other users stand in the prompt; None: where the prompt has them.
        form: What is told instead of other users' behaviour.
        shuffled: Whether all that comes of other users is another question's.
        trained: Whether the predictor is trained for it; otherwise the full system's is asked.
    """

    name: str
    group: str
    told: str
    retrieval: Retrieval | None = None
    reranked: bool = True
    supervision: Literal["assessment", "measured", "both"] | None = None
    hide: tuple[str, ...] = ()
    place: Place | None = None
    form: Form | None = None
    shuffled: bool = False
    trained: bool = False

    def identity(self) -> dict[str, Any]:
        """For digests: what it does, without its words."""
        return {name: value for name, value in asdict(self).items() if name not in ("name", "group", "told")}


FULL = Variant("full", "", "the system as it is")

_ASKED = (
    Variant("no-ci", "collaborative information", "nothing of other users is told", hide=OTHERS),
    Variant("shuffled", "collaborative information", "another question's, of all kinds", shuffled=True),
    Variant("random", "retrieval", "random users", retrieval="random", reranked=False),
    Variant("semantic", "retrieval", "the untuned encoder's", retrieval="semantic", reranked=False),
    Variant("collaborative", "retrieval", "the recommender's neighbours", retrieval="collaborative", reranked=False),
    Variant("bm25", "retrieval", "BM25's", retrieval="bm25", reranked=False),
    Variant("car", "retrieval", "CAR's, not reranked", reranked=False),
    Variant("sare-assessment", "reranking", "CAR + SARE taught by assessments", supervision="assessment"),
    Variant("sare-measured", "reranking", "CAR + SARE taught by measured usefulness", supervision="measured"),
    Variant("sare-both", "reranking", "CAR + SARE taught by both", supervision="both"),
    Variant("ci-first", "place in the prompt", "other users first", place="first"),
    Variant("ci-middle", "place in the prompt", "in the middle", place="middle"),
    Variant("ci-last", "place in the prompt", "last before the question", place="last"),
)
_FORMS = (
    Variant("soft-tokens", "form", "the recommender's vectors as soft tokens (CoLLM)", form="soft", trained=True),
    Variant("binary-codes", "form", "the recommender's vectors as binary codes (BinLLM)", form="codes", trained=True),
    Variant("item-evidence", "form", "items judged alike instead of users (ItemRAG)", form="items", trained=True),
)


def _removed(kind: str) -> Variant:
    return Variant(f"without-{kind}", "evidence removed", f"without {kind}", hide=(kind,))


def _trained(variant: Variant) -> Variant:
    return replace(variant, name=variant.name + TRAINED, told=f"{variant.told}; trained so", trained=True)


def known_names() -> list[str]:
    """All names that a variant can have."""
    asked = [*_ASKED, *(_removed(kind) for kind in (*KINDS, "neighbours"))]
    trained = [_trained(variant) for variant in asked if not variant.shuffled]
    return [variant.name for variant in (*asked, *_FORMS, *trained)]


def choose(names: Sequence[str], declared: Collection[str]) -> list[Variant]:
    """Variants by name, those of one group together; all that are asked, and the forms, where none is named.

    Args:
        names: `asked` and `forms` stand for all of a kind; NAME-trained for the variant NAME with a predictor trained for it.
        declared: Kinds of evidence that the prompt has, `neighbours` among them: each is removed once.

    Raises:
        InputError: There is no such variant.
    """
    removed = [_removed(kind) for kind in (*KINDS, "neighbours") if kind in declared]
    asked = [*_ASKED[:2], *removed, *_ASKED[2:]]
    sets = {"asked": asked, "forms": [*_FORMS]}
    every = {variant.name: variant for variant in (*_ASKED, *_FORMS, *(_removed(kind) for kind in (*KINDS, "neighbours")))}
    out: list[Variant] = []
    for name in names or ("asked", f"no-ci{TRAINED}", "forms"):
        base = name.removesuffix(TRAINED)
        if name in sets:
            out += sets[name]
        elif name in every:
            out.append(every[name])
        elif base != name and base in every and not every[base].shuffled:
            out.append(every[base] if every[base].trained else _trained(every[base]))
        else:
            raise InputError(f"there is no variant {name!r}", where="--variants", hint=did_you_mean(name, [*sets, *known_names()]))
    groups = list(dict.fromkeys(variant.group for variant in (*asked, *_FORMS)))
    return sorted(dict.fromkeys(out), key=lambda variant: groups.index(variant.group) if variant.group in groups else len(groups))
