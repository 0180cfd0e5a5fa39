"""Questions whose evidence moved P(like) the most: towards the true answer, and away from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from score_rag.context.segments import segment
from score_rag.data.interactions import event_rows
from score_rag.evaluation.stored import changes_since, made_from
from score_rag.files import read_json
from score_rag.pipeline.run import Run
from score_rag.pipeline.state import run_folder
from score_rag.report.section import Example, Piece, Section

__all__ = ["examples_section"]

_COLUMNS = {
    "removed: all of other users": "what comes of other users",
    "removed: neighbours": "the other users in the prompt",
    "removed: expectation": "the recommenders' expectations",
    "without: neighbour 1": "the first other user",
}
_EACH = 3


def examples_section(run: Run) -> Section:
    """Three questions of each sort, by the stored table that says most; none where nothing is stored."""
    found = _newest(run)
    if found is None:
        hint = f"no table of the present run says what evidence changes: score-rag evaluate {run.pipeline.words} --evidence"
        return Section("examples", "Good and bad evidence", notes=[hint])
    file, column = found
    frame = pl.read_parquet(file).drop_nulls(column)
    label, whole, without = (frame[name].to_numpy() for name in ("label", "SCORE", column))
    gain = _log(whole, label) - _log(without, label)
    order = np.argsort(-gain, kind="stable")
    good = [place for place in order[:_EACH].tolist() if gain[place] > 0]
    bad = [place for place in order[::-1][:_EACH].tolist() if gain[place] < 0]
    share = float((gain > 0).mean())
    notes = [
        f"By {file.stem}, {len(frame):,} questions: {_COLUMNS[column]} moved P(like) towards the true answer in {share:.0%} of them, by "
        f"{gain.mean():+.4f} nats on average. Below are the extremes, which are no average."
    ]
    parts = [
        Section(name, title, examples=_examples(run, frame, places, column))
        for name, title, places in (("good", "The right way", good), ("bad", "The wrong way", bad))
        if places
    ]
    return Section("examples", "Good and bad evidence", notes=notes, parts=parts)


def _newest(run: Run) -> tuple[Path, str] | None:
    """The stored predictions of the present run that say most of evidence."""
    now = made_from(run.pipeline)
    best: list[tuple[int, str, Path, str]] = []
    for file in sorted((run_folder(run.pipeline) / "evaluation").glob("*.parquet")):
        table = read_json(file.with_suffix(".json")) if file.with_suffix(".json").is_file() else {}
        if any(change.startswith("predictor") for change in changes_since(table.get("made_from", {}), now)):
            continue
        names = pl.read_parquet_schema(file)
        for rank, column in enumerate(_COLUMNS):
            if column in names and "SCORE" in names:
                best.append((-rank, str(table.get("written", "")), file, column))
    return (max(best)[2], max(best)[3]) if best else None


def _log(said: np.ndarray, label: np.ndarray) -> Any:
    said = said.astype(np.float64)
    return np.log(np.clip(np.where(label == 1, said, 1.0 - said), 1e-12, 1.0))


def _examples(run: Run, frame: pl.DataFrame, places: list[int], column: str) -> list[Example]:
    rows = frame[places]
    events = list(event_rows(rows))
    _, told = run.write(run.finder.questions(events), keep_values=True)
    out = []
    for event, one, row in zip(events, told, rows.iter_rows(named=True), strict=True):
        name = run.interactions.catalogue[event.item_id].name
        spans = segment(run.prompt, one.values or {}, one.text)
        verdict = "liked" if event.liked else "disliked"
        said = f"P(like) {row['SCORE']:.3f} with it, {row[column]:.3f} without; the user {verdict} it."
        pieces = [Piece(one.text[span.start : span.end], span.kind, span.name) for span in spans]
        out.append(Example(f"User {event.user_id}, {name}", said, pieces))
    return out
