"""Training draws by its seed, and leaves the caller's generators as they were."""

from __future__ import annotations

import random
import re
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from test_crm_train import FIT, MAKERS
from test_retriever_train import SETTINGS, folders, tastes  # noqa: F401  (a fixture)

from score_rag.reranker.examples import RankedList
from score_rag.reranker.train import train_reranker
from score_rag.retriever.train import train_encoder
from score_rag.seeds import forked_generators, seeded

SOURCES = Path(__file__).parent.parent / "score_rag"
ROOMS = ["crm", "encoders", "index", "inference", "reranker", "retriever"]


def states() -> list:
    """Of all generators of this process."""
    kind, keys, *rest = np.random.get_state()
    return [random.getstate(), kind, keys.tolist(), *rest, torch.get_rng_state().tolist()]


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), float(torch.rand(()))


def twice(train, same) -> None:
    """Train from two states of the generators: neither is changed, and both trainings come to the same."""
    found = []
    for start in (11, 22):
        random.seed(start), np.random.seed(start), torch.manual_seed(start)
        before = states()
        found.append(train())
        assert states() == before
    same(*found)


def same_bits(one: dict, other: dict) -> None:
    assert one.keys() == other.keys() and one
    for name, tensor in one.items():
        np.testing.assert_array_equal(np.asarray(tensor), np.asarray(other[name]), err_msg=name)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_recommender_leaves_the_generators_alone(kind, toy):
    twice(lambda: MAKERS[kind]().fit(toy, **FIT)._tensors(), same_bits)


def test_a_resumed_recommender_leaves_the_generators_alone(toy, tmp_path):
    def train():
        return MAKERS["mf"]().fit(toy, **FIT, checkpoint=tmp_path / "state")._tensors()

    twice(train, same_bits)


def test_an_encoder_leaves_the_generators_alone(folders, tmp_path):
    from safetensors.torch import load_file

    def train():
        settings = SETTINGS | {"epochs": 1}
        train_encoder(folders["bert"], *tastes(), tmp_path / "encoder", **settings, negatives=3, hard_negatives=1, lora_rank=2)
        return load_file(str(tmp_path / "encoder" / "model.safetensors"))

    twice(train, same_bits)


def test_a_cross_encoder_leaves_the_generators_alone(folders, tmp_path):
    from safetensors.torch import load_file

    texts = ["liked heat", "liked ronin", "liked alien"]
    lists = [RankedList(f"liked {word}", texts, [0.8, 0.2, 0.0]) for word in ("seven", "fargo", "big", "evita", "tootsie")]

    def train():
        train_reranker(folders["bert"], lists, tmp_path / "model", epochs=1, batch_size=2, max_tokens=16, seed=3)
        return load_file(str(tmp_path / "model" / "model.safetensors"))

    twice(train, same_bits)


def test_a_block_that_fails_puts_the_states_back():
    before = states()
    with pytest.raises(RuntimeError), forked_generators(5):
        draw()
        raise RuntimeError
    assert states() == before


def test_what_is_drawn_depends_on_the_seed_alone():
    @seeded
    def drawn(*, seed: int = 7) -> tuple:
        with forked_generators(1):
            draw()
        return draw()

    assert drawn() == drawn(seed=7) != drawn(seed=8)


def test_blocks_of_two_threads_do_not_draw_from_each_other():
    with forked_generators(3):
        alone = [draw() for _ in range(200)]
    found: dict[int, list] = {}

    def work(name: int) -> None:
        with forked_generators(3):
            found[name] = [draw() for _ in range(200)]

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[name] for name in range(4)] == [alone] * 4


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_seeds_the_process(room):
    seeding = re.compile(r"\b(manual_seed|set_seed|seed_everything|random\.seed)\(")
    assert not [file.name for file in (SOURCES / room).rglob("*.py") if seeding.search(file.read_text(encoding="utf-8"))]
