"""Gradients of CAR in chunks, with frozen layers and dropout: those of the whole batch."""

from __future__ import annotations

import pytest
import torch
from encoder_world import network, ring

from score_rag.errors import ChangeSetting, ModelError
from score_rag.retriever.frozen import frozen_layers_cached
from score_rag.retriever.grad_cache import embed_in_chunks
from score_rag.retriever.layers import add_lora, freeze_below, layers_of
from score_rag.retriever.loss import NeighbourLoss, contrastive_loss


def sentences(count: int = 11) -> dict[str, torch.Tensor]:
    """A batch of random ids, of lengths 3 to 9."""
    generator = torch.Generator().manual_seed(1)
    mask = (torch.arange(9)[None, :] < torch.randint(3, 10, (count, 1), generator=generator)).long()
    return {"input_ids": torch.randint(4, 14, (count, 9), generator=generator) * mask, "attention_mask": mask}


class Mean(torch.nn.Module):
    """BERT with mean pooling, as the loss calls it; writes into its features, as sentence-transformers do."""

    def __init__(self):
        super().__init__()
        self.network = network("bert")

    def forward(self, features):
        states = self.network(input_ids=features["input_ids"], attention_mask=features["attention_mask"]).last_hidden_state
        weights = features["attention_mask"][..., None].float()
        features["sentence_embedding"] = (states * weights).sum(dim=1) / weights.sum(dim=1)
        return features


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    found = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    return found


@pytest.mark.parametrize("chunk", [1, 4, 64])
def test_gradients_in_chunks_are_those_of_the_whole_batch(chunk):
    model, labels = Mean().eval(), torch.tensor([0, 1, 2, 3, 4, 5, 6, 7, ~20, ~21, ~9])
    values, found = [], []
    for size in (None, chunk):
        loss = NeighbourLoss(model, torch.from_numpy(ring().neighbours), chunk=size)([sentences()], labels)
        (3 * loss).backward()
        values.append(float(loss.detach()))
        found.append(gradients(model))
    assert values[0] == pytest.approx(values[1], abs=1e-5) and values[0] > 0
    assert found[0].keys() == found[1].keys() and max(float(grad.abs().max()) for grad in found[0].values()) > 1e-2
    for name, grad in found[0].items():
        torch.testing.assert_close(found[1][name], grad, atol=1e-5, rtol=1e-4, msg=name)


def test_with_dropout_both_passes_over_a_chunk_see_the_same_masks():
    model, features = Mean().train(), sentences()
    labels, near = torch.arange(11), torch.from_numpy(ring().neighbours)
    torch.manual_seed(7)
    NeighbourLoss(model, near, chunk=4)([features], labels).backward()
    after = torch.rand(1)
    cached = gradients(model)
    # The same by hand: every chunk embedded once, everything kept.
    torch.manual_seed(7)
    order = torch.argsort(features["attention_mask"].sum(dim=1), descending=True, stable=True)
    parts = []
    for rows in order.split(4):
        length = int(features["attention_mask"][rows].sum(dim=1).max())
        parts.append(model({name: value[rows][:, :length] for name, value in features.items()})["sentence_embedding"])
    vectors = torch.cat(parts)[torch.argsort(order)]
    away = torch.minimum((labels[:, None] - labels) % 30, (labels - labels[:, None]) % 30)
    positive = torch.isin((labels[None, :] - labels[:, None]) % 30, torch.tensor([1, 2]))
    contrastive_loss(vectors, positive, ~positive & (away > 0), 0.05).backward()
    assert torch.equal(after, torch.rand(1)), "the second pass leaves the random state as the first left it"
    for name, grad in gradients(model).items():
        torch.testing.assert_close(cached[name], grad, atol=1e-5, rtol=1e-4, msg=name)


def test_in_chunks_only_vectors_are_kept_until_the_backward_pass():
    model, features = Mean().eval(), sentences(32)
    held: list[int] = []

    def count(tensor):
        held[-1] += tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        held.append(0)
        model(dict(features))
        held.append(0)
        embed_in_chunks(lambda part: model(part)["sentence_embedding"], features, 4)
    assert held[1] < 100 < 32 * 9 * 24 < held[0]


@pytest.mark.parametrize("kind", ["bert", "mpnet", "distilbert", "modernbert"])
@pytest.mark.parametrize("budget", [2**20, 0, 2000])
def test_frozen_layers_are_asked_once_a_document_and_change_no_gradient(kind, budget):
    model, features = network(kind).eval(), sentences()
    freeze_below(model, 1)
    before = [name for name, _ in model.named_modules()]

    def states():
        found = model(input_ids=features["input_ids"], attention_mask=features["attention_mask"]).last_hidden_state
        return found[features["attention_mask"].bool()]

    plain = states()
    plain.square().sum().backward()
    expected, asked = gradients(model), []
    watch = layers_of(model)[2][0].register_forward_hook(lambda layer, given, out: asked.append(len(given[0])))
    with frozen_layers_cached(model, 1, budget=budget):
        for _ in range(3):
            again = states()
            torch.testing.assert_close(again, plain, atol=1e-5, rtol=1e-5)
        again.square().sum().backward()
        found = gradients(model)
    watch.remove()
    assert sum(asked) == {2**20: 11, 0: 33}.get(budget, sum(asked)) and (budget != 2000 or 11 < sum(asked) < 33)
    assert [name for name, _ in model.named_modules()] == before and model.training is False
    for (name, grad), (_, other) in zip(expected.items(), found.items(), strict=True):
        torch.testing.assert_close(other, grad, atol=1e-4, rtol=1e-4, msg=name)
    torch.testing.assert_close(states(), plain)


@pytest.mark.parametrize(
    ("kind", "projections"),
    [("bert", "query key value"), ("mpnet", "q k v"), ("distilbert", "q_lin k_lin v_lin"), ("modernbert", "Wqkv")],
)
def test_the_last_layers_are_tuned_or_added_to(kind, projections):
    model = network(kind)
    freeze_below(model, 1)
    tuned = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert tuned and all(".1." in f".{name}" for name in tuned)
    model, ids = network(kind).eval(), torch.tensor([[4, 5, 6, 7]])
    freeze_below(model, None)
    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    assert frozen and all(name.startswith("embeddings.") for name in frozen)
    before = model(input_ids=ids).last_hidden_state
    lora = add_lora(model, 2, 1)
    added = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in added} == set(projections.split())
    assert len(added) == 2 * len(projections.split()), "two matrices for each, in the last layer alone"
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name in added:
                weight.copy_(torch.randn_like(weight))
    changed = model(input_ids=ids).last_hidden_state
    assert lora.merge_and_unload() is model and not any("lora" in name for name, _ in model.named_modules())
    assert float((changed - before).detach().abs().max()) > 1e-2
    torch.testing.assert_close(model(input_ids=ids).last_hidden_state, changed, atol=1e-5, rtol=1e-5)


def test_layers_of_an_unknown_build_are_refused_and_lora_goes_on_all_that_is_linear():
    odd = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(), torch.nn.Linear(4, 4))
    with pytest.raises(ModelError, match="layers are not where") as caught:
        freeze_below(odd, 2)
    assert caught.value.remedy == ChangeSetting({"retriever.tune_layers": None})
    add_lora(odd, 1, None)
    assert sum(weight.requires_grad for weight in odd.parameters()) == 2 * 2
