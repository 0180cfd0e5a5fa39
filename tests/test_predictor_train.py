"""Training on packs: it learns, it resumes to the same weights, an adapter that does nothing is not served."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from score_rag.errors import DataError
from score_rag.files import read_json
from score_rag.predictor.packing import PromptGroup
from score_rag.predictor.settings import AdapterTraining, BaseTraining
from score_rag.predictor.train import fit_adapter
from score_rag.predictor.train_base import fit_base
from score_rag.training.settings import TrainerSettings

SMALL = BaseTraining(width=32, layers=1, heads=2, vocabulary=400, epochs=2, batch_size=4, learning_rate=5e-3, weight_decay=0.01)
EVERY = ("q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj", "gate_proj")
TUNED = AdapterTraining(
    epochs=2, batch_size=4, learning_rate=1e-2, lora_dropout=0.1, lora_targets=EVERY, trainer=TrainerSettings(save_every=5)
)


def groups(count, seed, *, turned=False, noise=False, size=4):
    """Prompts whose answer is plain: high numbers are liked (low ones, where it is turned; any, where it is noise)."""
    draw = np.random.default_rng(seed)
    out = []
    for _ in range(count):
        levels = draw.integers(0, 100, size)
        liked = [int(draw.random() < 0.5 if noise else (level >= 50) != turned) for level in levels]
        out.append(PromptGroup([f"Film, Drama expected {level:02d}:" for level in levels], liked))
    return out


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    return folder, fit_base([groups(60, 1), groups(60, 2)], groups(20, 3), folder / "base", SMALL, seed=3)


def test_the_base_learns_what_numbers_mean(base):
    _, metrics = base
    assert metrics["valid_auc"] > 0.9 and metrics["questions"] == 240
    assert len(metrics["valid_auc_by_epoch"]) == 2


@pytest.fixture(scope="module")
def ignorant(tmp_path_factory):
    """A base that knows the language and not what numbers mean."""
    folder = tmp_path_factory.mktemp("ignorant")
    fit_base([groups(60, 1, noise=True)], groups(20, 3), folder / "base", SMALL, seed=3)
    return folder


def test_an_adapter_learns_what_the_base_was_not_given(ignorant, tmp_path):
    metrics = fit_adapter(groups(60, 4), groups(20, 5), tmp_path, TUNED, base=str(ignorant / "base"), seed=3)
    assert metrics["valid_auc"] > metrics["valid_auc_before"] + 0.05 and metrics["valid_auc"] > 0.8
    assert metrics["used"] and metrics["epoch"] >= 1
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()


def test_an_adapter_that_no_epoch_improves_is_not_served(base, tmp_path):
    folder, _ = base
    wrong = groups(30, 6, turned=True)
    metrics = fit_adapter(wrong, groups(20, 7), tmp_path, TUNED.model_copy(update={"epochs": 1}), base=str(folder / "base"), seed=3)
    assert not metrics["used"] and metrics["epoch"] == 0 and not (tmp_path / "adapter").exists()
    told = read_json(tmp_path / "predictor.json")
    assert told["adapter"] is False and told["temperature"] == metrics["temperature"]
    assert 0 < metrics["temperature"] <= 20


def test_one_answer_alone_is_refused(base, tmp_path):
    folder, _ = base
    one = [PromptGroup(["Film:"] * 4, [1] * 4)]
    with pytest.raises(DataError, match="one answer only"):
        fit_adapter(one, groups(5, 1), tmp_path, TUNED, base=str(folder / "base"))


SCRIPT = textwrap.dedent(
    """
    import sys, pathlib
    sys.path.insert(0, {tests!r})
    from test_predictor_train import SMALL, TUNED, groups
    from score_rag.predictor.train import fit_adapter
    out = pathlib.Path(sys.argv[1])
    def report(what, done, total):
        print("step", done, flush=True)
    metrics = fit_adapter(groups(60, 4), groups(20, 5), out, TUNED, base={base!r}, seed=3,
                          checkpoints=out / "checkpoints", report=report)
    print("done", metrics["valid_auc_by_epoch"], flush=True)
    (out / "done.txt").write_text(str(metrics["valid_auc_by_epoch"]))
    """
)


def run(script, out, *launcher):
    code = out / "train.py"
    out.mkdir(parents=True, exist_ok=True)
    code.write_text(script, encoding="utf-8")
    return subprocess.Popen([sys.executable, *launcher, str(code), str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_killed_and_started_again_it_ends_with_the_same_weights(base, tmp_path):
    from safetensors.numpy import load_file

    folder, _ = base
    script = SCRIPT.format(tests=str(Path(__file__).parent), base=str(folder / "base"))
    whole = run(script, tmp_path / "whole")
    out, err = whole.communicate()
    assert whole.returncode == 0, err
    killed = run(script, tmp_path / "killed")
    for line in killed.stdout:
        if line.startswith("step 12"):
            os.kill(killed.pid, signal.SIGKILL)
            break
    killed.communicate()
    again = run(script, tmp_path / "killed")
    said, err = again.communicate()
    assert again.returncode == 0, err
    first = next(line for line in said.splitlines() if line.startswith("step"))
    assert int(first.split()[1]) == 11, "it went on from the checkpoint of step 10"
    assert said.splitlines()[-1] == out.splitlines()[-1]
    ours, theirs = (load_file(tmp_path / name / "adapter" / "adapter_model.safetensors") for name in ("whole", "killed"))
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])


@pytest.mark.slow
def test_two_processes_train_together(base, tmp_path):
    folder, _ = base
    script = SCRIPT.format(tests=str(Path(__file__).parent), base=str(folder / "base")).replace(
        "out = pathlib.Path(sys.argv[1])", 'import os\nout = pathlib.Path(sys.argv[1]) / os.environ["RANK"]\nout.mkdir(exist_ok=True)'
    )
    started = time.monotonic()
    both = run(script, tmp_path, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=29611")
    out, err = both.communicate(timeout=240)
    assert both.returncode == 0, err
    assert time.monotonic() - started < 240
    told = [(tmp_path / rank / "done.txt").read_text() for rank in ("0", "1")]
    assert told[0] == told[1], "both have the same weights at the end of each epoch"
    steps = [int(step) for step in re.findall(r"step (\d+)", out)]
    assert max(steps) == 15, "half of the 30 steps each"
