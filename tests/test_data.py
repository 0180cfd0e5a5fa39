"""Reading, splitting, and the one rule: earlier is strictly earlier."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from conftest import write_tables
from hypothesis import given
from hypothesis import strategies as st

from score_rag.data import DataReport, load
from score_rag.data.interactions import Interactions
from score_rag.data.log import Event, UserLog
from score_rag.data.sample import _world, read_films, simulate
from score_rag.data.split import split_events
from score_rag.errors import DataError, InputError
from score_rag.metrics.auc import auc

events = st.lists(
    st.builds(Event, st.sampled_from("uv"), st.sampled_from("abc"), st.booleans(), st.integers(0, 6), st.just(-1), st.just(False)),
    min_size=1,
    max_size=20,
)


@given(events, st.integers(0, 7), st.booleans())
def test_nothing_of_the_same_second_or_later_comes_back(rows, now, liked_only):
    log = UserLog(rows)
    for user in "uv":
        expected = [row for row in sorted(rows, key=lambda r: r.timestamp) if row.user_id == user and row.timestamp < now]
        assert log.before(user, now, liked_only=liked_only) == [row for row in expected if row.liked or not liked_only]
        for item in "abc":
            own = [row.liked for row in expected if row.item_id == item]
            assert log.verdict(user, item, now) == (own[-1] if own else None)


def test_only_the_last_few_are_told_when_asked():
    log = UserLog([Event("u", str(n), True, n) for n in range(5)])
    assert [e.item_id for e in log.before("u", 4, last=2)] == ["2", "3"]
    assert log.before("u", 4, last=0) == [] and log.before("stranger", None) == []


def test_quantile_split_is_by_global_time_and_never_cuts_a_second(toy):
    split = split_events(toy.events, split="quantiles", train=0.6, valid=0.2, report=DataReport("toy"))
    spans = {name: part["timestamp"] for (name,), part in split.group_by("split")}
    assert spans["train"].max() < spans["valid"].min() and spans["valid"].max() < spans["test"].min()
    assert abs(len(spans["train"]) / len(split) - 0.6) < 0.01
    with pytest.raises(InputError):
        split_events(toy.events, split="quantiles", train=0.9, valid=0.2, report=DataReport("toy"))
    with pytest.raises(InputError, match="did you mean 'quantiles'"):
        split_events(toy.events, split="quantile", report=DataReport("toy"))
    with pytest.raises(DataError, match="unknown values"):
        Interactions(toy.events.with_columns(split=pl.lit("dev")), toy.items)
    with pytest.raises(DataError, match="no split column"):
        split_events(toy.events.drop("split"), split="column", report=DataReport("toy"))


def test_movielens_csv_titles_years_genres_and_quotes(tmp_path):
    (tmp_path / "movies.csv").write_text(
        'movieId,title,genres\n17,Sense and Sensibility (1995),Drama|Romance\n3,"American President, The (1995)",Comedy\n'
        "4,Babylon 5,(no genres listed)\n",
        encoding="utf-8",
    )
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,17,4.0,10\n1,3,3.5,20\n", encoding="utf-8")
    read, report = load("movielens", tmp_path)
    assert report.rows_read == 2
    assert [item.name for item in read.catalogue.values()] == ["Sense and Sensibility (1995)", "The American President (1995)", "Babylon 5"]
    assert read.item("4").genres == () and read.events["label"].to_list() == [1, 0]


def test_all_malformed_rows_are_told_at_once_with_file_line_and_value(tmp_path):
    (tmp_path / "movies.csv").write_text("movieId,title,genres\n1,Heat (1995),Crime\n", encoding="utf-8")
    (tmp_path / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n1,1,4,10\n1,1,x,20\n1,1,nan,30\n1,1,3,1.5\n,1,3,5\n", encoding="utf-8"
    )
    with pytest.raises(DataError) as caught:
        load("movielens", tmp_path)
    text = str(caught.value)
    assert "3 malformed cells" in text
    for line in ("line 3: rating", "line 4: rating", "line 6: userId"):
        assert line in text
    assert "found 'x'" in text


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("interactions.csv", "", "empty"),
        ("interactions.csv", "user_id,item_id,timestamp,label\n1,1,1,2\n", "0 or 1"),
        ("interactions.csv", "user_id,item_id,timestamp,label\n1,9,1,1\n", "not one item"),
        ("interactions.csv", "user_id,item_id,timestamp,label\n1,1,1,1,5\n", "expected 4 cells, found 5"),
        ("items.csv", "item_id,name\n1,A\n", "title"),
        ("interactions.csv", None, "missing"),
    ],
)
def test_a_malformed_table_is_refused_with_what_was_expected(tmp_path, name, content, said):
    good = {"interactions.csv": "user_id,item_id,timestamp,label\n1,1,1,1\n", "items.csv": "item_id,title\n1,A\n"}
    for file, text in {**good, name: content}.items():
        if text is not None:
            (tmp_path / file).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=said):
        load("table", tmp_path)


def test_tables_come_back_as_they_were_written(toy, tmp_path):
    read, _ = load("table", write_tables(toy, tmp_path), split="column")
    assert read.events.equals(toy.events) and read.items.equals(toy.items)
    toy.write(tmp_path / "stage")
    again = Interactions.read(tmp_path / "stage")
    assert again.events.equals(toy.events)


def test_unknown_sources_and_folders_are_named(tmp_path):
    with pytest.raises(InputError, match="did you mean 'sample'"):
        load("sampel")
    with pytest.raises(InputError, match="where its files are"):
        load("table")
    with pytest.raises(DataError, match="not there"):
        load("table", tmp_path / "nowhere")


def test_the_sample_is_real_films_and_simulated_users_the_same_each_time():
    films = read_films()
    assert len(films) == 500 and films["item_id"].n_unique() == 500 and films.null_count().sum_horizontal().item() == 0
    small = simulate(5, users=45)
    assert small.events.equals(simulate(5, users=45).events) and not small.events.equals(simulate(6, users=45).events)
    assert small.item("17").name == "Blade Runner (1982)"
    assert len(small.log.of("42")) >= 40 and min(len(small.log.of(user)) for user in small.log.users) >= 20


def test_the_sample_has_more_to_know_than_averages_tell():
    frame, _, true = _world(5, 150, 40)
    train = frame.head(int(0.8 * len(frame)))
    rates = dict(train.group_by("item_id").agg((pl.col("label").sum() + 3) / (pl.len() + 5)).iter_rows())
    rest = frame.slice(len(train))
    averages = np.array([rates.get(item, 0.6) for item in rest["item_id"]])
    assert auc(rest["label"].to_numpy(), true[len(train) :]) > auc(rest["label"].to_numpy(), averages) + 0.15
