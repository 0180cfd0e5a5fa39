"""Training questions in groups: other users found once serve every epoch."""

from __future__ import annotations

import numpy as np

from score_rag.context.examples import group_questions, sample_events
from score_rag.context.finder import RetrievedContext
from score_rag.context.levels import Levels
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
