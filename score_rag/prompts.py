"""Prompts are Markdown files that people edit: a YAML head that declares the variables, then a strict Jinja template.

Strict means: a variable that the head does not declare, a declared one that is not given, and a given one that is not declared are
errors, never silently empty. Whitespace comes out byte for byte as written (block tags on a line of their own leave no line behind).
A file in the home's `prompts/` folder (see `score_rag.files.home`) wins over the one shipped with the package.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from score_rag.errors import Consult, InputError, PromptError, did_you_mean
from score_rag.files import at_home, digest_text, named_file, shipped_folder

if TYPE_CHECKING:
    from jinja2 import Template
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from llama_index.core.prompts import RichPromptTemplate

__all__ = ["Prompt", "find_prompt", "prompt_folders", "prompt_names", "read_prompt", "strict_environment"]

_HEAD = "---\n"


@dataclass(frozen=True)
class Prompt:
    """One prompt file, checked.

    Attributes:
        name: File name without `.md`.
        path: Where it was read.
        description: What it is for, from its head.
        variables: Declared variables and what each holds, from its head.
        body: The template text.
        sha256: Digest of the whole file.
        first_line: The line of the file that the body begins on.
    """

    name: str
    path: Path
    description: str
    variables: dict[str, str]
    body: str
    sha256: str = field(repr=False)
    first_line: int = 1

    @cached_property
    def _template(self) -> Template:
        return _compiled(self.body)

    def render(self, **values: Any) -> str:
        """The prompt with its variables filled in.

        Raises:
            PromptError: A variable is missing or unknown, or the template fails on what it was given.
        """
        from jinja2 import TemplateError

        missing, unknown = set(self.variables) - set(values), set(values) - set(self.variables)
        if missing or unknown:
            raise PromptError(
                f"prompt {self.name!r} was given the wrong variables",
                where=self.path,
                expected=", ".join(sorted(self.variables)),
                found=", ".join(sorted(values)) or "none",
            )
        try:
            return self._template.render(**values)
        except (TemplateError, TypeError, ValueError, AttributeError, ArithmeticError, LookupError) as error:
            line = _template_line(error)
            raise PromptError(
                f"prompt {self.name!r} cannot be filled in",
                where=self.path if line is None else f"{self.path}, line {self.first_line + line - 1}",
                found=str(error),
                remedy=Consult("prompt", self.name),
            ) from error

    def as_llama_index(self) -> RichPromptTemplate:
        """The same text as a LlamaIndex template, for apps that pass templates around."""
        from llama_index.core.prompts import RichPromptTemplate

        return RichPromptTemplate(self.body)


def strict_environment() -> ImmutableSandboxedEnvironment:
    """What every prompt is filled in by."""
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=False, autoescape=False
    )


@lru_cache(maxsize=256)
def _compiled(body: str) -> Template:
    """A template, made once in a process: compiling takes longer than filling in."""
    return strict_environment().from_string(body)


@lru_cache(maxsize=256)
def _used(body: str) -> frozenset[str]:
    """Names that a template reads from outside.

    Raises:
        TemplateSyntaxError: It does not parse.
    """
    from jinja2 import meta
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return frozenset(meta.find_undeclared_variables(ImmutableSandboxedEnvironment().parse(body)))


@lru_cache(maxsize=256)
def _head(text: str) -> Any:
    """What a head's YAML says; who reads it must not change it.

    Raises:
        YAMLError: It is not YAML.
    """
    import yaml

    return yaml.safe_load(text)


def _template_line(error: Exception) -> int | None:
    """The line of a template that an error came from; None where it came from elsewhere."""
    found, step = None, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == "<template>":
            found = step.tb_lineno
        step = step.tb_next
    return found


def prompt_folders(extra: Path | str | None = None) -> list[Path]:
    """Where prompts are looked for, first match wins: `extra`, `prompts/` in the home, the shipped ones."""
    folders = [Path(extra)] if extra is not None else []
    for folder in (at_home("prompts"), shipped_folder("prompts")):
        if all(folder.resolve() != known.resolve() for known in folders):
            folders.append(folder)
    return folders


def prompt_names(folders: Sequence[Path] | None = None) -> list[str]:
    """Names of all prompts that can be found."""
    return sorted({file.stem for folder in folders or prompt_folders() for file in folder.glob("*.md")})


def find_prompt(name: str, folders: Sequence[Path] | None = None) -> Prompt:
    """The prompt called `name` (or at that path), from the first folder that has it.

    Raises:
        InputError: No folder has it.
        PromptError: The file is malformed.
    """
    if name.endswith(".md") and Path(name).is_file():
        return read_prompt(name)
    for folder in folders or prompt_folders():
        if (found := named_file(folder, name, ".md")) is not None:
            return read_prompt(found)
    raise InputError(f"there is no prompt {name!r}", hint=did_you_mean(name, prompt_names(folders)), remedy=Consult("prompts"))


def read_prompt(path: Path | str) -> Prompt:
    """Read and check one prompt file.

    Raises:
        PromptError: No head, a head that is not YAML, a template that does not compile, or an undeclared variable.
    """
    import yaml
    from jinja2 import TemplateSyntaxError

    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise PromptError("a prompt file is not UTF-8", where=path, found=str(error)) from error
    _, _, rest = text.partition(_HEAD)
    head_text, closed, body = rest.partition("\n" + _HEAD)
    if not text.startswith(_HEAD) or not closed:
        raise PromptError("a prompt file has no head", where=path, expected="'---', then description and variables in YAML, then '---'")
    try:
        head = _head(head_text)
    except yaml.YAMLError as error:
        raise PromptError("a prompt's head is not valid YAML", where=path, found=str(error)) from error
    if not isinstance(head, dict) or set(head) != {"description", "variables"} or not isinstance(head["variables"], dict):
        raise PromptError(
            "a prompt's head has the wrong keys",
            where=path,
            expected="description: a text; variables: a mapping of name to meaning",
            found=", ".join(head) if isinstance(head, dict) else type(head).__name__,
        )
    try:
        used = _used(body)
    except TemplateSyntaxError as error:
        line = (error.lineno or 0) + head_text.count("\n") + 3
        raise PromptError("a prompt's template is malformed", where=f"{path}, line {line}", found=error.message) from error
    variables = {str(key): str(value) for key, value in head["variables"].items()}
    strangers = sorted(used - set(variables))
    if strangers:
        raise PromptError(
            f"a prompt uses an undeclared variable: {', '.join(strangers)}",
            where=path,
            expected=f"one of {', '.join(variables)}",
            hint=did_you_mean(strangers[0], variables),
        )
    before = len(text) - len(body.lstrip("\n"))
    first_line = text[:before].count("\n") + 1
    return Prompt(path.stem, path, str(head["description"]), variables, body.strip("\n"), digest_text(text), first_line)
