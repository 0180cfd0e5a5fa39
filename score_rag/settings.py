"""What all rooms' settings share: frozen and strict models, and what each setting says about itself.

A room states its settings once, in a model of its own (`score_rag/<room>/settings.py`): name, type, default, meaning, and which stages
of a pipeline read it. Pipeline files, functions, documentation and the runner take all of that from there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from score_rag.errors import InputError, did_you_mean

__all__ = [
    "BUNDLED",
    "FrozenMapping",
    "ModelName",
    "OpenSettings",
    "ReadBy",
    "Settings",
    "also",
    "location",
    "misfits",
    "mistake",
    "of_form",
    "serving",
]

K = TypeVar("K")
V = TypeVar("V")


class _FrozenDict(dict[K, V]):
    """A dictionary that refuses changes, all the way down."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("settings are frozen: make changed ones with settings.changed(...)")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)

    def copy(self) -> Self:
        return self


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _FrozenDict({name: _frozen(inner) for name, inner in value.items()})
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


FrozenMapping = Annotated[Mapping[K, V], AfterValidator(_frozen)]
"""A mapping that stays as it was read."""

BUNDLED = "bundled"
"""The name of a model that comes with score-rag, where a hub name or a folder may stand."""

ModelName = Annotated[str, AfterValidator(lambda name: BUNDLED if name == "embedded" else name)]
"""`bundled`, a hub name or a folder; `embedded`, which earlier versions wrote, means `bundled`."""


@dataclass(frozen=True)
class ReadBy:
    """Which stages read a setting: those that a change of it makes stale first (all that follow them come after).

    Attributes:
        own: Whether the stage of the setting's own section does.
        feeds: Other stages that do.
        kind: `serving`, `location`, or nothing.
    """

    own: bool = True
    feeds: tuple[str, ...] = ()
    kind: str = ""


def serving(*, feeds: Sequence[str] = ()) -> ReadBy:
    """Marks a setting of how a trained part is used, or how fast: its own stage does not learn from it.

    Args:
        feeds: Later stages that learn from what it changes.
    """
    return ReadBy(own=False, feeds=tuple(feeds), kind="serving")


def location() -> ReadBy:
    """Marks a setting that says where something is: no part of the experiment. What the files say is, where they are inputs."""
    return ReadBy(own=False, kind="location")


def also(*stages: str, own: bool = True) -> ReadBy:
    """Marks a setting that these stages read too (or, without `own`, they alone)."""
    return ReadBy(own=own, feeds=stages)


def of_form(pattern: str, told: str) -> AfterValidator:
    """Marks a text setting that has a form.

    Args:
        pattern: The whole text fits this regular expression.
        told: What is said, in words, of a text that does not.
    """

    def check(value: Any) -> Any:
        if value is not None and re.fullmatch(pattern, value) is None:
            raise ValueError(told)
        return value

    return AfterValidator(check)


class Settings(BaseModel):
    """A room's settings: frozen all the way down, unknown names refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    def changed(self, **changes: Any) -> Self:
        """The same settings but for some, checked as a whole.

        Raises:
            InputError: Unknown names or wrong values, all of them.
        """
        return type(self).of(**{**{name: getattr(self, name) for name in self.names()}, **changes}) if changes else self

    @classmethod
    def of(cls, **values: Any) -> Self:
        """`cls(**values)`, where mistakes are told in this library's words.

        Raises:
            InputError: Unknown names or wrong values, all of them.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            told = "; ".join(mistake(one, list(cls.model_fields)) for one in error.errors())
            raise InputError("these settings do not fit", where=cls.__name__, found=told) from error

    def names(self) -> list[str]:
        """Names of all settings."""
        return [*type(self).model_fields, *(self.model_extra or {})]


class OpenSettings(Settings):
    """Settings to which a registered part adds its own, side by side with those that are stated here."""

    model_config = ConfigDict(extra="allow", frozen=True, validate_default=True)

    @classmethod
    def own_model(cls, values: Mapping[str, Any]) -> type[Settings] | None:
        """The part's own model: its defaults and checks hold for names that both have. None: nothing is known of such a part."""
        raise NotImplementedError

    def own(self) -> Settings:
        """The part's own settings.

        Raises:
            ValueError: There is no such part.
        """
        model = self.own_model({name: getattr(self, name) for name in self.names()})
        if model is None:
            raise ValueError("there is no such part")
        given = {name: getattr(self, name) for name in self.names() if name in model.model_fields}
        return model(**{name: value for name, value in given.items() if value is not None or not model.model_fields[name].is_required()})

    @model_validator(mode="wrap")
    @classmethod
    def _both(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(values, Mapping):
            return handler(values)
        model = cls.own_model(values)
        stated, found = cls.model_fields, list[InitErrorDetails]()
        given = {name: value for name, value in values.items() if name in stated}
        for name in values.keys() - stated.keys():
            if model is not None and name not in model.model_fields:
                hint = did_you_mean(name, [*stated, *model.model_fields])
                message = PydanticCustomError("unknown_setting", "{told}", {"told": f"unknown key; {hint}"})
                found.append(InitErrorDetails(type=message, loc=(name,), input=values[name]))
        if model is not None:
            mine = {name: values[name] for name in values if name in model.model_fields}
            try:
                own = model.model_validate({name: value for name, value in mine.items() if value is not None or name not in stated})
                given = {**{name: getattr(own, name) for name in model.model_fields if name not in mine}, **given}
                given |= {name: getattr(own, name) for name in mine.keys() - stated.keys()}
            except ValidationError as error:
                found += _details(error)
        try:
            made = handler(given)
        except ValidationError as error:
            known = [line["loc"] for line in found]
            found += [line for line in _details(error) if line["loc"] not in known]
        if found:
            raise ValidationError.from_exception_data(cls.__name__, found)
        return made


def mistake(error: Any, choices: Sequence[str]) -> str:
    """One line of a pydantic error: where, what, and what stood there."""
    name = ".".join(map(str, error["loc"])) or "together"
    if error["type"] == "extra_forbidden":
        return f"{name}: unknown key; {did_you_mean(str(error['loc'][-1]), choices)}"
    said = error["msg"].removeprefix("Value error, ")
    value = error.get("input")
    if error["type"] == "literal_error":
        choices_of = re.findall(r"'([^']*)'", error["ctx"]["expected"])
        said += f"; {did_you_mean(str(value), choices_of)}"
    # A whole section, or a cross-check, says nothing that the message does not.
    silent = error["type"] in ("missing", "unknown_setting", "misfit") or isinstance(value, dict | BaseModel)
    return f"{name}: {said}" + ("" if silent else f", found {value!r}")


def misfits(found: Mapping[str, str]) -> ValidationError:
    """The error of settings that are each right and do not fit together, all of them at once: dotted names with what is wrong."""
    lines = [
        InitErrorDetails(type=PydanticCustomError("misfit", "{told}", {"told": told}), loc=tuple(name.split(".")), input=None)
        for name, told in found.items()
    ]
    return ValidationError.from_exception_data("settings", lines)


def _details(error: ValidationError) -> list[InitErrorDetails]:
    return [_detail(line) for line in error.errors()]


def _detail(line: Any) -> InitErrorDetails:
    if line["type"] in ("unknown_setting", "misfit"):
        kind = PydanticCustomError(line["type"], "{told}", {"told": line["msg"]})
        return InitErrorDetails(type=kind, loc=line["loc"], input=line["input"])
    return InitErrorDetails(type=line["type"], loc=line["loc"], input=line["input"], ctx=line.get("ctx", {}))
