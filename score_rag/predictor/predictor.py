"""P(like) of a prompt: the softmax over the Yes and No logits where the answer would stand.

The same numbers come out of two engines. `torch` runs any causal model of transformers with its LoRA adapter, and computes a beginning that
all prompts share only once. `onnx` runs the embedded Llama with its adapter merged, without importing torch, for a quick first answer.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from score_rag.errors import InputError, ModelError
from score_rag.files import read_json
from score_rag.progress import Report, silent

if TYPE_CHECKING:
    import torch

__all__ = ["LOW_MASS", "Answer", "Predictor", "load_causal_model", "score_tokens", "shared_beginning"]

LOW_MASS = 0.5
"""Below this, Yes and No together are not what the model would have written: the probability says little, and a warning is due."""


@dataclass(frozen=True)
class Answer:
    """One scored prompt.

    Attributes:
        probability: softmax over the two answers' logits, of Yes: P(like) in 0..1.
        mass: What the model gave to Yes and No together, of all tokens: in 0..1; see `LOW_MASS`.
        cut: Tokens dropped from the prompt's beginning because it was longer than the model reads.
    """

    probability: float
    mass: float
    cut: int = 0


class Predictor:
    """Scores prompts with a base model and its LoRA adapter. Make one with `from_pretrained`."""

    def __init__(self, engine: Any, encode: Any, settings: dict[str, Any]) -> None:
        self._engine = engine
        self._encode = encode
        self.settings = settings

    @classmethod
    def from_pretrained(
        cls, folder: Path | str, *, backend: Literal["auto", "torch", "onnx"] = "auto", device: str | None = None
    ) -> Predictor:
        """Load what `fit_predictor` saved.

        Args:
            folder: A finished predictor folder.
            backend: `onnx` where the folder has it (small models), else `torch`.
            device: For torch: `cpu`, `cuda`, ...; the first GPU, if there is one, by default.

        Raises:
            ModelError: The folder, its base model, or the asked backend's file is missing.
        """
        folder = Path(folder)
        if not (folder / "predictor.json").is_file():
            raise ModelError("there is no trained predictor here", where=folder, hint="score-rag run PIPELINE --until predictor")
        settings = read_json(folder / "predictor.json")
        has_onnx = (folder / "model.onnx").is_file()
        if backend == "onnx" and not has_onnx:
            raise ModelError("this predictor has no ONNX file", where=folder / "model.onnx", hint='use backend="torch"')
        if backend != "torch" and has_onnx:
            return cls(_OnnxEngine(folder, settings), _plain_encoder(folder / "base"), settings)
        from transformers import AutoTokenizer

        base = str(folder / "base") if settings["embedded"] else settings["base"]
        model = load_causal_model(base, dtype=settings["dtype"], device=device)
        if (folder / "adapter").is_dir():
            from peft import PeftModel

            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
                model = PeftModel.from_pretrained(model, str(folder / "adapter")).eval()
        tokenizer = AutoTokenizer.from_pretrained(base)
        return cls(_TorchEngine(model, settings), _chat_encoder(tokenizer), settings)

    def count_tokens(self, prompt: str) -> int:
        """How long a prompt is for the model, with what its chat form puts around it."""
        return len(self._encode(prompt))

    def score(self, prompts: Sequence[str], *, report: Report = silent) -> list[Answer]:
        """One answer a prompt, in order; the same for a prompt alone or among others (to 1e-5 in float32).

        Raises:
            InputError: A prompt is empty.
        """
        if any(not prompt.strip() for prompt in prompts):
            raise InputError("a prompt is empty", expected="text that ends in the question")
        if not prompts:
            return []
        most = int(self.settings["max_tokens"])
        rows = [list(self._encode(prompt)) for prompt in prompts]
        # A prompt that is too long loses its beginning, the oldest history; the question stands last.
        pairs = self._engine([row[-most:] for row in rows], report)
        return [Answer(float(p), float(mass), max(0, len(row) - most)) for (p, mass), row in zip(pairs, rows, strict=True)]


class _OnnxEngine:
    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        from score_rag.inference.onnx import OnnxModel

        self.model = OnnxModel(folder / "model.onnx")
        self.answers = (settings["yes"], settings["no"])

    def __call__(self, rows: Sequence[list[int]], report: Report) -> np.ndarray:
        out = np.zeros((len(rows), 2))
        for done, batch in _by_length(rows, 16):
            ids, mask = _pad_left([rows[row] for row in batch])
            out[batch] = _yes_no(self.model.run({"input_ids": ids, "attention_mask": mask}), *self.answers)
            report("asking", done, len(rows))
        return out


class _TorchEngine:
    def __init__(self, model: Any, settings: dict[str, Any]) -> None:
        self.model = model
        self.answers = (settings["yes"], settings["no"])

    def __call__(self, rows: Sequence[list[int]], report: Report) -> np.ndarray:
        return score_tokens(self.model, rows, *self.answers, report=report)


def load_causal_model(name: str, *, dtype: str = "float32", device: str | None = None) -> Any:
    """A causal model of transformers, in evaluation mode on its device.

    Raises:
        ModelError: It is neither a folder nor in the hub's cache, and the hub cannot be asked.
    """
    import torch
    from transformers import AutoModelForCausalLM

    try:
        model: Any = AutoModelForCausalLM.from_pretrained(name, dtype=getattr(torch, dtype))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"the base model {name!r} cannot be loaded",
            expected="a folder with a saved causal model, or a model that the hub (or its cache on this disk) has",
            found=str(error).splitlines()[0],
            hint=f"with a network: hf download {name}; without: --set predictor.base=embedded",
        ) from error
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return model.to(place).eval()


def score_tokens(
    model: Any,
    rows: Sequence[Sequence[int]],
    yes: int,
    no: int,
    *,
    batch_size: int = 32,
    share: bool = True,
    report: Report = silent,
) -> np.ndarray:
    """[n, 2]: probability of Yes, and the mass of both answers, for each row of token ids.

    A beginning that all rows share (64 tokens or more) is computed once.
    """
    import torch

    beginning = shared_beginning(rows) if share and len(rows) > 1 else 0
    beginning = beginning if beginning >= 64 else 0
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    out = np.zeros((len(rows), 2))
    with torch.inference_mode():
        keys = _run_beginning(model, rows[0][:beginning], device) if beginning else None
        for done, batch in _by_length(rows, batch_size):
            ids, mask = _pad_left([list(rows[row][beginning:]) for row in batch])
            positions = np.maximum(mask.cumsum(1) - 1, 0) + beginning
            cache = None
            if keys is not None:
                import copy

                cache = copy.deepcopy(keys)
                cache.batch_repeat_interleave(len(batch))
                mask = np.concatenate([np.ones((len(batch), beginning), dtype=np.int64), mask], axis=1)
            logits = model(
                input_ids=torch.from_numpy(ids).to(device),
                attention_mask=torch.from_numpy(mask).to(device),
                position_ids=torch.from_numpy(positions).to(device),
                past_key_values=cache,
                use_cache=cache is not None,
                logits_to_keep=1,
            ).logits[:, -1]
            out[batch] = _yes_no(logits.float().cpu().numpy(), yes, no)
            report("asking", done, len(rows))
    model.train(training)
    return out


def _run_beginning(model: Any, ids: Sequence[int], device: torch.device) -> Any:
    import torch
    from transformers import DynamicCache

    cache = DynamicCache(config=model.config)
    model(input_ids=torch.tensor([list(ids)], device=device), past_key_values=cache, use_cache=True, logits_to_keep=1)
    return cache


def shared_beginning(rows: Sequence[Sequence[int]]) -> int:
    """How many first tokens all rows have in common, leaving at least one token to each.

    >>> shared_beginning([[1, 2, 3, 4], [1, 2, 9]])
    2
    """
    first, last = min(map(list, rows)), max(map(list, rows))
    most = min(len(row) for row in rows) - 1
    count = 0
    while count < most and first[count] == last[count]:
        count += 1
    return count


def _by_length(rows: Sequence[Sequence[int]], size: int) -> list[tuple[int, list[int]]]:
    """(rows done after it, row numbers) of each batch; rows of similar length stand together, so little is padded."""
    order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
    return [(min(start + size, len(order)), order[start : start + size]) for start in range(0, len(order), size)]


def _pad_left(rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """(ids, mask), int64 [n, longest]: the last token of every row stands in the last column."""
    longest = max(len(row) for row in rows)
    ids = np.zeros((len(rows), longest), dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    for place, row in enumerate(rows):
        ids[place, longest - len(row) :] = row
        mask[place, longest - len(row) :] = 1
    return ids, mask


def _yes_no(logits: np.ndarray, yes: int, no: int) -> np.ndarray:
    """[n, 2] from [n, vocabulary] logits: softmax over the two, and their mass among all tokens."""
    logits = logits.astype(np.float64)
    top = logits.max(axis=1)
    both = np.exp(logits[:, [yes, no]] - top[:, None])
    every = np.exp(logits - top[:, None]).sum(axis=1)
    difference = logits[:, no] - logits[:, yes]
    return np.stack([1.0 / (1.0 + np.exp(difference)), both.sum(axis=1) / every], axis=1)


def _plain_encoder(folder: Path) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return lambda text: tokenizer.encode(text).ids


def _chat_encoder(tokenizer: Any) -> Any:
    from score_rag.predictor.tokens import wrap_chat

    chat = bool(getattr(tokenizer, "chat_template", None))
    # A chat form brings its own beginning-of-text token; a second one would shift every score.
    return lambda text: tokenizer(wrap_chat(tokenizer, text), add_special_tokens=not chat)["input_ids"]
