"""`score-rag doctor`: what this machine has, and what a hub or a key would add."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from score_rag.cli.options import Json, Set

if TYPE_CHECKING:
    from score_rag.audit.injection import Injection

__all__ = ["doctor", "examine"]

_PACKAGES = (
    "llama-index-core", "llama-index-workflows", "chromadb", "polars", "pydantic", "onnxruntime", "tokenizers", "torch", "transformers",
    "sentence-transformers", "peft", "litellm", "typer", "rich",
)  # fmt: skip
_KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "MISTRAL_API_KEY", "OPENROUTER_API_KEY", "HF_TOKEN")


def doctor(
    engine: Annotated[str | None, typer.Option(metavar="URL", help="Check a scoring server instead: parity and prefix cache.")] = None,
    engine_kind: Annotated[str, typer.Option(help="What the server is: vllm, sglang or openai.")] = "vllm",
    engine_model: Annotated[str | None, typer.Option(help="The model's name at the server, where it serves several.")] = None,
    injection: Annotated[bool, typer.Option("--injection", help="Attack a finished run with hostile titles instead.")] = False,
    contamination: Annotated[
        bool, typer.Option("--contamination", help="Ask a finished run's base model to complete the catalogue's titles instead.")
    ] = False,
    pipeline: Annotated[str, typer.Option(help="The finished run that is compared with the server, attacked or probed.")] = "sample",
    set_: Set = None,
    json: Json = False,
) -> None:
    """Show installed versions, bundled models, and which model hub or API keys are available; or check a scoring server, or a run."""
    if injection:
        _attack(pipeline, set_ or [], json)
        return
    if contamination:
        from score_rag.cli.doctor_contamination import probe

        probe(pipeline, set_ or [], json=json)
        return
    if engine is not None:
        _check_server(engine, engine_kind, engine_model, pipeline, json)
        return
    found = examine()
    if json:
        from score_rag.cli.screen import print_json

        print_json(found)
    else:
        show(found)
    if not found["ok"]:
        raise typer.Exit(1)


def _check_server(url: str, kind: str, model: str | None, pipeline: str, json: bool) -> None:
    from score_rag.cli.doctor_engine import examine_engine, show_engine

    found = examine_engine(url, kind, pipeline=pipeline, model=model)
    if json:
        from score_rag.cli.screen import print_json

        print_json(found)
    else:
        show_engine(found)
    if not found["ok"]:
        raise typer.Exit(1)


def _attack(pipeline: str, overrides: list[str], json: bool) -> None:
    from dataclasses import asdict

    from score_rag.audit.injection import attack_run
    from score_rag.cli.screen import bars, print_json
    from score_rag.pipeline.config import load_pipeline
    from score_rag.pipeline.run import Run

    run = Run.open(load_pipeline(pipeline, overrides=overrides), stages=("predictor",))
    with bars(quiet=json) as report:
        found = attack_run(run, report=report)
    if json:
        print_json({"ok": found.ok, **asdict(found)})
    else:
        _show_attack(found)
    if not found.ok:
        raise typer.Exit(1)


def _show_attack(found: Injection) -> None:
    from rich.markup import escape

    from score_rag.cli.screen import console

    screen = console()
    screen.print(f"{found.payloads} hostile titles, each on a question of its own")
    screen.print(f"  break-outs (a line more, or a sign with a meaning of its own): {found.break_outs}")
    screen.print(f"  P of the attacked item: mean change {found.mean_change:.4f} (aim at most .02), largest {found.largest_change:.4f}")
    screen.print(f"  the title that changed it most: {escape(found.worst)}", soft_wrap=True)
    share = f"{found.moved:.1%} of {found.rankings} rankings"
    screen.print(f"  rank among {found.ranked}: moved by more than {found.far} places in {share} (aim under 2 %)")
    screen.print("[green]held[/]" if found.ok else "[red]hostile titles change what this run says: see above[/]")


def examine() -> dict[str, Any]:
    """Versions, bundled weights, hub, keys (set or not; never their values), writability."""
    import os
    import sys
    from importlib.metadata import PackageNotFoundError, version

    from score_rag.cli.remedies import advice
    from score_rag.encoders.encoder import find_encoder
    from score_rag.errors import ModelError
    from score_rag.files import HOME, at_home, home
    from score_rag.pipeline.config import pipeline_folders
    from score_rag.pipeline.usage import cores
    from score_rag.prompts import prompt_folders
    from score_rag.settings import BUNDLED

    packages: dict[str, str | None] = {}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = None
    try:
        find_encoder(BUNDLED)
        bundled = "all-MiniLM-L6-v2, digest as expected"
    except ModelError as error:
        bundled = f"missing: {error.what} ({advice(error)})"
    cache = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface")) / "hub"
    return {
        "home": str(home().absolute()),
        "home_by": f"--home or {HOME}" if os.environ.get(HOME) else "the working directory",
        "places": {
            "prompts": [str(folder.absolute()) for folder in prompt_folders()],
            "pipelines": [str(folder.absolute()) for folder in pipeline_folders()],
            "runs": [str(at_home("runs").absolute())],
        },
        "gpus": gpus(),
        "ok": all(packages.values()) and not bundled.startswith("missing") and sys.version_info >= (3, 11),
        "python": sys.version.split()[0],
        "packages": packages,
        "bundled_encoder": bundled,
        "hub_offline": os.environ.get("HF_HUB_OFFLINE", "0") in ("1", "true", "TRUE"),
        "hub_models_on_disk": sorted(p.name.removeprefix("models--").replace("--", "/") for p in cache.glob("models--*"))
        if cache.is_dir()
        else [],
        "keys": {name: bool(os.environ.get(name)) for name in _KEYS},
        "threads": os.environ.get("OMP_NUM_THREADS", f"one a core ({cores()})"),
        "runs_writable": os.access(at_home("runs") if at_home("runs").is_dir() else home(), os.W_OK),
    }


def gpus() -> list[str]:
    """Names of the accelerators that torch can train and score on; none where there are none, or no torch."""
    try:
        import torch
    except ImportError:
        return []
    found = []
    for place in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        facts = torch.cuda.get_device_properties(place)
        found.append(f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB (cuda:{place})")
    return found


def show(found: dict[str, Any]) -> None:
    """For a person."""
    from rich.markup import escape

    from score_rag.cli.screen import console

    screen = console()
    screen.print(f"home: {escape(found['home'])}, by {found['home_by']}; in order of who wins:", soft_wrap=True)
    for kind, folders in found["places"].items():
        screen.print(f"  {kind:<24} {escape(', '.join(folders))}", soft_wrap=True)
    screen.print(f"GPU: {escape('; '.join(found['gpus'])) or 'none that torch can use; everything runs on the CPU'}")
    screen.print(f"python {found['python']}, threads: {found['threads']}")
    for name, number in found["packages"].items():
        screen.print(f"  {name:<24} {number or '[red]missing[/]'}")
    screen.print(f"bundled encoder: {escape(found['bundled_encoder'])}")
    screen.print("bundled assessor: score-rag/offline (rule-based); bundled Llama: trained from scratch on each run's text")
    models = escape(", ".join(found["hub_models_on_disk"])) or "none"
    screen.print(
        f"hub: {'offline by HF_HUB_OFFLINE' if found['hub_offline'] else 'asked when a pipeline names a hub model'}; on disk: {models}"
    )
    keys = ", ".join(f"{name} {'set' if there else 'not set'}" for name, there in found["keys"].items())
    screen.print(f"keys for LiteLLM assessors: {keys}")
    screen.print(f"runs folder writable: {'yes' if found['runs_writable'] else 'no'}")
    screen.print("[green]ready[/]" if found["ok"] else "[red]something is missing: see above[/]")
