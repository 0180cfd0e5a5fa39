"""What choosing the few other users is worth: nobody, random ones, CAR's, the reranker's by each supervision, and the best possible choice.

    score-rag run ml-1m-collm --set data.path=FOLDER --until retriever
    python benchmarks/reranker_worth.py ml-1m-collm --set data.path=FOLDER [--rows 3000] [--prompt predict_neighbours] [--examples N]
        [--sources assessment,measured,both] [--stock BAAI/bge-reranker-large]

Needs a run whose retriever is finished. Trains one small Llama on the prompt (whose other users are chosen by likeness), and a reranker
for each supervision into a temporary folder, all on training events. Then asks validation events with each choice of Ks users and prints
AUC, UAUC, mean log-likelihood of the true answers (nats), and how much of the way from CAR's choice to the oracle's each goes, with 95 %
intervals over users. The oracle takes the Ks users that help most one by one, and knows the answers: it is a ceiling, not a method.
`--stock` is a cross-encoder from a hub that nobody tuned.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from score_rag.context.examples import sample_events
from score_rag.context.finder import RetrievedContext
from score_rag.context.question import Question
from score_rag.evaluation.shuffle import random_contexts
from score_rag.index.reader import Hit
from score_rag.metrics.bootstrap import Bootstrap
from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.measuring import Probe
from score_rag.pipeline.run import Run
from score_rag.prompts import find_prompt
from score_rag.reranker.examples import sample_requests
from score_rag.reranker.fit import fit_reranker
from score_rag.reranker.pair_texts import PairTexts
from score_rag.reranker.scorer import PairScorer
from score_rag.reranker.torch_scorer import bulk_scorer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipeline")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--split", default="valid")
    parser.add_argument("--prompt", default="predict_neighbours")
    parser.add_argument("--sources", default="assessment,measured,both")
    parser.add_argument("--examples", type=int, help="training events of the Llama that is asked; all by default")
    parser.add_argument("--stock")
    given = parser.parse_args()
    pipeline = load_pipeline(given.pipeline, overrides=given.overrides)
    run = Run.open(pipeline)
    finder, kept = run.make_finder(None), pipeline.reranker.top_n
    requests = sample_requests(run.interactions, run.describer, pipeline.reranker.pairs, history=pipeline.data.history, seed=pipeline.seed)
    events = sample_events(run.histories, given.split, given.rows, seed=pipeline.seed)
    questions, liked = finder.questions(events), [event.liked for event in events]
    with tempfile.TemporaryDirectory() as aside:
        folder = Path(aside)
        probe, facts = Probe.fit(
            run, find_prompt(given.prompt), folder / "probe", without=[one.event for one in requests], examples=given.examples
        )
        print(
            f"the Llama that is asked: AUC {facts['valid_auc']:.3f} on 1,000 validation events, by which its epoch was chosen", flush=True
        )
        hits = [found[: finder.similarity_top_k] for found in finder.retrieve(questions)]
        plain = finder.keep(questions, hits)
        gains = probe.gains(questions, hits, liked)
        choices = {
            "nobody": [RetrievedContext() for _ in questions],
            "random users": random_contexts(questions, plain, run.index, finder, seed=pipeline.seed),
            "random of the retrieved": _by(hits, [np.random.default_rng(row).random(len(found)) for row, found in enumerate(hits)], kept),
            "CAR's most alike": plain,
        }
        if given.stock:
            choices["CAR + stock cross-encoder"] = _by(hits, _stock(given.stock, finder, questions, hits), kept)
        for source in filter(None, given.sources.split(",")):
            began = time.process_time()
            scorer = _train(run, probe, source, folder / source)
            print(f"SARE by {source}: {(time.process_time() - began) / 60:.1f} CPU minutes", flush=True)
            choices[f"CAR + SARE ({source})"] = run.make_finder(bulk_scorer(scorer)).keep(questions, hits)
        choices["oracle (knows the answers)"] = _by(hits, gains, kept)
        texts = {name: [told.text for told in probe.writer.write(questions, chosen)] for name, chosen in choices.items()}
        said = {name: np.array([one.probability for one in probe.engine.score(prompts)]) for name, prompts in texts.items()}
    _print(said, [event.user_id for event in events], np.array(liked))


def _by(hits: Sequence[Sequence[Hit]], scores: Sequence[np.ndarray], count: int) -> list[RetrievedContext]:
    out = []
    for found, own in zip(hits, scores, strict=True):
        best = np.argsort(-own, kind="stable")[:count].tolist()
        out.append(RetrievedContext(tuple(found), tuple((found[place], float(own[place])) for place in best)))
    return out


def _train(run: Run, probe: Probe, source: str, folder: Path) -> PairScorer:
    finder, pipeline = run.make_finder(None), run.pipeline
    folder.mkdir()

    def questions(requests: Sequence) -> list[Question]:
        return finder.questions([one.event for one in requests])

    metrics = fit_reranker(
        finder.interactions,
        lambda requests: [found[: finder.similarity_top_k] for found in finder.retrieve(questions(requests))],
        folder,
        pipeline.reranker.changed(supervision=source),
        prompt=find_prompt(pipeline.reranker.assess_prompt),
        texts=PairTexts.shipped(pipeline.reranker.question_prompt, pipeline.reranker.behaviour_prompt),
        describer=finder.describer,
        assessments_path=folder.parent / "assessments.jsonl",
        measure=lambda requests, found: probe.gains(questions(requests), found, [one.event.liked for one in requests]),
        history=pipeline.data.history,
        seed=pipeline.seed,
    )
    print({name: round(value, 3) if isinstance(value, float) else value for name, value in metrics.items()}, flush=True)
    return PairScorer.from_pretrained(folder)


def _stock(name: str, finder: object, questions: Sequence[Question], hits: Sequence[Sequence[Hit]]) -> list[np.ndarray]:
    from sentence_transformers import CrossEncoder

    from score_rag.documents.describer import describe_item

    texts, model = PairTexts.shipped(), CrossEncoder(name)
    pairs = [
        (texts.ask(finder.query(question), describe_item(finder.interactions.item(question.item_id))), hit.text)
        for question, found in zip(questions, hits, strict=True)
        for hit in found
    ]
    scores = model.predict(pairs)
    return np.split(np.asarray(scores), np.cumsum([len(found) for found in hits])[:-1])


def _print(said: dict[str, np.ndarray], users: list[str], liked: np.ndarray) -> None:
    bootstrap = Bootstrap(users, liked.astype(int))
    told = {name: np.log(np.clip(np.where(liked, p, 1 - p), 1e-12, 1)) for name, p in said.items()}
    places = np.unique(np.asarray(users), return_inverse=True)[1]
    generator = np.random.default_rng(0)
    draws = generator.multinomial(places.max() + 1, np.full(places.max() + 1, 1 / (places.max() + 1)), size=1000)[:, places].astype(float)

    def way(name: str, weights: np.ndarray) -> np.ndarray:
        car, oracle = told["CAR's most alike"], told["oracle (knows the answers)"]
        return weights @ (told[name] - car) / (weights @ (oracle - car))

    print(f"{len(liked):,} events of {places.max() + 1} users")
    print(f"{'':<28} {'AUC':>6} {'UAUC':>6} {'log-lik.':>9}  of the way from CAR's choice to the oracle's, 95 %")
    for name, p in said.items():
        share = way(name, np.ones((1, len(liked))))[0], *np.percentile(way(name, draws), [2.5, 97.5])
        own = bootstrap.auc(p)[0], bootstrap.uauc(p)[0], told[name].mean()
        print(f"{name:<28} {own[0]:.4f} {own[1]:.4f} {own[2]:>9.4f}  {share[0]:+.3f} ({share[1]:+.3f} to {share[2]:+.3f})")


if __name__ == "__main__":
    main()
