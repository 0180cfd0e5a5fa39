"""CAR's training: negatives, gradient caching, LoRA, the choice of the epoch, encoders of other builds."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from score_rag.documents.versions import FOREVER
from score_rag.encoders.encoder import TextEncoder
from score_rag.errors import ChangeSetting, ModelError
from score_rag.reranker.examples import RankedList
from score_rag.reranker.settings import RerankerTraining
from score_rag.reranker.train import train_reranker
from score_rag.retriever.examples import Neighbourhood, contrastive_batches
from score_rag.retriever.frozen import frozen_layers_cached
from score_rag.retriever.grad_cache import embed_in_chunks
from score_rag.retriever.layers import add_lora, freeze_below, layers_of
from score_rag.retriever.loss import NeighbourLoss, contrastive_loss
from score_rag.retriever.negatives import hard_negatives
from score_rag.retriever.settings import RetrieverSettings
from score_rag.retriever.train import train_encoder
from score_rag.retriever.validation import BestEpoch, Examination

WORDS = ["liked", "heat", "ronin", "alien", "grease", "cabaret", "evita", "seven", "fargo", "tootsie", "big"]
NOBODY = np.zeros(30, dtype=bool)


def ring(users: int = 30) -> Neighbourhood:
    """User n's neighbours are the next two."""
    table = np.array([[(user + 1) % users, (user + 2) % users] for user in range(users)])
    return Neighbourhood([str(n) for n in range(users)], table, [[f"old {n}", f"new {n}"] for n in range(users)])


