"""Training questions in groups: other users found once serve every epoch."""

from __future__ import annotations

import numpy as np

from score_rag.context.examples import group_questions, sample_events
from score_rag.context.finder import RetrievedContext
from score_rag.context.levels import Levels
from score_rag.pipeline import fit_predictor
from score_rag.pipeline.run import Run
from score_rag.predictor.settings import BaseTraining
from score_rag.prompts import find_prompt


def test_users_found_before_make_the_questions_that_finding_them_again_would(toy_run):
    run = Run.open(toy_run, predict_prompt=find_prompt("predict_neighbours"), stages=("retriever",))
    events = sample_events(run.histories, "train", 60, seed=0)
    finder, writer = run.make_finder(None), run.make_writer(Levels({}))
    assert writer.builder.tells_neighbours
    found = dict(zip(events, finder.find(finder.questions(events), stored=True), strict=True))
    targets = {event: row / 100 for row, event in enumerate(events)}

    def groups(**given):
        return group_questions(events, finder, writer, BaseTraining(), generator=np.random.default_rng(3), **given)

    nobody = RetrievedContext()
    again, once = groups(), groups(contexts=found, targets=targets)
    assert [group.prompts for group in once] == [group.prompts for group in again]
    assert any("similar" in prompt for group in once for prompt in group.prompts)
    alone = groups(contexts=dict.fromkeys(events, nobody))
    assert [group.prompts for group in alone] != [group.prompts for group in once], "they are told"
    assert all(group.targets is None for group in again)
    aims = sorted(aim for group in once for aim in group.targets or [])
    assert aims == sorted(targets.values())


def test_recommenders_teach_the_base_only_where_its_prompt_tells_what_they_expect(toy_run, tmp_path, monkeypatch):
    given = []

    def fit_base(epochs, *rest, **more):
        given.append(epochs)
        return {}

    monkeypatch.setattr(fit_predictor, "fit_base", fit_base)
    for prompt, weight, hide in (
        ("predict_evidence", 0.5, ()),
        ("predict_evidence", 0.5, ("expectation",)),
        ("predict_neighbours", 0.5, ()),
    ):
        own = toy_run.predictor.model_copy(update={"bundled_base": toy_run.predictor.bundled_base.changed(teacher_weight=weight)})
        run = Run.open(toy_run.model_copy(update={"predictor": own}), predict_prompt=find_prompt(prompt), stages=("retriever",))
        events = fit_predictor.askable(run)
        fit_predictor.fit_bundled_base(run, run.make_writer(Levels({})), events, [], tmp_path, hide, None, lambda *told: None)
    taught, hidden, untold = given
    for group in taught[0]:
        assert group.targets is not None
        for aim, label in zip(group.targets, group.labels, strict=True):
            assert abs(aim - label) <= 0.5, "half is the answer"
    assert any(0 < aim < 1 for group in taught[0] for aim in group.targets or [])
    assert all(group.targets is None for epochs in (hidden, untold) for group in epochs[0])
