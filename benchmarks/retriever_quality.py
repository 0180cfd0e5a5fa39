"""Whom CAR retrieves, beside chance, the untuned encoder and BM25: `python benchmarks/retriever_quality.py --data FOLDER`.

FOLDER is called like a shipped pipeline (ml-1m-collm, ml-latest-small), whose settings hold; or say `--pipeline` and `--source`. Everything
is done as the pipeline does it: data, recommender (CRM), its neighbours, documents, contrastive training. Two questions:

1. Held-out users (`--held`): the CRM knows them, CAR's training does not, in no role. They ask with their newest document among
   everybody's newest documents.
2. New users (`--new`): neither CRM nor CAR was trained with them; a smaller CRM is the teacher of a second CAR. The truth is what the CRM
   that knows everybody says.

A row's columns, of the ten users found, each with a 95 % interval by bootstrap over the asking users:

- of N(u): recall and NDCG of the CRM's Kc nearest users, which is what CAR learns;
- of the CRM's ten: the same of its ten nearest, a truth with less noise;
- genres; creators, keywords: mean cosine between the asking user's tastes and theirs. A taste is how a user's likes in train spread over
  such words, minus all users' mean: chance gives 0. A dash where the catalogue has none;
- later likes: how often those found had liked, in train, what the asking user went on to like (`--later`, new items only), divided by how
  often they would if items and users were liked as often as they are, but independently. Chance gives 1. No CRM has a say in it.

The CRM itself is the ceiling; the CRM fitted with another seed tells how far its own neighbours can be reproduced.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from _retrieval import Asking, Found, Teacher, crm_scores, make_parser, open_pipeline, said, some_users, timed, tune
from rich.console import Console
from rich.table import Table

from score_rag.data.interactions import Interactions
from score_rag.documents.versions import build_documents
from score_rag.encoders.encoder import TextEncoder
from score_rag.metrics.neighbours import ratio
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.describe import make_describer
from score_rag.pipeline.stages import load_data
from score_rag.prompts import find_prompt

CONSOLE = Console(width=190)
AIM = 2.0


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--new", type=float, default=0.1, help="share of users who are new to everything; 0 leaves that question out")
    parser.add_argument("--later", nargs="+", default=["valid"], help="splits whose likes the measure of agreement reads")
    parser.add_argument("--no-refit", action="store_true", help="leave out the CRM with another seed")
    given = parser.parse_args()
    pipeline = open_pipeline(given)
    data, _ = load_data(pipeline)
    settings = pipeline.documents
    describer = make_describer(pipeline, find_prompt(settings.prompt), data.catalogue)
    documents = build_documents(data.train_log, describer, settings)
    with timed("CRM"):
        teacher = Teacher.fit(pipeline, data)
    users = list(dict.fromkeys(documents["user_id"].to_list()))
    print(f"{given.data}: {len(users):,} users with {len(documents):,} documents; {pipeline.crm.model}, Kc = {pipeline.crm.neighbours}")
    with timed("untuned encoder"):
        untuned = tune(pipeline, documents, teacher, set(users), epochs=0, hold_out=0.0)

    held = some_users(users, given.held, pipeline.seed)
    asking = Asking(data, documents, teacher, held, pipeline.crm.neighbours, tuple(given.later))
    with timed("CAR"):
        car = tune(pipeline, documents, teacher, set(users) - held)
    rows = compare(asking, untuned, car, pipeline.seed)
    if not given.no_refit:
        with timed("CRM, another seed"):
            other = Teacher.fit(pipeline, data, seed=pipeline.seed + 1)
        rows["CRM, another seed"] = asking.measure(crm_scores(other.rows(asking.users), asking.asked))
    rows["CRM (ceiling)"] = asking.measure(crm_scores(asking.vectors, asking.asked))
    tell("held-out users", asking, rows)

    if given.new:
        tell("new users", *new_users(pipeline, data, asking, untuned, some_users(users, given.new, pipeline.seed + 1)))


def new_users(
    pipeline: Pipeline, data: Interactions, before: Asking, untuned: TextEncoder, new: set[str]
) -> tuple[Asking, dict[str, Found]]:
    """The second question: (who asks, rows)."""
    known = data.with_events(data.events.filter(~pl.col("user_id").cast(pl.String()).is_in(list(new))))
    with timed("CRM without the new users"):
        smaller = Teacher.fit(pipeline, known)
    asking = Asking(data, before.documents, before.teacher, new, before.kc, before.later)
    with timed("CAR without the new users"):
        car = tune(pipeline, before.documents, smaller, set(asking.users) - new)
    rows = compare(asking, untuned, car, pipeline.seed)
    if pipeline.crm.model != "file":
        vectors = smaller.rows(asking.users)
        vectors[asking.asked] = smaller.model.history_vectors([data.train_log.of(asking.users[place]) for place in asking.asked])
        rows["CRM without them, reading their history"] = asking.measure(crm_scores(vectors, asking.asked))
    rows["CRM that knows them (ceiling)"] = asking.measure(crm_scores(asking.vectors, asking.asked))
    return asking, rows


def compare(asking: Asking, untuned: TextEncoder, car: TextEncoder, seed: int) -> dict[str, Found]:
    """The rows that need no CRM to ask."""
    return {
        "random": asking.measure(np.random.default_rng(seed).random((len(asking.asked), len(asking.users)))),
        "BM25": asking.measure(asking.bm25()),
        "untuned encoder": asking.measure(asking.encoded(untuned)),
        "CAR": asking.measure(asking.encoded(car)),
    }


def tell(what: str, asking: Asking, rows: Mapping[str, Found]) -> None:
    """One table, and what CAR's training gained."""
    likes = [len(items) for items in asking.later_likes if items]
    title = f"{what}: {len(asking.asked):,} ask among {len(asking.users):,}; {len(likes):,} of them have later likes ({sum(likes):,})"
    table = Table(title=title, title_justify="left")
    names = ("recall@10 of N(u)", "NDCG@10", "recall@10 of CRM's ten", "NDCG@10", "genres", "creators, keywords", "later likes")
    for name in ("retriever", *names):
        table.add_column(name, justify="left" if name == "retriever" else "right")
    for name, found in rows.items():
        table.add_row(name, *found.cells())
    CONSOLE.print(table)
    for name, other in (("untuned", "untuned encoder"), ("BM25", "BM25")):
        gain = said(ratio(rows["CAR"].recall, rows[other].recall), places=2)
        print(f"CAR / {name}, recall@10 of N(u): {gain}" + (f" (aim: {AIM:g} or more)" if name == "untuned" else ""))


if __name__ == "__main__":
    main()
