"""Brackets around the parts of a filled-in template, made of characters that its text has not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from score_rag.context.evidence import KINDS
from score_rag.prompts import Prompt, strict_environment

if TYPE_CHECKING:
    from jinja2 import Template, nodes

__all__ = ["Brackets", "bracketed_template", "bracketed_values"]

_PRIVATE, _ROOM = 0xF0000, 1024
"""Where Unicode's private planes begin, and how many of their characters brackets may take."""
_ROLES = ("neighbours", "history", "target", *KINDS)


class Brackets:
    """Opening brackets, one a name, and the closing one.

    Args:
        text: Has none of their characters.
    """

    def __init__(self, text: str) -> None:
        self._base = _PRIVATE
        while any(self._base <= ord(letter) < self._base + _ROOM for letter in text):
            self._base += _ROOM
        self._names: list[str] = []
        self.close = chr(self._base)

    def open(self, name: str) -> str:
        """The opening bracket of a name."""
        if name not in self._names:
            self._names.append(name)
        return chr(self._base + 1 + self._names.index(name))

    def around(self, text: str, name: str) -> str:
        """A text in brackets; an empty one stays empty, for templates ask for that."""
        return f"{self.open(name)}{text}{self.close}" if text else text

    def read(self, text: str) -> tuple[str, list[tuple[str, ...]]] | None:
        """(the text without brackets, the names around each of its characters, outermost first); None where they do not match."""
        plain: list[str] = []
        around: list[tuple[str, ...]] = []
        stack: tuple[str, ...] = ()
        for letter in text:
            place = ord(letter) - self._base
            if not 0 <= place < _ROOM:
                plain.append(letter)
                around.append(stack)
            elif place:
                stack = (*stack, self._names[place - 1])
            elif stack:
                stack = stack[:-1]
            else:
                return None
        return None if stack else ("".join(plain), around)


class _Bracketed:
    """Stands for an object in a template: whatever text it gives is in brackets."""

    def __init__(self, given: Any, name: str, brackets: Brackets) -> None:
        self._given: Any = given
        self._name = name
        self._brackets = brackets

    def __getattr__(self, attribute: str) -> Any:
        return _bracketed(getattr(self._given, attribute), self._name, self._brackets)

    def __getitem__(self, key: Any) -> Any:
        return _bracketed(self._given[key], self._name, self._brackets)

    def __str__(self) -> str:
        return self._brackets.around(str(self._given), self._name)


def _bracketed(value: Any, name: str, brackets: Brackets) -> Any:
    if isinstance(value, str):
        return brackets.around(value, name)
    if isinstance(value, Mapping):
        return {key: _bracketed(one, name, brackets) for key, one in value.items()}
    if isinstance(value, list) or type(value) is tuple:
        return [_bracketed(one, name, brackets) for one in value]
    return value if value is None or isinstance(value, bool | int | float) or callable(value) else _Bracketed(value, name, brackets)


def bracketed_values(values: Mapping[str, Any], brackets: Brackets) -> dict[str, Any]:
    """A question's values, all texts in them in brackets of what they say."""
    out: dict[str, Any] = {}
    for name, value in values.items():
        if name == "neighbours":
            out[name] = [_bracketed(one, f"neighbour {place}", brackets) for place, one in enumerate(value, start=1)]
        elif isinstance(value, Mapping):
            out[name] = {key: _bracketed(one, f"{name}.{key}", brackets) for key, one in value.items()}
        else:
            out[name] = _bracketed(value, name, brackets)
    return out


def bracketed_template(prompt: Prompt, brackets: Brackets, neighbours: Sequence[Any]) -> Template:
    """The prompt's template with brackets around what it writes of each variable, and around its loops over users and history.

    Args:
        neighbours: The users that it will be given; others are taken for the one that they are equal to.
    """
    from jinja2 import Template

    environment = strict_environment()

    def opening(other: Any) -> str:
        if isinstance(other, _Bracketed):
            return brackets.open(other._name)
        place = next((place for place, one in enumerate(neighbours, start=1) if one is other), None)
        return brackets.open("neighbours" if place is None else f"neighbour {place}")

    environment.globals["score_rag_opening"] = opening
    tree = environment.parse(prompt.body)
    tree.body = _walk(tree.body, {name: name for name in _ROLES}, brackets)
    tree.set_environment(environment)
    return Template.from_code(environment, environment.compile(tree), environment.globals)


def _walk(body: Sequence[nodes.Node], scope: dict[str, str], brackets: Brackets) -> list[nodes.Node]:
    """Statements with brackets. Macros and blocks that capture text stay as they are: values bring their own brackets into them.

    Args:
        scope: Names of the template that hold something of one variable, and of which.
    """
    from jinja2 import nodes

    out: list[nodes.Node] = []
    for node in body:
        if isinstance(node, nodes.Output):
            written: list[nodes.Node] = []
            for child in node.nodes:
                role = None if isinstance(child, nodes.TemplateData) else _role(child, scope)
                written += [child] if role is None else [_data(brackets.open(role)), child, _data(brackets.close)]
            node.nodes = written  # type: ignore[assignment]  # expressions all
        elif isinstance(node, nodes.For):
            _walk_loop(node, scope, brackets)
        elif isinstance(node, nodes.If):
            role = _role(node.test, scope)
            node.body = _walk(node.body, dict(scope), brackets)
            node.elif_ = _walk(node.elif_, dict(scope), brackets)  # type: ignore[assignment]  # each is an If, and stays one
            node.else_ = _walk(node.else_, dict(scope), brackets)
            if role is not None and role not in ("neighbours", "history") and not node.elif_:
                out += [_output(brackets.open(role)), node, _output(brackets.close)]
                continue
        elif isinstance(node, nodes.Assign) and isinstance(node.target, nodes.Name):
            role = _role(node.node, scope)
            scope.pop(node.target.name, None)
            scope |= {} if role is None else {node.target.name: role}
        out.append(node)
    return out


def _walk_loop(node: nodes.For, scope: dict[str, str], brackets: Brackets) -> None:
    from jinja2 import nodes

    role = _role(node.iter, scope)
    names = [found.name for found in (node.target, *node.target.find_all(nodes.Name)) if isinstance(found, nodes.Name)]
    node.else_ = _walk(node.else_, dict(scope), brackets)
    if role == "neighbours" and isinstance(node.target, nodes.Name):
        call = nodes.Call(nodes.Name("score_rag_opening", "load"), [nodes.Name(node.target.name, "load")], [], None, None)
        node.body = [nodes.Output([call]), *node.body, _output(brackets.close)]
    elif role in ("neighbours", "history"):
        node.body = [_output(brackets.open(role)), *node.body, _output(brackets.close)]
    else:
        inside = {name: known for name, known in scope.items() if name not in names}
        node.body = _walk(node.body, inside | ({} if role is None else dict.fromkeys(names, role)), brackets)


def _role(node: nodes.Node, scope: Mapping[str, str]) -> str | None:
    """The one variable that an expression speaks of; None where it is none, or several."""
    from jinja2 import nodes

    found = {scope[name.name] for name in (node, *node.find_all(nodes.Name)) if isinstance(name, nodes.Name) and name.name in scope}
    return next(iter(found)) if len(found) == 1 else None


def _data(text: str) -> nodes.TemplateData:
    from jinja2 import nodes

    return nodes.TemplateData(text)


def _output(text: str) -> nodes.Output:
    from jinja2 import nodes

    return nodes.Output([_data(text)])
