"""Settings that suit a number of events, as the text of a pipeline file: each value with why it was chosen and what to change.

What they rest on: the shipped pipelines, the measurements in `benchmarks/README.md`, and the tests' small worlds.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["SIZES", "Size", "size_of"]


class Size(NamedTuple):
    """A size of data.

    Attributes:
        below: It has fewer events.
        about: What it is, in words.
        takes: How long all stages take, about, on two cores.
        text: Settings other than those of `data`.
    """

    below: float
    about: str
    takes: str
    text: str


_ENCODERS = """\
retriever:
  # encoder: sentence-transformers/all-mpnet-base-v2   # larger than the bundled MiniLM; with a GPU, and then tune_layers: null
  tune_layers: 1                # the other layers are asked once a document, which saves most of the time
  learning_rate: 1.0e-3         # one layer alone takes larger steps
  epochs: 2
  index_dtype: bfloat16         # documents are embedded faster where the processor knows it, and else as before
"""

_ASSESSOR = """\
  assessor: score-rag/offline   # bundled rules; with an API key any LiteLLM model, such as gpt-4o-mini: score-rag assess run NAME --dry-run
                                # tells what it would cost
"""

_BASE = """\
  base: bundled                 # a small Llama trained from scratch; with a GPU a hub name (meta-llama/Llama-3.1-8B-Instruct), and then
  prompt: predict_evidence      # prompt: predict, the paper's question, for hub models
"""

SIZES = (
    Size(
        20_000,
        "some thousand events",
        "about five minutes",
        f"""\
crm:
  model: lightgcn               # CAR's teacher
  experts: [lightgcn]           # each is fitted on five blocks of time; din beside it takes twice as long and wants more events

documents:
  every: 8                      # a new version of a user's document each so many events: histories are short

{_ENCODERS}\
  similarity_top_k: 6           # Ke, users handed to the reranker: it reads each of them for each question, so fewer are quicker

reranker:
{_ASSESSOR}\
  pairs: 600                    # questions to learn from; more are better, and each is a call of the assessor
  epochs: 1                     # of so many questions
  layers: 1                     # of the bundled cross-encoder; two take twice as long

predictor:
{_BASE}\
  bundled_base: {{epochs: 2, teacher_weight: 0.8}}  # few events: more epochs learn them by heart, and recommenders teach more than answers
  examples: 400                 # questions that LoRA is tuned on
  valid_examples: 800           # held-out questions that choose the epoch, calibrate and compare
""",
    ),
    Size(
        500_000,
        "some hundred thousand events",
        "half an hour to an hour",
        f"""\
crm:
  model: lightgcn               # CAR's teacher
  experts: [lightgcn, din]      # each is fitted on five blocks of time, which takes the most; [lightgcn] is quicker

documents:
  every: 20                     # a new version of a user's document each so many events

{_ENCODERS}
reranker:
{_ASSESSOR}\
  pairs: 600                    # questions to learn from; each is a call of the assessor
  layers: 1                     # of the bundled cross-encoder; two take twice as long

predictor:
{_BASE}\
  bundled_base: {{examples: 30000}}   # training questions an epoch; null takes all, and hours
""",
    ),
    Size(
        float("inf"),
        "millions of events",
        "hours",
        f"""\
# data.max_users: 20000 would take fewer people and be quicker; who is left out cannot be asked about.

crm:
  model: lightgcn               # CAR's teacher; with a GPU it is found by itself (crm.device: auto)
  experts: [lightgcn]           # each is fitted on five blocks of time: with millions of events one is enough to wait for
  epochs: 15                    # of so many events an epoch teaches much
  patience: 3

documents:
  every: 50                     # a new version of a user's document each so many events: each is embedded
  sparser_after: 4              # and later ones only when the history has grown by a quarter

{_ENCODERS}
reranker:
{_ASSESSOR}\
  pairs: 600                    # questions to learn from; each is a call of the assessor
  layers: 1                     # of the bundled cross-encoder; two take twice as long

predictor:
{_BASE}\
  bundled_base: {{examples: 30000}}   # training questions an epoch; null takes all, and days
""",
    ),
)
"""From the smallest up."""


def size_of(events: int) -> Size:
    """The settings for a number of events.

    >>> size_of(9_000).about, size_of(100_000).about, size_of(20_000_000).about
    ('some thousand events', 'some hundred thousand events', 'millions of events')
    """
    return next(size for size in SIZES if events < size.below)
