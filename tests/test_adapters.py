"""A saved predictor: adapters that do not fit are refused, temperature and logits are what they say."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from engine_world import TEXTS, answers, close, folder, local  # noqa: F401

from score_rag.errors import InputError, ModelError
from score_rag.predictor.answer import calibrated, from_logits
from score_rag.predictor.load import base_digest
from score_rag.predictor.predictor import Predictor

# LiteLLM's own types make pydantic warn when they are first used.
pytestmark = pytest.mark.filterwarnings("ignore:Item .* on TypedDict class:UserWarning")


def test_a_prompt_that_is_too_long_or_empty_is_refused(local):
    with pytest.raises(InputError, match="longer"):
        local.score(["Film " * 400])
    with pytest.raises(InputError, match="empty"):
        local.score([" "])


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "predictor")


def change_adapter(copy, change):
    from safetensors.torch import load_file, save_file

    file = copy / "adapter" / "adapter_model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


def test_an_adapter_that_is_not_whole_is_refused(copy):
    change_adapter(copy, lambda tensors: tensors.pop(sorted(tensors)[0]))
    with pytest.raises(ModelError, match="does not fit") as caught:
        Predictor.from_pretrained(copy, engine="torch")
    assert "1 missing" in caught.value.found


def test_an_adapter_with_tensors_that_have_no_place_is_refused(copy):
    def rename(tensors):
        name = sorted(tensors)[0]
        tensors[name.replace("layers.0", "layers.7")] = tensors[name].clone()

    change_adapter(copy, rename)
    with pytest.raises(ModelError, match="does not fit") as caught:
        Predictor.from_pretrained(copy, engine="torch")
    assert "1 unused" in caught.value.found and "layers.7" in caught.value.found


def test_an_adapter_of_another_shape_or_without_weights_is_refused(copy):
    def cut(tensors):
        name = next(name for name in tensors if "lora_A" in name)
        tensors[name] = tensors[name][:, :16].clone()

    change_adapter(copy, cut)
    with pytest.raises(ModelError, match="does not fit"):
        Predictor.from_pretrained(copy, engine="torch")
    (copy / "adapter" / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelError, match="no weights"):
        Predictor.from_pretrained(copy, engine="torch")


def test_another_base_than_the_adapter_s_is_refused(copy, answers):
    facts = json.loads((copy / "predictor.json").read_text())
    (copy / "predictor.json").write_text(json.dumps({**facts, "base_digest": base_digest(copy / "base")}))
    close(Predictor.from_pretrained(copy, engine="torch").score(TEXTS[:2]), answers[:2])
    with (copy / "base" / "config.json").open("a") as stream:
        stream.write("\n")
    with pytest.raises(ModelError, match="not the one that the adapter was trained on"):
        Predictor.from_pretrained(copy, engine="torch")
    with pytest.raises(ModelError, match="holds no model"):
        base_digest(copy / "adapter")


def test_a_temperature_divides_the_logit_difference_and_nothing_else(copy, answers):
    facts = json.loads((copy / "predictor.json").read_text())
    (copy / "predictor.json").write_text(json.dumps({**facts, "temperature": 2.5}))
    for found, raw in zip(Predictor.from_pretrained(copy, engine="torch").score(TEXTS), answers, strict=True):
        difference = np.log(raw.probability / (1 - raw.probability))
        assert found.probability == pytest.approx(1 / (1 + np.exp(-difference / 2.5)), abs=1e-6)
        assert found.mass == pytest.approx(raw.mass, abs=1e-5)
    assert 0 < calibrated(0.0, 2.0) < 1e-100 and calibrated(1.0, 3.0) < 1
    with pytest.raises(InputError, match="not positive"):
        Predictor(Predictor.from_pretrained(copy, engine="torch").engine, temperature=0)


def test_logits_far_apart_overflow_nothing():
    found = from_logits(np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0]]), 0, 1)
    assert [answer.probability for answer in found] == [1.0, 0.0] and [answer.mass for answer in found] == [1.0, 1.0]