def network(kind: str):
    """A random encoder of two layers."""
    from transformers import (
        BertConfig,
        BertModel,
        DistilBertConfig,
        DistilBertModel,
        ModernBertConfig,
        ModernBertModel,
        MPNetConfig,
        MPNetModel,
    )

    torch.manual_seed(5)
    size = {
        "vocab_size": 16,
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "pad_token_id": 0,
        "initializer_range": 0.3,
    }
    if kind == "bert":
        return BertModel(BertConfig(**size, max_position_embeddings=40))
    if kind == "mpnet":
        return MPNetModel(MPNetConfig(**{**size, "pad_token_id": 1}, max_position_embeddings=42))
    if kind == "modernbert":
        ends = {name: 2 for name in ("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")}
        return ModernBertModel(ModernBertConfig(**size, **ends, max_position_embeddings=40))
    return DistilBertModel(
        DistilBertConfig(initializer_range=0.3, vocab_size=16, dim=24, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=40)
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """Folders as a hub gives them: plain BERT (mean pooling by default), and MPNet with a sentence-transformers head, pooling cls."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    home = tmp_path_factory.mktemp("encoders")
    found = {}
    for kind, special in (("bert", ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]), ("mpnet", ["<s>", "<pad>", "</s>", "[UNK]"])):
        words = {word: place for place, word in enumerate([*special, *WORDS])}
        core = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
        core.pre_tokenizer = pre_tokenizers.Whitespace()
        pad, first, last = ("[PAD]", "[CLS]", "[SEP]") if kind == "bert" else ("<pad>", "<s>", "</s>")
        core.post_processor = processors.TemplateProcessing(
            single=f"{first} $A {last}", special_tokens=[(first, words[first]), (last, words[last])]
        )
        names = ["input_ids", "attention_mask", *(["token_type_ids"] if kind == "bert" else [])]
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=core, pad_token=pad, unk_token="[UNK]", cls_token=first, sep_token=last, model_input_names=names
        )
        folder = home / kind
        network(kind).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        if kind == "mpnet":
            body = Transformer(str(folder))
            head = SentenceTransformer(modules=[body, Pooling(24, pooling_mode="cls"), Normalize()], device="cpu")
            folder = home / "mpnet-sentences"
            head.save_pretrained(str(folder), create_model_card=False)
        found[kind] = folder
    return found


def tastes(users: int = 40) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Documents and neighbours: a taste is two films, one of which every fifth user tells of; neighbours share it."""
    generator = np.random.default_rng(0)
    rows, pairs = [], []
    for user in range(users):
        for version in range(2):
            film = WORDS[1 + user % 5 + 5 * int(generator.integers(0, 2))]
            text = " ".join(["liked", *[film] * int(generator.integers(1, 5))])
            rows.append((f"{user}@{version}", str(user), text, 4 * version, version, FOREVER if version else 1))
        pairs += [(str(user), str((user + 5 * rank) % users), rank) for rank in range(1, users // 5)]
    documents = pl.DataFrame(rows, ["document_id", "user_id", "text", "events", "known_until", "superseded_at"], orient="row")
    return documents, pl.DataFrame(pairs, ["user_id", "neighbour_id", "rank"], orient="row")


def test_every_user_is_in_a_full_batch_beside_a_neighbour():
    world = ring()
    batches = contrastive_batches(world, NOBODY, batch_size=8, seed=0)
    assert {number for batch in batches for _, number in batch} == set(range(30))
    assert all(len(batch) in (7, 8) for batch in batches[:-1]) and len(batches[-1]) <= 8
    for batch in batches:
        inside = {number for _, number in batch}
        assert all(inside & {(n + 1) % 30, (n + 2) % 30, (n - 1) % 30, (n - 2) % 30} for n in inside)


def test_negatives_come_from_outside_a_batch_and_are_nobody_s_neighbours_while_there_are_others():
    world = ring()
    held = world.hold_out(0.2, 0)
    plain = contrastive_batches(world, held, batch_size=4, seed=3)
    assert all(number >= 0 for batch in plain for _, number in batch)
    batches = contrastive_batches(world, held, batch_size=4, seed=3, negatives=6)
    assert batches == contrastive_batches(world, held, batch_size=4, seed=3, negatives=6)
    for batch in batches:
        inside = [number for _, number in batch if number >= 0]
        drawn = [~number for _, number in batch if number < 0]
        near = {int(other) for user in inside for other in world.neighbours[user]}
        assert len(inside) <= 4 and len(drawn) == len(set(drawn)) == 6
        assert not set(drawn) & (near | set(inside) | set(np.flatnonzero(held)))
    (everybody,) = contrastive_batches(ring(6), NOBODY[:6], batch_size=4, seed=0, negatives=9)[:1]
    assert sorted(number if number >= 0 else ~number for _, number in everybody) == list(range(6)), (
        "neighbours too, where others are too few"
    )


def test_hard_negatives_read_alike_and_are_collaboratively_far():
    # Eight users on a circle of documents; the CRM sees two camps, 0 to 3 and 4 to 7, and nothing of user 7.
    angles = np.array([0, 50, 100, 150, 10, 60, 110, 160]) * math.pi / 180
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    camps = np.array([[1, 0]] * 4 + [[0, 1]] * 3 + [[0, 0]], dtype=np.float32)
    table = np.array([[1], [0], [3], [2], [5], [4], [5], [-1]])
    world = Neighbourhood([str(n) for n in range(8)], table, [[str(n)] for n in range(8)])
    found = hard_negatives(vectors, world, NOBODY[:8], 2, teacher=camps, near=2)
    assert found[0].tolist() == [4, 5] and found[1].tolist() == [5, 4]  # 10 and 60 degrees off; 10 and 40
    assert found[4].tolist() == [0, 1] and found[6].tolist() == [2, 3]
    assert found[7].tolist() == [-1, -1] and 7 not in found, "of whom nothing is known cannot be said to be far"
    np.testing.assert_array_equal(hard_negatives(vectors, world, NOBODY[:8], 2, teacher=camps, near=2, cells=1), found)
    held = np.arange(8) == 4
    assert hard_negatives(vectors, world, held, 1, teacher=camps, near=2)[:, 0].tolist() == [5, 5, 6, 6, -1, 1, 2, -1]
    # Without vectors: to 6, 5 is near (a neighbour) and 4 (5's neighbour); to 5, 6 is (whose neighbour 5 is).
    alone = hard_negatives(vectors, world, NOBODY[:8], 2)
    assert alone[0].tolist() == [4, 5] and alone[4].tolist() == [0, 1] and alone[6].tolist() == [2, 3]
    assert alone[5].tolist() == [1, 2]


def test_documents_that_say_the_same_are_no_negatives_and_hard_ones_join_the_batch():
    world = ring(6)
    same = np.ones((6, 3), dtype=np.float32) / math.sqrt(3)
    assert (hard_negatives(same, world, NOBODY[:6], 2) == -1).all()
    hard = np.full((30, 1), -1)
    hard[:, 0] = (np.arange(30) + 15) % 30
    for batch in contrastive_batches(ring(), NOBODY, batch_size=6, seed=1, hard=hard):
        inside = [number for _, number in batch if number >= 0]
        assert {~number for _, number in batch if number < 0} == {(n + 15) % 30 for n in inside} - set(inside)
        assert all(text == f"new {~number}" for text, number in batch if number < 0)


class Given(torch.nn.Module):
    """An encoder whose vectors are its input."""

    def forward(self, features):
        return {"sentence_embedding": features["input_ids"]}


def test_a_negative_only_asks_nothing_and_is_left_out_where_it_is_a_neighbour():
    # 0 and 1 are neighbours; 2 is a negative only, and a neighbour of 0.
    vectors = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8]])
    loss = NeighbourLoss(Given(), torch.tensor([[1, 2], [0, -1], [0, -1]]), temperature=0.5)
    value = float(loss([{"input_ids": vectors}], torch.tensor([0, 1, ~2])))
    # cos(0, 1) = .8, cos(1, 2) = .8 * .6 + .6 * .8 = .96; 0 has no negative left, 1 has one.
    expected = (0.0 + math.log(1 + math.exp((0.96 - 0.8) / 0.5))) / 2
    assert value == pytest.approx(expected, abs=1e-6)


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


