"""CAR's training: the choice of the epoch, encoders of other builds, kills."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from encoder_world import network, ring
from pydantic import ValidationError
from safetensors.torch import load_file

from score_rag.documents.versions import FOREVER
from score_rag.encoders.encoder import TextEncoder
from score_rag.errors import ModelError
from score_rag.reranker.examples import RankedList
from score_rag.reranker.settings import RerankerTraining
from score_rag.reranker.train import train_reranker
from score_rag.retriever.examples import Neighbourhood
from score_rag.retriever.settings import RetrieverSettings
from score_rag.retriever.train import train_encoder
from score_rag.retriever.validation import BestEpoch, Examination

WORDS = ["liked", "heat", "ronin", "alien", "grease", "cabaret", "evita", "seven", "fargo", "tootsie", "big"]


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


@pytest.mark.parametrize(
    "more",
    [
        {"tune_layers": 1, "lora_rank": 2, "patience": 2},
        pytest.param({"tune_layers": 1}, marks=pytest.mark.slow),
        pytest.param({"tune_layers": None}, marks=pytest.mark.slow),
    ],
)
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


def test_a_cross_encoder_s_logits_are_those_of_the_loss_and_0_is_the_mean(folders, tmp_path):
    from sentence_transformers import CrossEncoder

    texts = ["liked heat", "liked ronin", "liked alien"]
    lists = [RankedList(f"liked {word}", texts, [1.0, 0.0, 0.0]) for word in WORDS]
    settings = RerankerTraining(epochs=2, batch_size=2, max_tokens=16, learning_rate=1e-2, hold_out=0.5)
    spreads = {}
    for temperature in (1.0, 0.05):
        out = tmp_path / str(temperature)
        train_reranker(folders["bert"], lists, out, settings, loss_temperature=temperature, seed=2)
        scorer = CrossEncoder(str(out), local_files_only=True, device="cpu", max_length=16)
        held = np.random.default_rng(2).permutation(len(lists))[: round(0.5 * len(lists))]
        logits = scorer.predict([(lists[place].query, text) for place in held for text in texts], activation_fn=torch.nn.Identity())
        assert abs(logits.mean()) < 1e-3 * max(1, np.abs(logits).max())
        spreads[temperature] = np.reshape(logits, (-1, 3)).std(axis=1).mean()
    assert spreads[0.05] > 2 * spreads[1.0] > 0


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
