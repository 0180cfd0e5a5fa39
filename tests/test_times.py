"""Times: every form that can be read one way is, the rest by `time_format`; nothing is taken for 1970 in silence."""

from __future__ import annotations

import json
import time
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_malformed_forms import parquet

from score_rag.data import load
from score_rag.data.settings import DataSettings
from score_rag.errors import DataError, InputError

ITEMS = "item_id,title\n1,Heat\n"


def epoch(*parts):
    return int(datetime(*parts, tzinfo=UTC).timestamp())


def read(folder, cells, *, ending="csv", **reading):
    """(seconds in the order of the rows, report) of a file with these cells for times."""
    if ending == "csv":
        rows = "".join(f'u,1,{place % 2},"{cell}"\n' for place, cell in enumerate(cells))
        content = ("user_id,item_id,label,timestamp\n" + rows).encode()
    elif ending == "parquet":
        content = parquet(user_id=["u"] * len(cells), item_id=["1"] * len(cells), label=[n % 2 for n in range(len(cells))], timestamp=cells)
    else:
        rows = [{"user_id": "u", "item_id": "1", "label": place % 2, "timestamp": cell} for place, cell in enumerate(cells)]
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (folder / f"interactions.{ending}").write_bytes(content)
    (folder / "items.csv").write_text(ITEMS, encoding="utf-8")
    data, report = load("table", folder, split="leave-last-out", **reading)
    return sorted(data.events["timestamp"].to_list()), report


NOON = epoch(2020, 1, 6, 10, 15, 30)
PLAIN = {
    "2020-01-06": epoch(2020, 1, 6),
    "2020/01/06": epoch(2020, 1, 6),
    "2020.1.6": epoch(2020, 1, 6),
    "2020/1/6 10:15": epoch(2020, 1, 6, 10, 15),
    "2020-01-06T10:15:30": NOON,
    "2020-01-06 10:15:30.75": NOON,
    "2020-01-06 10:15:30 AM": NOON,
    "2020-01-06T12:15:30+02:00": NOON,
    "2020-01-06 10:15:30 UTC": NOON,
    "2020-01-06T10:15:30Z": NOON,
    "20200106T101530Z": NOON,
    "Mon, 06 Jan 2020 11:15:30 +0100": NOON,
    "Mon, 06 Jan 2020 10:15:30 GMT": NOON,
    "06 Jan 2020": epoch(2020, 1, 6),
    "06-January-2020": epoch(2020, 1, 6),
    "January 6, 2020": epoch(2020, 1, 6),
    "Mon Jan  6 10:15:30 2020": NOON,
    "Mon Jan 06 10:15:30 +0000 2020": NOON,
    "20200106": epoch(2020, 1, 6),
    "20200106101530": NOON,
    "1578305730": NOON,
    "1578305730.9": NOON,
    "1578305730123": NOON,
}


@pytest.mark.parametrize("cell", PLAIN)
def test_a_form_with_one_meaning_needs_no_setting_and_no_warning(tmp_path, cell):
    found, report = read(tmp_path, [cell])
    assert found == [PLAIN[cell]]
    assert not [line for line in report.warnings if " times of " in line]


@pytest.mark.parametrize(
    ("form", "cell", "second"),
    [
        ("%m/%d/%Y %I:%M:%S %p", "11/12/2019 2:14:46 PM", epoch(2019, 11, 12, 14, 14, 46)),
        ("%d.%m.%Y", "31.12.2019", epoch(2019, 12, 31)),
        ("%d/%m/%Y", "01/02/2019", epoch(2019, 2, 1)),
        ("%m %d, %Y", "09 13, 2009", epoch(2009, 9, 13)),
        ("%d.%m.%Y %H:%M:%S.%f %z", "06.01.2020 11:15:30.5 +0100", NOON),
        ("%Y%m%d", "20191231", epoch(2019, 12, 31)),
        ("date-number", "201912", epoch(2019, 12, 1)),
        ("date-number", "1999", epoch(1999, 1, 1)),
        ("seconds", "20191231", 20191231),
        ("milliseconds", "315532800000", epoch(1980, 1, 1)),
        ("microseconds", "315532800000000", epoch(1980, 1, 1)),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_form_that_was_told_is_read(tmp_path, form, cell, second, ending):
    assert read(tmp_path, [cell], time_format=form, ending=ending)[0] == [second]


def test_numbers_in_json_and_parquet_go_by_the_same_form(tmp_path):
    for ending, folder in (("jsonl", tmp_path / "a"), ("parquet", tmp_path / "b")):
        folder.mkdir()
        for reading in ({}, {"time_format": "date-number"}, {"time_format": "%Y%m%d"}):
            found, _ = read(folder, [20191231, 20200101], ending=ending, **reading)
            assert found == [epoch(2019, 12, 31), epoch(2020, 1, 1)], (ending, reading)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_what_lands_before_1980_or_in_the_future_is_warned_of_with_what_the_file_says(tmp_path, ending):
    cells = [20191331, 20191231] if ending != "csv" else ["20191331", "20191231"]
    _, report = read(tmp_path, cells, ending=ending)
    early = next(line for line in report.warnings if "1980" in line)
    assert early.startswith("2 of 2 times") and "20191231 (1970-08-22)" in early and "data.time_format" in early
    late = int(time.time()) + 400 * 86_400
    _, report = read(tmp_path, [late, NOON] if ending != "csv" else [str(late), str(NOON)], ending=ending)
    assert next(line for line in report.warnings if "in the future" in line).startswith("1 of 2 times")
    assert str(late) in next(line for line in report.warnings if "in the future" in line)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["11/12/2019 2:14:46 PM", "11/13/2019 5:53:12 AM"], ["%m/%d/%Y %I:%M:%S %p", "data.time_format=", "line 2"]),
        (["31.12.2019", "01.02.2019"], ["%d.%m.%Y", "data.time_format"]),
        (["01/02/2019"], ["%m/%d/%Y or %d/%m/%Y"]),
    ],
)
def test_a_form_with_two_meanings_is_refused_with_the_setting_that_reads_it(tmp_path, cells, said):
    with pytest.raises(DataError) as caught:
        read(tmp_path, cells)
    assert [part for part in said if part not in str(caught.value)] == [], caught.value


