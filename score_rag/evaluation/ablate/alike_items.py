"""Item evidence: instead of other users, the items most like the one in question by who judged both (after ItemRAG, arXiv 2511.15141).

ItemRAG tells what is bought together; here it is judged alike: the cosine of two items over the verdicts (+1, -1) of those who judged
both, everything from strictly before the question, without the user who asks.
"""

from __future__ import annotations

from collections.abc import Sequence

from score_rag.context.judges import Judges
from score_rag.context.question import Question
from score_rag.data.log import Item, UserLog

__all__ = ["AlikeItems"]

_SHRINK = 10.0
"""Items that few judged are alike by chance: added to the product of the norms."""


class AlikeItems:
    """Finds items judged alike.

    Args:
        judges: Of each item, by time.
        log: Training events, by user.
        catalogue: Items by id.
        top_n: Most items told.
    """

    def __init__(self, judges: Judges, log: UserLog, catalogue: dict[str, Item], *, top_n: int) -> None:
        self.judges, self.log, self.catalogue, self.top_n = judges, log, catalogue, top_n

    def nearest(self, question: Question) -> list[tuple[str, float]]:
        """At most `top_n` (item id, likeness), most alike first; those judged oppositely are not alike."""
        judged = self.judges.before(question.item_id, question.as_of, question.user_id)
        together: dict[str, float] = {}
        for user, liked in judged.items():
            verdicts = {event.item_id: event.liked for event in self.log.before(user, question.as_of)}
            for item, theirs in verdicts.items():
                if item != question.item_id:
                    together[item] = together.get(item, 0.0) + (1.0 if theirs == liked else -1.0)
        alike = {}
        for item, agreed in together.items():
            if agreed > 0:
                others = len(self.judges.before(item, question.as_of, question.user_id))
                alike[item] = agreed / ((len(judged) * others) ** 0.5 + _SHRINK)
        return sorted(alike.items(), key=lambda pair: (-pair[1], pair[0]))[: self.top_n]

    def tell(self, questions: Sequence[Question]) -> list[str]:
        """A line for each item, and what the user who asks had said of it; empty where none is known."""
        out = []
        for question in questions:
            own = {event.item_id: "liked" if event.liked else "disliked" for event in question.history}
            lines = [
                f"alike {int(min(99, 100 * likeness)):02d} {self.catalogue[item].name} {own.get(item, 'never')}\n"
                for item, likeness in self.nearest(question)
            ]
            out.append("".join(lines))
        return out
