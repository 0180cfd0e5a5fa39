"""What the cross-encoder reads of a question and of another user: two prompt files, kept beside its weights."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from score_rag.errors import PromptError
from score_rag.prompts import Prompt, find_prompt, read_prompt

__all__ = ["PairTexts"]

_QUESTION, _BEHAVIOUR = "question.md", "behaviour.md"
_ALLOWED = {"question": {"history", "target"}, "behaviour": {"behaviour", "verdict", "target"}}


@dataclass(frozen=True)
class PairTexts:
    """Writes both sides of a pair.

    Attributes:
        question: Prompt with the variables `history` and `target`, or one of them.
        behaviour: Prompt with the variables `behaviour`, `verdict` and `target`, or some of them.

    Raises:
        PromptError: A prompt declares other variables, or not the one that it is about.
    """

    question: Prompt
    behaviour: Prompt

    def __post_init__(self) -> None:
        for side, needed in (("question", "history"), ("behaviour", "behaviour")):
            prompt: Prompt = getattr(self, side)
            if needed not in prompt.variables or set(prompt.variables) - _ALLOWED[side]:
                raise PromptError(
                    f"prompt {prompt.name!r} cannot tell the cross-encoder a {side}",
                    where=prompt.path,
                    expected=f"{needed}, and any of {', '.join(sorted(_ALLOWED[side] - {needed}))}",
                    found=", ".join(sorted(prompt.variables)) or "no variables",
                )

    @classmethod
    def shipped(cls, question: str = "rerank", behaviour: str = "rerank_behaviour") -> PairTexts:
        """By names of prompts.

        Raises:
            InputError: There is no such prompt.
        """
        return cls(find_prompt(question), find_prompt(behaviour))

    @classmethod
    def read(cls, folder: Path) -> PairTexts:
        """What `write` laid beside a cross-encoder; the shipped ones beside a cross-encoder of your own."""
        if not (folder / "prompts" / _QUESTION).is_file():
            return cls.shipped()
        return cls(read_prompt(folder / "prompts" / _QUESTION), read_prompt(folder / "prompts" / _BEHAVIOUR))

    def write(self, folder: Path) -> None:
        """Lay both prompts beside the weights, so that serving says things in the words of training."""
        (folder / "prompts").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.question.path, folder / "prompts" / _QUESTION)
        shutil.copyfile(self.behaviour.path, folder / "prompts" / _BEHAVIOUR)

    def ask(self, history: str, target: str | None) -> str:
        """The question.

        >>> PairTexts.shipped().ask("Liked: Ronin (1998).", "Heat (1995). Crime.")
        'Will this user like Heat (1995). Crime. Liked: Ronin (1998).'
        """
        return _fill(self.question, history=history, target=target or "")

    def tell(self, behaviour: str, *, verdict: bool | None = None, target: str | None = None) -> str:
        """Another user.

        Args:
            behaviour: The retrieved document.
            verdict: Whether they liked the item, as known before the question; None where it is not known.

        >>> PairTexts.shipped().tell("Liked: Ronin (1998).", verdict=False)
        'Disliked it. Liked: Ronin (1998).'
        """
        said = "" if verdict is None else "liked" if verdict else "disliked"
        return _fill(self.behaviour, behaviour=behaviour, verdict=said, target=target or "")


def _fill(prompt: Prompt, **values: str) -> str:
    return prompt.render(**{name: value for name, value in values.items() if name in prompt.variables}).strip()
