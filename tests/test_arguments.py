"""Arguments as callers write them are understood in one way, or refused with what would be right."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pytest

from score_rag.arguments import read_count, read_id, read_text, read_time
from score_rag.errors import InputError

DAY = 1_577_836_800
"""2020-01-01, midnight UTC."""


@pytest.mark.parametrize(
    "given",
    [
        DAY,
        str(DAY),
        np.int64(DAY),
        float(DAY),
        "2020-01-01",
        " 2020-01-01T00:00:00Z ",
        "2020-01-01T02:00:00+02:00",
        date(2020, 1, 1),
        datetime(2020, 1, 1),
        datetime(2020, 1, 1, tzinfo=UTC),
        datetime(2020, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
    ],
)
def test_a_time_has_many_forms_and_one_meaning(given):
    assert read_time(given) == DAY


def test_now_is_none_and_a_part_of_a_second_has_begun():
    assert read_time(None) is None
    assert read_time(12.5) == read_time("12.5") == read_time(datetime(1970, 1, 1, 0, 0, 12, 1)) == 13
    assert read_time(-5) == read_time("-5") == -5


@pytest.mark.parametrize("factor", [10**3, 10**6, 10**9])
@pytest.mark.parametrize("form", [int, str])
def test_milliseconds_and_smaller_are_refused_with_the_seconds_that_they_are(factor, form):
    with pytest.raises(InputError, match="not in seconds") as caught:
        read_time(form(DAY * factor))
    assert "2020-01-01 00:00:00 UTC" in str(caught.value.hint) and str(caught.value.hint).endswith(f"give {DAY}")


@pytest.mark.parametrize("given", ["tomorrow", "", "²", True, float("nan"), float("inf"), [], b"2020-01-01", "20200101", "9" * 40, 10**400])
def test_what_is_no_time_is_refused(given):
    with pytest.raises(InputError) as caught:
        read_time(given, where="--as-of")
    assert caught.value.where == "--as-of" and "2021-06-30" in str(caught.value.expected)


def test_a_date_without_hyphens_is_asked_back():
    with pytest.raises(InputError) as caught:
        read_time("20200101")
    assert caught.value.hint == "as a date: 2020-01-01"


@pytest.mark.parametrize("given", [0, -1, 2.5, True, "3", None])
def test_a_count_is_one_or_more(given):
    assert read_count(np.int32(3), where="k") == 3
    with pytest.raises(InputError, match="1 or more"):
        read_count(given, where="k")


def test_a_number_is_the_id_that_its_digits_are():
    assert read_id(42, where="user_id") == read_id("42", where="user_id") == read_id(np.int64(42), where="user_id") == "42"
    assert read_id(2**64, where="user_id") == "18446744073709551616"
    for given in (4.0, True, None, Decimal(4), b"42"):
        with pytest.raises(InputError, match="an id is a text or a whole number"):
            read_id(given, where="user_id")


def test_half_of_a_surrogate_pair_is_no_text():
    assert read_text("Amélie 🎬", where="the query") == "Amélie 🎬"
    with pytest.raises(InputError, match="surrogate") as caught:
        read_text("a\ud800b", where="the query")
    assert caught.value.found == "'\\ud800' at character 2"
    str(caught.value).encode()
