"""The last layer for the first token alone: the scores of the whole network, its gradients, and its file."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from score_rag.inference.onnx import OnnxModel
from score_rag.reranker.first_token import export_scores, read_first_token_only

SMALL = {"vocab_size": 60, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "num_labels": 1, "pad_token_id": 0}


def make(kind, layers, attention):
    torch.manual_seed(layers)
    config, network = {"bert": (BertConfig, BertForSequenceClassification), "roberta": (RobertaConfig, RobertaForSequenceClassification)}[
        kind
    ]
    made = config(**SMALL, num_hidden_layers=layers, initializer_range=0.5, max_position_embeddings=40)
    made._attn_implementation = attention
    return network(made).eval()


def batch():
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, 60, (5, 12), generator=generator)
    mask = torch.ones_like(ids)
    for row in range(5):
        mask[row, 12 - 2 * row :] = 0
    return {"input_ids": ids * mask, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(("kind", "layers"), [("bert", 1), ("bert", 3), ("roberta", 2)])
def test_scores_and_gradients_are_those_of_the_whole_network(kind, layers, attention, tmp_path):
    whole = make(kind, layers, attention)
    quick = copy.deepcopy(whole)
    assert read_first_token_only(quick) and quick.state_dict().keys() == whole.state_dict().keys()
    expected, found = (network(**batch()).logits for network in (whole, quick))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert expected.std() > 0.01, "they are told apart"
    for logits in (expected, found):
        logits.square().sum().backward()
    for (name, one), other in zip(whole.named_parameters(), quick.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-3, atol=1e-4, msg=name)
    # A copy has weights of its own.
    another = copy.deepcopy(quick)
    with torch.no_grad():
        for weight in another.parameters():
            weight.zero_()
    torch.testing.assert_close(quick(**batch()).logits, expected, rtol=0, atol=1e-5)
    export_scores(quick, tmp_path / "model.onnx")
    told = OnnxModel(tmp_path / "model.onnx").run({name: value.numpy() for name, value in batch().items()})
    np.testing.assert_allclose(told, expected[:, 0].detach().numpy(), atol=1e-5)


def test_a_network_of_another_kind_is_left_alone():
    config = DistilBertConfig(vocab_size=60, dim=16, n_heads=2, hidden_dim=32, n_layers=1, num_labels=1)
    assert not read_first_token_only(DistilBertForSequenceClassification(config))
