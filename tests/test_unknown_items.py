"""Items that are rated and not in the catalogue: counted, kept under their ids or left out, however many there are."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from score_rag.data import load

COLUMNS = ("item_id", "title", "year", "genres", "creators", "keywords")


def written(folder, items, rows, columns=COLUMNS):
    """A folder of the source `table`: events as (user, item), and items with their first columns filled."""
    lines = [",".join([str(item), *[f"{name}{item}" if name != "year" else "1990" for name in columns[1:]]]) for item in items]
    (folder / "items.csv").write_text("\n".join([",".join(columns), *lines]) + "\n", encoding="utf-8")
    events = [f"{user},{item},{1 + (place % 5)},{1_000_000_000 + place}" for place, (user, item) in enumerate(rows)]
    (folder / "interactions.csv").write_text("\n".join(["user_id,item_id,rating,timestamp", *events]) + "\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("strangers", range(4))
@pytest.mark.parametrize("width", [2, 3, 6])
@pytest.mark.parametrize("what", ["keep", "drop"])
def test_unknown_items_are_counted_and_kept_or_left_out(tmp_path, strangers, width, what):
    rows = [("u", "1"), ("u", "2"), *(("v", f"x{number}") for number in range(strangers)), ("v", "1")]
    folder = written(tmp_path, ["1", "2"], rows, COLUMNS[:width])
    read, report = load("table", folder, unknown_items=what)
    told = "\n".join(report.lines())
    assert ("not in the catalogue" in told) == bool(strangers), told
    if what == "drop":
        assert len(read.events) == 3 and set(read.catalogue) == {"1", "2"}
        assert sum(report.dropped.values()) == strangers
    else:
        assert len(read.events) == len(rows)
        assert [read.item(f"x{number}").name for number in range(strangers)] == [f"item x{number}" for number in range(strangers)]
        assert all(read.item(f"x{number}").genres == () for number in range(strangers))
    assert read.item("1").title == "title1"


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.sampled_from("uvw"), st.integers(0, 5)), min_size=1, max_size=8),
    items=st.lists(st.integers(0, 5), min_size=1, max_size=6, unique=True),
    width=st.integers(2, 6),
    what=st.sampled_from(["keep", "drop"]),
)
def test_any_number_of_users_items_and_strangers_is_read(tmp_path_factory, rows, items, width, what):
    if not {item for _, item in rows} & set(items):
        rows = [*rows, ("u", items[0])]
    folder = written(tmp_path_factory.mktemp("any"), items, rows, COLUMNS[:width])
    read, report = load("table", folder, unknown_items=what, split="leave-last-out")
    kept = [(user, item) for user, item in rows if what == "keep" or item in items]
    assert sorted(read.events.select("user_id", "item_id").cast(str).rows()) == sorted((user, str(item)) for user, item in kept)
    assert report.rows_read == len(rows) and set(read.catalogue) == {str(item) for item in items} | {str(item) for _, item in kept}