def test_a_cell_that_is_not_as_told_is_refused_with_its_line(tmp_path):
    with pytest.raises(DataError, match=r"line 3: timestamp: expected a time as data.time_format says, %d.%m.%Y, found '2019-12-31'"):
        read(tmp_path, ["31.12.2019", "2019-12-31"], time_format="%d.%m.%Y")
    with pytest.raises(DataError, match=r"line 3: timestamp: expected a date written as a number"):
        read(tmp_path, ["20191231", "20191331"], time_format="date-number")


def test_times_without_a_zone_are_in_the_one_that_was_told(tmp_path):
    cells = ["2020-03-29 02:30:00", "2020-07-01 12:00:00", "2020-10-25 02:30:00", "2020-07-01T12:00:00Z", "2020-12-01 12:00"]
    there = {"time_zone": "Europe/Berlin"}
    expected = [epoch(2020, 3, 29, 1, 30), epoch(2020, 7, 1, 10), epoch(2020, 7, 1, 12), epoch(2020, 10, 25, 0, 30), epoch(2020, 12, 1, 11)]
    assert read(tmp_path, cells, **there)[0] == expected
    (tmp_path / "interactions.csv").unlink()
    moments = [datetime(2020, 7, 1, 12), datetime(2020, 12, 1, 12)]
    assert read(tmp_path, moments, ending="parquet", **there)[0] == [epoch(2020, 7, 1, 10), epoch(2020, 12, 1, 11)]
    aware = pl.Series(moments).dt.replace_time_zone("UTC")
    assert read(tmp_path, aware, ending="parquet", **there)[0] == [epoch(2020, 7, 1, 12), epoch(2020, 12, 1, 12)]
    assert read(tmp_path, [date(2020, 7, 1)], ending="parquet", **there)[0] == [epoch(2020, 6, 30, 22)]


@settings(max_examples=80, deadline=None)
@given(
    moments=st.lists(
        st.datetimes(datetime(1981, 1, 1), datetime(2025, 1, 1)).map(lambda t: t.replace(microsecond=0)), min_size=1, max_size=5
    ),
    form=st.sampled_from(["%d.%m.%Y %H:%M:%S", "%m/%d/%y %I:%M:%S %p", "%Y%m%d%H%M%S", "%A, %d %B %Y %H.%M.%S", "%j %Y %H:%M:%S"]),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]),
)
def test_a_form_of_strptime_means_what_it_means_to_python(tmp_path_factory, moments, form, zone):
    """Hours that come twice or never are left to the test above."""
    there = ZoneInfo(zone)
    plain = [m for m in moments if m.replace(tzinfo=there).utcoffset() == m.replace(tzinfo=there, fold=1).utcoffset()]
    cells = list(dict.fromkeys(m.strftime(form) for m in plain))
    if cells:
        expected = sorted({int(datetime.strptime(cell, form).replace(tzinfo=there).timestamp()) for cell in cells})
        found, _ = read(tmp_path_factory.mktemp("form"), cells, time_format=form, time_zone=zone)
        assert found == expected


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"time_format": "%H:%M"}, "it names no day"),
        ({"time_format": "dd.mm.yyyy"}, "a form such as"),
        ({"time_format": "%Q"}, "no form of strptime"),
        ({"time_zone": "Berlin"}, "no such time zone"),
    ],
)
def test_a_form_or_zone_that_is_none_is_refused_before_anything_is_read(setting, said):
    with pytest.raises(InputError, match=said):
        DataSettings.of(source="table", path="x", **setting)
