"""The assessments of a run's reranker by a model of the hub, batched by vLLM inside Ray Data, on the GPUs of a cluster.

    pip install 'score-rag[ray,train]' vllm
    python examples/ray/assess_with_vllm.py shop --model meta-llama/Llama-3.1-70B-Instruct --gpus-each 4 --replicas 2
    score-rag run shop --set reranker.assessor=hosted_vllm/meta-llama/Llama-3.1-70B-Instruct

The stages data and documents have to be finished. Answers are validated as always and kept in the run; what is not valid, or fails, is left
out and asked by the next call. With `--dry-run` a stand-in is in the place of vLLM's stage, on any machine: questions, Ray Data and
validation are the real ones, the engine is not, and nothing is kept in the run.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
from ray.data.llm import build_processor, vLLMEngineProcessorConfig

from score_rag import load_pipeline
from score_rag.files import folder_lock
from score_rag.files.lines import drop_torn_line
from score_rag.pipeline.assessing import AssessmentJob, open_job
from score_rag.pipeline.state import run_folder
from score_rag.reranker.answers import append_answer, read_answers
from score_rag.reranker.asking import Answered
from score_rag.reranker.assess import unanswered
from score_rag.reranker.assessment import messages
from score_rag.reranker.replies import InvalidReplyError, read_reply
from score_rag.reranker.spend import Usage


def engine_config(model: str, gpus_each: int, replicas: int) -> vLLMEngineProcessorConfig:
    """One engine on so many GPUs of a node, and so many engines."""
    return vLLMEngineProcessorConfig(
        model_source=model,
        engine_kwargs={"tensor_parallel_size": gpus_each, "enable_prefix_caching": True, "max_model_len": 8192},
        concurrency=replicas,
        batch_size=64,
    )


def questions(job: AssessmentJob) -> list[dict[str, Any]]:
    """Those without an answer: their place and what is asked. Nobody is told whose question it is."""
    places = unanswered(job.keys, read_answers(job.out))
    return [{"place": place, "messages": messages(job.requests[place], job.prompt)} for place in places]


def before(row: dict[str, Any], temperature: float, max_tokens: int) -> dict[str, Any]:
    """A question as vLLM's stage reads it."""
    return {"messages": row["messages"], "sampling_params": {"temperature": temperature, "max_tokens": max_tokens}}


def after(row: dict[str, Any]) -> dict[str, Any]:
    """What is kept of vLLM's row."""
    return {
        "place": row["place"],
        "text": row["generated_text"],
        "prompt_tokens": row["num_input_tokens"],
        "completion_tokens": row["num_generated_tokens"],
    }


def stand_in(row: dict[str, Any]) -> dict[str, Any]:
    """What vLLM's stage adds to a row, without a model: the last words of the question."""
    words = row["messages"][0]["content"].split()
    text = json.dumps({"characteristics": [" ".join(words[-6:])], "reason": "a stand-in, no model was asked"})
    return {**row, "generated_text": text, "num_input_tokens": len(words), "num_generated_tokens": 9}


def keep(job: AssessmentJob, rows: Any) -> tuple[int, int]:
    """(kept, not valid); each answer is written as it comes."""
    kept = wrong = 0
    keys = job.keys
    job.out.parent.mkdir(parents=True, exist_ok=True)
    drop_torn_line(job.out)
    with job.out.open("a", encoding="utf-8") as stream:
        for row in rows:
            try:
                answer = read_reply(row["text"])
            except InvalidReplyError:
                wrong += 1
                continue
            place = int(row["place"])
            usage = Usage(int(row["prompt_tokens"]), int(row["completion_tokens"]), None)
            append_answer(stream, keys[place], job.settings.assessor, job.requests[place], Answered(answer, usage))
            kept += 1
    return kept, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipeline")
    parser.add_argument("--model", required=True)
    parser.add_argument("--gpus-each", type=int, default=1)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--dry-run", action="store_true")
    given = parser.parse_args()
    pipeline = load_pipeline(given.pipeline, overrides=[*given.overrides, f"reranker.assessor=hosted_vllm/{given.model}"])
    config = engine_config(given.model, given.gpus_each, given.replicas)
    with folder_lock(run_folder(pipeline), doing="assessing with vLLM"):
        job = open_job(pipeline)
        asked = questions(job)
        if not asked:
            print("all questions are answered")
            return
        settings = job.settings
        data = ray.data.from_items(asked)
        first = partial(before, temperature=settings.temperature, max_tokens=settings.max_answer_tokens)
        with tempfile.TemporaryDirectory() as aside:
            if given.dry_run:
                job = replace(job, out=Path(aside) / "assessments.jsonl")
                data = data.map(lambda row: {**row, **first(row)}).map(stand_in).map(after)
            else:
                data = build_processor(config, preprocess=first, postprocess=after)(data)
            kept, wrong = keep(job, data.iter_rows())
            print(f"{kept} of {len(asked)} answers {'were valid' if given.dry_run else 'kept'}, {wrong} not valid")


if __name__ == "__main__":
    main()