def test_recall_and_ndcg_of_held_out_users_by_hand():
    # Four users on a quarter of a circle; nearest first, 0 sees 1, 2, 3.
    angles = np.array([0.0, 0.3, 0.7, 1.2])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    exam = Examination(["a", "b", "c", "d"], np.array([[2, 3], [0, -1], [1, 3], [0, 1]]), np.array([0]), np.array([0, 1]))
    asked = exam.ask(vectors, exam.reported, k=2)
    assert asked.recall.tolist() == [1 / 2, 1.0]  # 0 finds 1 and 2, of 2 and 3; 1 finds 0 and 2, of 0
    np.testing.assert_allclose(asked.ndcg, [(1 / math.log2(3)) / (1 + 1 / math.log2(3)), 1.0])


def test_held_out_users_are_halved_and_few_are_asked_in_a_large_world():
    world = ring(40)
    held = world.hold_out(0.25, 0)
    exam = Examination.of(world, held, seed=0)
    assert len(exam.choosing) == len(exam.reported) == 5 and len(exam.texts) == 40
    assert set(exam.choosing) | set(exam.reported) == set(np.flatnonzero(held))
    small = Examination.of(world, held, seed=0, most=18)
    # 18 // (2 * (1 + 2)) = 3 of each half, with two neighbours each.
    assert len(small.choosing) == len(small.reported) == 3 and len(small.texts) == 18
    for place in (*small.choosing, *small.reported):
        user = int(small.texts[place].split()[1])
        assert held[user] and [small.texts[other] for other in small.neighbours[place]] == [f"new {(user + n) % 40}" for n in (1, 2)]
    lonely = Neighbourhood(world.users, np.where(held[:, None], -1, world.neighbours), world.texts)
    assert not len(Examination.of(lonely, held, seed=0).reported), "who has no neighbour cannot find any"


@pytest.mark.parametrize(("patience", "epochs"), [(None, 5), (1, 3), (2, 4)])
def test_the_best_epoch_is_kept_and_patience_ends_the_rest(patience, epochs):
    # The encoder's one weight is the angle between a user and the neighbour; each epoch sets it to another.
    weight = torch.nn.Linear(1, 1, bias=False)

    def encode(texts):
        angle = weight.weight.detach().item()
        others = [0.05 + n / 100 for n in range(10)]
        return np.array([[math.cos(a), math.sin(a)] for a in (0.0, angle, *others)])

    exam = Examination(["x"] * 12, np.array([[1], [0], *[[-1]] * 10]), np.array([0]), np.array([0]))
    best, goes_on, ran = BestEpoch(weight, exam, encode, patience=patience), True, 0
    for angle in (1.0, 0.01, 1.0, 2.0, 2.5):
        if goes_on:
            weight.weight.data.fill_(angle)
            goes_on, ran = best.end_epoch(ran + 1), ran + 1
    assert ran == epochs and best.recalls == [0.0, 1.0, 0.0, 0.0, 0.0][:epochs]
    best.restore()
    assert (
        best.epoch == 2
        and weight.weight.detach().item() == pytest.approx(0.01)
        and best.reported == {"recall_at_10": 1.0, "ndcg_at_10": 1.0}
    )


