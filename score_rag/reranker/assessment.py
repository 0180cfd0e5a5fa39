"""What the assessor is asked, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, field_validator

from score_rag.data.log import Event
from score_rag.prompts import Prompt

__all__ = ["Assessment", "AssessmentRequest", "messages"]


class Assessment(BaseModel):
    """What the assessor answers.

    Attributes:
        characteristics: Of other users' behaviour that would help: genres, titles, makers, eras, styles.
        reason: Why, in a sentence or two.
    """

    model_config = ConfigDict(extra="ignore", str_strip_whitespace=True)

    characteristics: list[str] = Field(min_length=1, max_length=12)
    reason: str = ""

    @field_validator("characteristics")
    @classmethod
    def _say_something(cls, found: list[str]) -> list[str]:
        said = [one for one in found if one]
        if not said:
            raise ValueError("all are empty")
        return said

    def text(self) -> str:
        """The assessment as one text, for comparing with behaviours."""
        return "; ".join(self.characteristics)


@dataclass(frozen=True)
class AssessmentRequest:
    """One question to assess: the event behind it, its history and item in words."""

    event: Event
    history: str
    target: str

    @property
    def user_id(self) -> str:
        return self.event.user_id

    @property
    def item_id(self) -> str:
        return self.event.item_id

    @property
    def as_of(self) -> int:
        return self.event.timestamp

    @property
    def where(self) -> str:
        """For messages."""
        return f"user {self.user_id}, item {self.item_id}"


def messages(request: AssessmentRequest, prompt: Prompt) -> list[dict[str, str]]:
    """The conversation that asks for an assessment."""
    return [{"role": "user", "content": prompt.render(history=request.history, target=request.target)}]
