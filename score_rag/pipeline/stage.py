"""What a stage is: a name, the work, and all that its outcome depends on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from score_rag.progress import Report, silent
from score_rag.settings import Settings

if TYPE_CHECKING:
    from score_rag.data.interactions import Interactions
    from score_rag.pipeline.config import Pipeline
    from score_rag.prompts import Prompt

__all__ = ["Stage", "StageContext", "kind_of_labels"]


@dataclass(frozen=True)
class StageContext:
    """What a stage is given.

    Attributes:
        folder: Gives the folder of a finished earlier stage.
        prompt: Gives a prompt by name.
        scratch: A folder that outlives killed runs.
        due: Names of the stages that this run is to bring about, those that are finished among them.
    """

    pipeline: Pipeline
    folder: Callable[[str], Path]
    prompt: Callable[[str], Prompt]
    scratch: Path
    report: Report = silent
    due: tuple[str, ...] = ()

    @property
    def seed(self) -> int:
        return self.pipeline.seed

    def end_training(self, checkpoints: Path) -> None:
        """Remove a finished training's checkpoints; its logs (`report_to: tensorboard`) move to `logs/` beside the run's stages.

        Last of all in a stage: until then a killed run goes on from the checkpoints.
        """
        import shutil

        for found in sorted(checkpoints.rglob("runs")):
            kept = self.scratch.parent / "logs" / found.parent.relative_to(self.scratch)
            kept.mkdir(parents=True, exist_ok=True)
            for one in found.iterdir():
                shutil.move(one, kept / one.name)
        shutil.rmtree(checkpoints, ignore_errors=True)


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        name: Also the name of its settings' section and of its folder.
        run: Does the work into the folder given; returns metrics.
        needs: Earlier stages whose outputs it reads.
        prompts: Names of the prompts it uses, or what gives them.
        inputs: Gives the files it reads from outside.
        check: Raises where something from outside that the stage needs, such as a model, is not there.
        caches: Subfolders that can be made again from the rest, and whose bytes say nothing: left out of what the stage's content is.
        plan: Says what running it would cost, for a dry run; it is told which stages would run.
        settings: For a stage from outside: the model of its section, which a pipeline file that wants the stage has.
        reads: For a stage from outside: settings of other sections that it reads too, such as `data.history`.
    """

    name: str
    run: Callable[[StageContext, Path], dict[str, Any]]
    needs: tuple[str, ...] = ()
    prompts: tuple[str, ...] | Callable[[Pipeline], tuple[str, ...]] = ()
    inputs: Callable[[Pipeline], Sequence[Path]] | None = None
    check: Callable[[Pipeline], None] | None = None
    caches: tuple[str, ...] = ()
    plan: Callable[[StageContext, Collection[str]], str] | None = None
    settings: type[Settings] = Settings
    reads: tuple[str, ...] = ()

    def prompt_names(self, pipeline: Pipeline) -> tuple[str, ...]:
        """Names of the prompts it uses in this pipeline."""
        return self.prompts(pipeline) if callable(self.prompts) else self.prompts


def kind_of_labels(interactions: Interactions) -> dict[str, str]:
    """A word for metrics that rest on labels that nobody gave."""
    return {"labels": "sampled negatives"} if interactions.sampled else {}
