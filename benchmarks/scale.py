"""From events to histories on many events, beside reading their Parquet once with Polars: time as a ratio, peak memory.

    python benchmarks/scale.py                                                        # 2 million events
    python benchmarks/scale.py --events 25000000 --users 500000 --items 60000         # the target: log at most 2 x, .. 1.5 GB
    python benchmarks/scale.py --what columns      # made by each process, or mapped
    python benchmarks/scale.py --what documents    # or index, crm (vectors, neighbours), item_knn, expectations, predictor, lightgcn, ..

Users and items of skewed activity, split by time. Times are of the processor, all cores together, so that what else the machine does
counts little; each step is given what the steps before it made.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
from _scale_stages import FLOOR, crm, documents, expectations, floor, index, item_knn, lightgcn, predictor, sasrec

QUESTIONS = 100_000
STAGES = {stage.__name__: stage for stage in (floor, documents, index, crm, item_knn, expectations, predictor, lightgcn, sasrec)}
INSIDE = {
    "events": ("measure",),
    "columns": ("open", "keep", "open"),
    "documents": ("floor", "documents"),
    "index": ("floor", "documents", "index"),
    "predictor": ("floor", "expectations", "predictor"),
    **{name: ("floor", name) for name in ("crm", "item_knn", "expectations", "lightgcn", "sasrec")},
}


def main() -> None:
    """Write the events in one process and measure in another: peak memory is of the measured alone."""
    given = arguments()
    if given.inside == "make":
        make(given.folder, given.events, given.users, given.items)
        return
    if given.inside:
        if (given.folder / "floor").is_file():
            FLOOR.append(float((given.folder / "floor").read_text(encoding="utf-8")))
        {"measure": measure, "open": opened, "keep": keep, **STAGES}[given.inside](given.folder)
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        words = [sys.executable, __file__, *sys.argv[1:], "--folder", folder]
        for inside in ("make", *INSIDE[given.what]):
            subprocess.run([*words, "--inside", inside], check=True)


def make(folder: Path, events: int, users: int, items: int) -> None:
    """The artefacts of a `data` stage."""
    from score_rag.data.interactions import SPLITS, Interactions

    generator = np.random.default_rng(0)

    def column(count: int) -> pl.Series:
        names = pl.Series(np.arange(count)).cast(pl.String()).cast(pl.Categorical())
        return names.gather((count * generator.random(events) ** 2).astype(np.uint32))

    cuts = np.searchsorted([0.8, 0.9], (np.arange(events) + 0.5) / events) + 1
    frame = pl.DataFrame(
        {
            "user_id": column(users),
            "item_id": column(items),
            "label": (generator.random(events) < 0.6).astype(np.int8),
            "timestamp": np.sort(generator.integers(1_000_000_000, 1_500_000_000, events)),
            "split": pl.Series(SPLITS, dtype=pl.Enum(SPLITS)).gather(cuts),
        }
    )
    names = pl.Series(np.arange(items)).cast(pl.String())
    Interactions(frame, pl.DataFrame({"item_id": names, "title": names})).write(folder)


def measure(folder: Path) -> None:
    """Print each step's time as a ratio, and the most memory held until its end."""
    floor = 0.0
    for name, step in steps(folder):
        started = time.process_time()
        told = step()
        seconds = time.process_time() - started
        floor = floor or seconds
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        print(f"{name:<46} {seconds:8.2f} s  {seconds / floor:6.1f} x  {peak:5.2f} GB at most  {told or ''}", flush=True)


def opened(folder: Path) -> None:
    """What a process that answers opens, and the memory that is then its own: columns that are made, or mapped where they are kept."""
    import scipy.sparse  # noqa: F401

    from score_rag.data.interactions import Interactions

    pl.read_parquet(folder / "events.parquet", n_rows=1000)
    before, started = private(), time.process_time()
    data = Interactions.read(folder)
    told = data.log, data.train_log, data.by_item, data.train_end
    seconds, own = time.process_time() - started, private() - before
    started = time.process_time()
    frame = pl.read_parquet(folder / "events.parquet")
    floor = time.process_time() - started
    name = "columns, made" if data._mapped is None else "columns, mapped"
    print(f"{name:<46} {seconds:8.2f} s  {seconds / floor:6.2f} x  {own:5.2f} GB of its own")
    del told, frame


