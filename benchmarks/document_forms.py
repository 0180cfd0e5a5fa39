"""Forms of documents and budgets of tokens, by what they let the retriever find: `python benchmarks/document_forms.py --data FOLDER`.

Data, pipeline and held-out users as in `retriever_quality.py`; the recommender is fitted once. Each form (a prompt, `--forms`) is told

- as the pipeline tells it (`--budgets none`): so many items, however long that is, the encoder cutting what is over its `max_tokens`;
- within so many tokens (`--budgets 64 128 256`): up to `--most` items, dropped until it fits, and an encoder that reads so many tokens;
- of a catalogue that says less (`--metadata "titles only" "generic titles" "noisy genres"`; `_metadata.py` says what each is).

For each: mean tokens of a newest document, and recall and NDCG@10 of the CRM's Kc nearest users (and of its ten) on held-out users, by the
untuned encoder and by CAR trained on these very documents; 95 % intervals by bootstrap over the asking users.
"""

from __future__ import annotations

import itertools

import numpy as np
from _metadata import METADATA, with_metadata
from _retrieval import Asking, Teacher, make_parser, open_pipeline, said, some_users, timed, tune
from rich.console import Console
from rich.table import Table

from score_rag.documents.describer import token_counter
from score_rag.documents.versions import build_documents
from score_rag.encoders.encoder import TextEncoder, find_encoder
from score_rag.metrics.neighbours import mean
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.describe import make_describer
from score_rag.pipeline.stages import load_data
from score_rag.prompts import find_prompt, prompt_names


def main() -> None:
    forms = [name for name in prompt_names() if name.startswith("describe_")]
    parser = make_parser(__doc__)
    parser.add_argument("--forms", nargs="+", default=forms, help="prompts")
    parser.add_argument("--budgets", nargs="+", default=["none", "64", "128", "256"])
    parser.add_argument("--metadata", nargs="+", default=["as it is"], choices=METADATA, help="what the catalogue says")
    parser.add_argument("--epochs", type=int, help="of CAR; by default the pipeline's; 0 measures the untuned encoder alone")
    parser.add_argument("--most", type=int, default=60, help="items told where a budget limits them; a third of them disliked")
    given = parser.parse_args()
    pipeline = open_pipeline(given)
    data, _ = load_data(pipeline)
    with timed("CRM"):
        teacher = Teacher.fit(pipeline, data)
    # How long texts are is told by the encoder that reads them.
    count = token_counter(find_encoder(pipeline.retriever.encoder))
    untuned: dict[int, TextEncoder] = {}
    table = Table(
        title=f"{given.data}: {len(teacher.users):,} users, held out {given.held:g}, Kc = {pipeline.crm.neighbours}", title_justify="left"
    )
    for name in (
        "form",
        "metadata",
        "budget",
        "tokens",
        "untuned: recall@10 of N(u)",
        "NDCG@10",
        "CAR: recall@10 of N(u)",
        "NDCG@10",
        "CAR: of CRM's ten",
    ):
        table.add_column(name, justify="left" if name == "form" else "right")
    for form, metadata, budget in itertools.product(given.forms, given.metadata, given.budgets):
        told_of = with_metadata(data, metadata, seed=pipeline.seed)
        part = within(pipeline, form, None if budget == "none" else int(budget), given.most)
        told, describer = part.documents, make_describer(part, find_prompt(form), told_of.catalogue)
        documents = build_documents(told_of.train_log, describer, told)
        users = set(documents["user_id"].to_list())
        held = some_users(teacher.users, given.held, pipeline.seed)
        asking = Asking(told_of, documents, teacher, held, pipeline.crm.neighbours)
        with timed(f"{form}, {metadata}, {budget}"):
            length = part.retriever.max_tokens
            if length not in untuned:
                untuned[length] = tune(part, documents, teacher, users, epochs=0, hold_out=0.0)
            before = asking.measure(asking.encoded(untuned[length]))
            epochs = part.retriever.epochs if given.epochs is None else given.epochs
            after = asking.measure(asking.encoded(tune(part, documents, teacher, users - held, epochs=epochs))) if epochs else None
        tokens = np.mean([count(text) for text in asking.texts.values()])
        cells = [said(mean(values)) for values in (before.recall, before.ndcg)]
        cells += [said(mean(values)) for values in (after.recall, after.ndcg, after.recall_ten)] if after else []
        table.add_row(form, metadata, budget, f"{tokens:.0f}", *cells)
        print(f"    {tokens:.0f} tokens; " + "; ".join(cells), flush=True)
    Console(width=190).print(table)


def within(pipeline: Pipeline, form: str, budget: int | None, most: int) -> Pipeline:
    """The pipeline with documents of this form and budget."""
    documents: dict[str, object] = {"prompt": form, "max_tokens": budget, "tokenizer": pipeline.retriever.encoder}
    if budget is None:
        return pipeline.model_copy(update={"documents": pipeline.documents.model_copy(update=documents)})
    documents |= {"max_liked": most - most // 3, "max_disliked": most // 3}
    retriever = pipeline.retriever.model_copy(update={"max_tokens": budget})
    return pipeline.model_copy(update={"documents": pipeline.documents.model_copy(update=documents), "retriever": retriever})


if __name__ == "__main__":
    main()
