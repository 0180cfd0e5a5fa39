"""The contamination probe: a model that has read the titles is told from one that has not."""

from __future__ import annotations

import json

import numpy as np
import pytest

from score_rag.audit.contamination import Contamination, _share, probe_run
from score_rag.audit.titles import complete_titles, halves, made_up_titles
from score_rag.errors import DataError
from score_rag.metrics.bootstrap import Interval
from score_rag.pipeline.state import run_folder
from score_rag.predictor.base import fit_tokenizer, new_llama
from score_rag.report.report import contamination_sections

ONE, TWO = ["Red", "Blue", "Old", "Lost", "Wild", "Cold"], ["River", "Garden", "House", "Story", "Planet", "Song"]
TITLES = [f"{one} {two}" for place, one in enumerate(ONE) for two in (TWO[place], TWO[(place + 1) % 6])]


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """(A Llama that has read the titles many times, the same before, its encoder)."""
    import torch

    tokenizer = fit_tokenizer([*TITLES, *reversed(TITLES)], tmp_path_factory.mktemp("reader"), vocabulary=320)
    fresh = new_llama(tokenizer, width=32, layers=1, heads=2, max_tokens=64, seed=0)
    read = new_llama(tokenizer, width=32, layers=1, heads=2, max_tokens=64, seed=0)
    rows = [torch.tensor([tokenizer.encode(title).ids]) for title in TITLES]
    optimiser = torch.optim.AdamW(read.parameters(), lr=0.01)
    for _ in range(30):
        for row in rows:
            optimiser.zero_grad()
            read(input_ids=row, labels=row).loss.backward()
            optimiser.step()
    return read.eval(), fresh.eval(), lambda text: tokenizer.encode(text).ids


def complete(model, encode, titles):
    cut = [halves(title) for title in titles]
    return complete_titles(model, encode, [half for half, _ in cut], [rest for _, rest in cut])


def test_who_has_read_the_titles_completes_them_and_who_has_not_does_not(reader):
    read, fresh, encode = reader
    some = TITLES[::2]
    known, made = complete(read, encode, some), complete(read, encode, [f"{one} {TWO[(place + 3) % 6]}" for place, one in enumerate(ONE)])
    assert known.exact.mean() >= 1 / 3, "of two titles with one beginning, one at most is the likeliest"
    assert not made.exact.any() and known.fit.min() > made.fit.max()
    assert not complete(fresh, encode, some).exact.any()


def test_a_batch_changes_nothing_and_the_fit_is_the_model_s_own(reader):
    import torch

    read, _, encode = reader
    together, alone = complete(read, encode, TITLES), [complete(read, encode, [title]) for title in TITLES]
    assert np.allclose(together.fit, [one.fit[0] for one in alone], atol=1e-5)
    assert together.exact.tolist() == [bool(one.exact[0]) for one in alone]
    ids = encode(TITLES[0])
    start = len(encode(TITLES[0].split()[0]))
    with torch.inference_mode():
        logs = torch.log_softmax(read(input_ids=torch.tensor([ids])).logits[0].float(), -1)
    expected = np.mean([float(logs[place - 1, ids[place]]) for place in range(start, len(ids))])
    assert together.fit[0] == pytest.approx(expected, abs=1e-5)


def test_made_up_titles_have_the_same_words_and_are_none_of_the_catalogue():
    made = made_up_titles(TITLES, seed=3)
    assert sorted(" ".join(made).split()) == sorted(" ".join(TITLES).split())
    assert [len(title.split()) for title in made] == [len(title.split()) for title in TITLES]
    assert len(set(made) & set(TITLES)) <= 1


def test_the_finding_needs_more_than_chance():
    def found(own: bool, exact: Interval, made: Interval) -> Contamination:
        return Contamination("who/knows", own, 100, exact, made, 0.9)

    none, some, many = _share(np.zeros(100), 0), _share(np.arange(100) < 3, 0), _share(np.arange(100) < 40, 0)
    assert none == Interval(0.0, 0.0, 0.03) and 0.25 < many.low < 0.4
    assert not found(False, some, none).knows and found(False, many, none).knows
    assert "has read this catalogue elsewhere" in found(False, many, none).warnings()[0]
    assert "trained on them here" in found(True, many, none).warnings()[0]
    assert found(False, none, none).warnings() == []


def test_a_run_is_probed_and_says_so_on_the_command_line(toy_run, toy_parts, monkeypatch, capsys):
    from test_cli import typed

    left, out, _ = typed(monkeypatch, capsys, "doctor", "--contamination", "--pipeline", str(toy_run.path), "--json")
    told = json.loads(out)
    assert left == 0 and told["own"] and told["titles"] == 16 and 0 <= told["told_apart"] <= 1
    assert told["events"] > 0 and told["auc_loss"]["low"] <= told["auc_loss"]["value"] <= told["auc_loss"]["high"]
    assert json.loads((run_folder(toy_run) / "evaluation" / "contamination.json").read_text()) == told
    found = Contamination.from_dict(told)
    assert found.to_dict() == told
    (section,) = contamination_sections(toy_run)
    assert [*found.lines(), *found.warnings()] == [*section.notes, *section.warnings] and "made-up" in section.notes[1]
    left, out, _ = typed(monkeypatch, capsys, "doctor", "--contamination", "--pipeline", str(toy_run.path))
    assert left == 0 and "made-up titles" in out and "without the items' names" in out
    # Other tests read all that lies beside it in the run that they share.
    (run_folder(toy_run) / "evaluation" / "contamination.json").unlink()


def test_a_catalogue_of_single_words_cannot_be_probed(toy_parts, monkeypatch):
    from dataclasses import replace

    bare = {name: replace(item, title="One") for name, item in toy_parts.interactions.catalogue.items()}
    monkeypatch.setitem(toy_parts.interactions.__dict__, "catalogue", bare)
    with pytest.raises(DataError, match="too few titles"):
        probe_run(toy_parts, rows=None)