def keep(folder: Path) -> None:
    """What the data stage pays once."""
    from score_rag.data.interactions import Interactions

    data = Interactions.read(folder)
    started = time.process_time()
    _ = data.log, data.train_log, data.by_item
    making, started = time.process_time() - started, time.process_time()
    data.keep_columns(folder)
    keeping = time.process_time() - started
    size = sum(file.stat().st_size for file in (folder / "columns").iterdir()) / 1e9
    print(f"{'keep them, with digests':<46} {keeping:8.2f} s  {keeping / making:6.2f} x of making them, {size:.2f} GB on disk")


def private() -> float:
    """GB that no other process shares: what is mapped and only read is not among them."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")) * 1024 / 1e9


def steps(folder: Path) -> Iterator[tuple[str, Callable[[], str | None]]]:
    """(What is done, how): the first is the floor."""
    import scipy.sparse  # noqa: F401  # what is imported once is no part of any step

    from score_rag.context.examples import sample_events
    from score_rag.context.rates import ItemRates
    from score_rag.crm.item_item import ItemKNN
    from score_rag.crm.judgements import Judgements
    from score_rag.crm.ranking import RankingTask
    from score_rag.data.interactions import Interactions
    from score_rag.reranker.offline import OfflineAssessor

    pl.read_parquet(folder / "events.parquet", n_rows=1000)

    def read() -> str:
        return f"{len(pl.read_parquet(folder / 'events.parquet')):,} events"

    yield "read the Parquet once (floor)", read
    made: list[Interactions] = []
    yield "open the data", lambda: made.append(Interactions.read(folder))
    (data,) = made
    yield "the log", lambda: _held(data.log.columns)
    yield (
        "train's log",
        lambda: "of the same arrays" if data.train_log.columns.time is data.log.columns.time else _held(data.train_log.columns),
    )
    place = {item_id: number for number, item_id in enumerate(data.catalogue)}
    yield "statistics: like-rates by item and moment", lambda: str(ItemRates(data).rate("0", None))[:5]
    yield "the bundled assessor's tables", lambda: _nothing(OfflineAssessor(data))
    judged: list[Judgements] = []
    yield "training rows with what was known before each", lambda: judged.append(Judgements.of(data, place, "all"))
    model = ItemKNN()
    model._know(list(place))
    model._warm = np.arange(len(place))
    yield "item-kNN's counts, from training rows", lambda: f"{model._rows(judged[0].tokens).nnz:,} cells"
    judged.clear()
    yield "who is ranked for in validation", lambda: f"{len(RankingTask(data, 'valid', most=1000)):,} users"
    asked: list = []  # type: ignore[type-arg]
    yield f"{QUESTIONS:,} questions of the test split", lambda: asked.extend(sample_events(data, "test", QUESTIONS, seed=0))
    yield "how much was known before each", lambda: f"{int(data.log.count_earlier(data.events[-QUESTIONS:]).mean())} on average"
    yield "their histories, as objects", lambda: f"{sum(len(data.log.earlier(event)) for event in asked):,} events"


def _held(columns: object) -> str:
    arrays = (getattr(columns, name) for name in ("item", "time", "liked", "row", "starts", "ends"))
    return f"holds {sum(array.nbytes for array in arrays) / 1e9:.2f} GB"


def _nothing(made: object) -> None:
    del made


def count(word: str) -> int:
    if int(word) < 1000:
        raise argparse.ArgumentTypeError("at least 1,000")
    return int(word)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", choices=list(INSIDE), default="events", help="steps on events, mapped columns, or a stage")
    parser.add_argument("--events", type=count, default=2_000_000)
    parser.add_argument("--users", type=count, default=40_000)
    parser.add_argument("--items", type=count, default=20_000)
    parser.add_argument("--folder", type=Path, help="where the events are written for the time being")
    parser.add_argument("--inside", choices=["make", "measure", "open", "keep", *STAGES], help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
