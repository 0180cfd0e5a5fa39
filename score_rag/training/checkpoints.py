"""Checkpoints that a killed training goes on from, and the best weights so far."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from score_rag.errors import DataError
from score_rag.files import changed_file, digests_of, is_whole, read_json, sealed, staged_folder, write_json

if TYPE_CHECKING:
    import torch

__all__ = ["BestOfEpochs", "BestWeights", "TrainedWeights", "complete_callback", "last_checkpoint", "trained_weights"]

_COMPLETE = "complete"
_WEIGHTS = "trained.safetensors"


def trained_weights(model: Any) -> dict[str, Any]:
    """The parameters that are trained, by name."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


class TrainedWeights:
    """For a sentence-transformers trainer: its checkpoints hold the weights that are trained, and no others."""

    model: Any
    args: Any

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        from safetensors.torch import save_file

        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: weight.detach().contiguous() for name, weight in trained_weights(self.model).items()}, str(folder / _WEIGHTS))

    def _load_from_checkpoint(self, checkpoint_path: str, model: Any = None) -> None:
        import torch
        from safetensors.torch import load_file

        found = load_file(str(Path(checkpoint_path) / _WEIGHTS))
        with torch.no_grad():
            for name, weight in trained_weights(self.model).items():
                weight.copy_(found[name])


def last_checkpoint(folder: Path, *, made_from: str) -> Path | None:
    """The newest whole checkpoint of the same training; anything of another training is removed.

    Args:
        folder: The trainer's output folder.
        made_from: A digest of data and settings.
    """
    import shutil

    belongs = folder / "made_from.json"
    if _said(belongs) != made_from:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write_json(belongs, made_from)
        return None
    newest_first = sorted(folder.glob("checkpoint-*"), key=lambda path: -int(path.name.partition("-")[2]))
    return next((path for path in newest_first if _is_complete(path)), None)


def _is_complete(checkpoint: Path) -> bool:
    """Whether all its files were written, and are what was written."""
    digests = _said(checkpoint / _COMPLETE)
    return isinstance(digests, dict) and changed_file(checkpoint, digests) is None


def _said(file: Path) -> Any:
    """What a JSON file says; None where it is not there, or is broken."""
    try:
        return read_json(file)
    except DataError:
        return None


def _require_whole(folder: Path, found: dict[str, Any]) -> None:
    """Refuse best weights that are not what was written.

    Raises:
        DataError: They are not.
    """
    bad = (
        changed_file(folder / "best", found.get("digests", {})) if is_whole(found) else (folder / "best" / "progress.json", "other content")
    )
    if bad is not None:
        hint = f"remove {folder}; the training begins again"
        raise DataError("what a killed training left is not what was written", where=bad[0], found=bad[1], hint=hint)


def complete_callback() -> Any:
    """A trainer's callback that marks a checkpoint once all its files are written: a kill in between leaves none that looks whole."""
    from transformers import TrainerCallback

    class Complete(TrainerCallback):
        def on_save(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            if state.is_world_process_zero:
                made = Path(args.output_dir) / f"checkpoint-{state.global_step}"
                write_json(made / _COMPLETE, digests_of(made))

    return Complete()


class BestWeights:
    """Scores by step and the weights of the best one, kept on disk beside the checkpoints.

    Args:
        folder: Where they are kept; None keeps them in memory alone.
        later: Whether of equal scores the later one is the best.
    """

    def __init__(self, folder: Path | None, *, later: bool = False) -> None:
        self.folder = folder
        self.later = later
        self.scores: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None
        self.weights: dict[str, torch.Tensor] = {}

    def resume(self, step: int) -> None:
        """Take back what was known at a step; later scores will be computed again."""
        from safetensors.torch import load_file

        if self.folder is None or not (self.folder / "best" / "progress.json").is_file():
            return
        found = read_json(self.folder / "best" / "progress.json")
        _require_whole(self.folder, found)
        self.scores = [entry for entry in found["scores"] if entry["step"] <= step]
        if found["best"] is not None and found["best"]["step"] <= step:
            self.best, self.weights = found["best"], load_file(str(self.folder / "best" / "best.safetensors"))

    def offer(self, step: int, score: float, weights: Mapping[str, torch.Tensor], **facts: Any) -> bool:
        """Keep the weights where the score is the best so far; whether it is."""
        entry = {"step": step, "score": score, **facts}
        self.scores.append(entry)
        better = self.best is None or score > self.best["score"] or (self.later and score == self.best["score"])
        if better:
            self.best = entry
            self.weights = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in weights.items()}
        self._write()
        return better

    def _write(self) -> None:
        from safetensors.torch import save_file

        if self.folder is None:
            return
        with staged_folder(self.folder / "best") as aside:
            save_file(self.weights, str(aside / "best.safetensors"))
            write_json(aside / "progress.json", sealed({"scores": self.scores, "best": self.best, "digests": digests_of(aside)}))


class BestOfEpochs:
    """The trained weights of the epoch with the best score, and what was reported of it; of equals the later.

    Args:
        network: Whose trained weights are kept.
        folder: Where what is known so far is kept, for a killed training; None keeps it in memory alone.
    """

    def __init__(self, network: Any, folder: Path | None) -> None:
        self.network = network
        self._kept = BestWeights(folder, later=True)

    @property
    def epoch(self) -> int:
        """The best so far, from 1; 0 before any."""
        return int(self._kept.best["epoch"]) if self._kept.best else 0

    @property
    def ended(self) -> int:
        """How many epochs have ended."""
        return len(self._kept.scores)

    @property
    def scores(self) -> list[float]:
        """One an epoch."""
        return [entry["score"] for entry in self._kept.scores]

    @property
    def reported(self) -> dict[str, float]:
        """Metrics that were reported of the best epoch."""
        return dict(self._kept.best["reported"]) if self._kept.best else {}

    def resume(self, step: int) -> None:
        """Take back what was known at a step."""
        self._kept.resume(step)

    def keep(self, step: int, score: float, reported: dict[str, float]) -> None:
        """An epoch has ended: keep its weights if they are the best so far."""
        self._kept.offer(step, score, trained_weights(self.network), epoch=self.ended + 1, reported=reported)

    def restore(self) -> None:
        """Put the kept weights back."""
        for name, weight in self.network.named_parameters():
            if name in self._kept.weights:
                weight.data.copy_(self._kept.weights[name])
