"""The moving average of weights: what it is after some steps, and that showing it leaves the training as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from score_rag.crm.din import DIN
from score_rag.training.average import WeightAverage

FIT = {"epochs": 3, "patience": 3, "batch_size": 16, "learning_rate": 1e-2, "seed": 5, "device": "cpu"}


def stepped(network: torch.nn.Module, value: float) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(value)


@pytest.mark.parametrize("decay", [0.5, 0.98])
def test_it_is_the_average_that_the_formula_says(decay):
    network = torch.nn.Linear(2, 1)
    stepped(network, 0.0)
    average, expected = WeightAverage(network, decay), 0.0
    for step, value in enumerate((1.0, 4.0, -2.0, 3.0), start=1):
        stepped(network, value)
        average.update(network, step)
        kept = min(decay, step / (step + 10))
        expected = kept * expected + (1 - kept) * value
    with average.shown(network):
        assert network.weight.detach().numpy() == pytest.approx(expected)
    assert network.weight.detach().numpy() == pytest.approx(3.0), "the training goes on from its own weights"


def test_weights_that_are_not_learned_are_left_alone_and_without_decay_nothing_is_kept():
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
    network[0].requires_grad_(False)
    assert set(WeightAverage(network, 0.9).weights) == {"1.weight", "1.bias"}
    none = WeightAverage(network, 0.0)
    none.update(network, 1)
    before = network[1].weight.detach().clone()
    with none.shown(network):
        assert torch.equal(network[1].weight, before)
    assert not none.weights


def test_what_interrupts_a_validation_puts_the_weights_back():
    network = torch.nn.Linear(1, 1)
    stepped(network, 0.0)
    average = WeightAverage(network, 0.9)
    stepped(network, 7.0)
    with pytest.raises(KeyboardInterrupt), average.shown(network):
        raise KeyboardInterrupt
    assert float(network.weight.detach()) == 7.0


def test_a_recommender_keeps_the_average_and_trains_on_without_it(toy, tmp_path):
    models = {}
    for name, given in {"plain": {"weight_average": 0.0}, "averaged": {"weight_average": 0.9}, "own": {}}.items():
        models[name] = DIN(dim=8).fit(toy, **FIT, **given, checkpoint=tmp_path / name)
    states = {name: load_file(tmp_path / name / "state.safetensors") for name in models}
    weight = "items.own.weight"
    np.testing.assert_array_equal(states["plain"][f"model.{weight}"], states["averaged"][f"model.{weight}"])
    assert not np.allclose(models["plain"]._tensors()[weight], models["averaged"]._tensors()[weight])
    np.testing.assert_array_equal(states["averaged"][f"best.{weight}"], models["averaged"]._tensors()[weight])
    assert f"average.{weight}" in states["own"] and f"average.{weight}" not in states["plain"], "DIN has an average of its own"
