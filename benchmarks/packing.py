"""Token-steps of an epoch over training questions: one prompt a sequence against packs, for each shipped predict prompt.

    score-rag run sample
    python benchmarks/packing.py sample [--set ...] [--examples 4000]

Scores and losses are those of one prompt at a time (tests/test_packing.py), so equal epochs give equal models, and the ratio of tokens is
the ratio of token-steps at equal validation AUC. Questions are grouped as the bundled base's training groups them, with all evidence told;
tokens are those of the run's own tokenizer, without padding.
"""

from __future__ import annotations

import argparse

import numpy as np
from tokenizers import Tokenizer

from score_rag.context.examples import group_questions, sample_events
from score_rag.context.levels import Levels
from score_rag.files import read_json
from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.run import Run
from score_rag.predictor.groups import packs_of
from score_rag.prompts import find_prompt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipeline")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--examples", type=int, default=4000)
    given = parser.parse_args()
    pipeline = load_pipeline(given.pipeline, overrides=given.overrides)
    for name in ("predict_evidence", "predict_history", "predict"):
        run = Run.open(pipeline, predict_prompt=find_prompt(name))
        tokenizer = Tokenizer.from_file(str(run.folder("predictor") / "base" / "tokenizer.json"))
        levels = Levels.from_dict(read_json(run.folder("predictor") / "levels.json"))
        settings = pipeline.predictor.bundled_base.changed(evidence_dropout=0, neighbour_dropout=0, name_dropout=0)
        # The latest ones: their histories are as long as a prompt tells.
        events = sample_events(run.histories, "train", None, seed=0)[-given.examples :]
        groups = group_questions(
            events, run.make_finder(None), run.make_writer(levels), settings, generator=np.random.default_rng(0), hide=()
        )

        def encode(text: str, tokenizer: Tokenizer = tokenizer) -> list[int]:
            return list(tokenizer.encode(text).ids)

        alone = sum(len(encode(prompt)) for group in groups for prompt in group.prompts)
        packed = sum(len(pack) for pack in packs_of(groups, encode))
        questions = sum(len(group.labels) for group in groups)
        print(
            f"{name:<17} {questions:,} questions: {alone / questions:6.1f} tokens a question alone, {packed / questions:6.1f} packed, "
            f"ratio {alone / packed:.2f}"
        )


if __name__ == "__main__":
    main()