SETTINGS = {"epochs": 6, "batch_size": 20, "hold_out": 0.3, "learning_rate": 2e-2, "max_tokens": 16, "tune_layers": None, "seed": 1}


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("bert", {"lora_rank": 4, "chunk": 3, "negatives": 3, "hard_negatives": 1}),
        ("mpnet", {"tune_layers": 2, "patience": 3}),
    ],
)
def test_other_encoders_are_trained_exported_and_served(folders, tmp_path, kind, more):
    from safetensors.torch import load_file
    from sentence_transformers import SentenceTransformer

    documents, neighbours = tastes()
    metrics = train_encoder(folders[kind], documents, neighbours, tmp_path / "encoder", **SETTINGS | more)
    assert metrics["users"] == 40 and metrics["held_out"] == 12 and metrics["held_out_choosing"] == metrics["held_out_reported"] == 6
    by_epoch = metrics["recall_by_epoch"]
    assert len(by_epoch) <= 6 and by_epoch[metrics["best_epoch"] - 1] == max(by_epoch)
    assert metrics["recall_at_10_random"] == 10 / 39
    assert metrics["recall_at_10_after"] > metrics["recall_at_10_before"] + 0.05
    assert metrics["ndcg_at_10_after"] > metrics["ndcg_at_10_before"]
    served = TextEncoder.from_pretrained(tmp_path / "encoder")
    assert served.pooling == {"bert": "mean", "mpnet": "cls"}[kind]
    texts = [*documents["text"].to_list()[:7], "heat", " ".join([*WORDS, "big", "big"])]
    model = SentenceTransformer(str(tmp_path / "encoder"), local_files_only=True, device="cpu")
    theirs = model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    np.testing.assert_allclose(served.encode(texts), theirs, atol=1e-4)
    was, now = (load_file(str(folder / "model.safetensors")) for folder in (folders[kind], tmp_path / "encoder"))
    assert was.keys() == now.keys()
    changed = {name for name in was if not torch.equal(was[name], now[name])}
    assert changed and all(name.startswith("encoder.layer.") for name in changed)
    if kind == "bert":
        assert {name.split(".")[-2] for name in changed} == {"query", "key", "value"}


@pytest.mark.parametrize("more", [{"tune_layers": 1}, {"tune_layers": 1, "lora_rank": 2, "patience": 2}, {"tune_layers": None}])
def test_killed_and_started_again_it_ends_with_the_same_encoder(folders, tmp_path, more):
    """Killed after any step, with a checkpoint every second one: the same weights, epochs and metrics as without."""
    documents, neighbours = tastes()
    settings = RetrieverSettings(**{**{key: value for key, value in SETTINGS.items() if key != "seed"}, "epochs": 3, **more})
    settings = settings.changed(trainer=settings.trainer.changed(save_every=2))

    def train(out, checkpoints, die_after=None):
        def tell(doing, done, total):
            if die_after is not None and doing.startswith("training") and done == die_after:
                raise KeyboardInterrupt

        return train_encoder(folders["bert"], documents, neighbours, out, settings, checkpoints=checkpoints, seed=1, report=tell)

    whole = train(tmp_path / "whole", None)
    for die_after in (1, 3, 4):
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / f"dead{die_after}", tmp_path / "checkpoints", die_after)
    assert [path for path in (tmp_path / "checkpoints").glob("checkpoint-*")]
    again = train(tmp_path / "again", tmp_path / "checkpoints")
    assert again == whole and whole["steps"] > 4
    one, other = (load_file(str(tmp_path / name / "model.safetensors")) for name in ("whole", "again"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_killed_and_started_again_it_ends_with_the_same_cross_encoder(folders, tmp_path):
    texts = ["liked heat", "liked ronin", "liked alien"]
    lists = [RankedList(f"liked {word}", texts, [0.8, 0.2, 0.0]) for word in WORDS]
    settings = RerankerTraining(epochs=3, batch_size=2, max_tokens=16, learning_rate=1e-2, trainer={"save_every": 2})

    def train(out, checkpoints, die_after=None):
        def tell(doing, done, total):
            if doing.startswith("training") and done == die_after:
                raise KeyboardInterrupt

        return train_reranker(folders["bert"], lists, out, settings, checkpoints=checkpoints, seed=2, report=tell)

    whole = train(tmp_path / "whole", None)
    for die_after in (1, 3, 8):
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "dead", tmp_path / "checkpoints", die_after)
    assert train(tmp_path / "again", tmp_path / "checkpoints") == whole
    one, other = (load_file(str(tmp_path / name / "model.safetensors")) for name in ("whole", "again"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_an_encoder_that_is_pooled_otherwise_is_refused_before_it_is_trained(folders, tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    model = SentenceTransformer(modules=[Transformer(str(folders["bert"])), Pooling(24, pooling_mode="max")], device="cpu")
    model.save_pretrained(str(tmp_path / "max"), create_model_card=False)
    with pytest.raises(ModelError, match="a way that is not served") as caught:
        train_encoder(tmp_path / "max", *tastes(), tmp_path / "encoder", **SETTINGS)
    assert "(max)" in caught.value.found


def test_patience_without_held_out_users_is_refused():
    with pytest.raises(ValidationError, match="hold_out is 0"):
        RetrieverSettings(patience=2, hold_out=0)
