"""The feedback log under torn lines and killed writers: a dictionary all the same, and nothing acknowledged is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from score_rag.feedback.log import FeedbackLog
from score_rag.feedback.record import Feedback, to_line

events = st.builds(
    Feedback,
    event_id=st.sampled_from("abcdef"),
    user_id=st.text(min_size=1, max_size=4),
    item_id=st.sampled_from(["1", "2", "ü"]),
    liked=st.booleans(),
    timestamp=st.integers(0, 2**40),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("post"), st.lists(events, max_size=4)),
        st.tuples(st.just("put"), st.lists(events, max_size=4)),
        st.tuples(st.just("tear"), st.binary(max_size=200).filter(lambda raw: b"\n" not in raw)),
        st.tuples(st.just("half"), events),
        st.tuples(st.just("forget"), st.lists(st.sampled_from("abcdefg"), max_size=3)),
        st.tuples(st.just("compact"), st.none()),
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(steps=steps)
def test_whatever_is_torn_and_sent_again_the_log_is_a_dictionary(steps, tmp_path_factory):
    """Model: a dictionary by id, first word for POST, last for PUT, none after DELETE. Half lines come and go between the writers."""
    folder = tmp_path_factory.mktemp("log")
    logs, model = [FeedbackLog(folder), FeedbackLog(folder)], {}
    for number, (what, given_) in enumerate(steps):
        if what in ("tear", "half"):
            if logs[0].path.exists():
                raw = given_ if what == "tear" else to_line(given_)[:-7]
                with logs[0].path.open("ab") as stream:
                    stream.write(raw)
            continue
        if what == "forget":
            assert logs[number % 2].forget(given_) == [name for name in dict.fromkeys(given_) if model.pop(name, None)]
            continue
        if what == "compact":
            assert logs[number % 2].compact().kept == len(model)
            continue
        logs[number % 2].append(given_, overwrite=what == "put")
        for one in given_:
            if what == "put" or one.event_id not in model:
                model[one.event_id] = one
    for log in (*logs, FeedbackLog(folder)):
        log.refresh()
        assert {name: (one.user_id, one.item_id, one.liked, one.timestamp) for name, one in log.events.items()} == {
            name: (one.user_id, one.item_id, one.liked, one.timestamp) for name, one in model.items()
        }
        assert log.damaged == 0


WRITER = """
import sys
from score_rag.feedback.log import FeedbackLog
from score_rag.feedback.record import Feedback
log = FeedbackLog(sys.argv[1])
for number in range(10**9):
    log.append([Feedback(f"{sys.argv[2]}-{number}", "u" * 3000, "i", True, number)])
    print(number, flush=True)
"""


FORGETTER = """
import sys
from score_rag.feedback.log import FeedbackLog
from score_rag.feedback.record import Feedback
log = FeedbackLog(sys.argv[1])
for number in range(10**9):
    log.append([Feedback(f"k{number}", "kept", "i", True, number), Feedback(f"g{number}", "gone", "i", True, number)])
    log.forget([f"g{number}"])
    print(f"{number} forgotten", flush=True)
    log.compact()
"""


def test_a_killed_forgetter_leaves_the_old_log_or_the_new_one(tmp_path):
    for turn in range(3):
        folder = tmp_path / str(turn)
        writer = subprocess.Popen([sys.executable, "-c", FORGETTER, str(folder)], stdout=subprocess.PIPE, text=True)
        writer.stdout.readline()
        time.sleep(0.1 + 0.03 * turn)
        writer.send_signal(signal.SIGKILL)
        done = [line for line in writer.communicate()[0].splitlines() if line.endswith("forgotten")]
        log = FeedbackLog(folder)
        log.refresh()
        last = len(done)
        assert {f"k{number}" for number in range(last)} <= set(log.events) and log.damaged == 0
        assert not {f"g{number}" for number in range(last)} & set(log.events)


def test_a_killed_writer_loses_nothing_that_it_acknowledged(tmp_path):
    """Two writers at once, killed at no moment in particular, again and again."""
    acknowledged = set()
    for turn in range(3):
        writers = {
            f"{turn}{name}": subprocess.Popen(
                [sys.executable, "-c", WRITER, str(tmp_path), f"{turn}{name}"], stdout=subprocess.PIPE, text=True
            )
            for name in "xy"
        }
        for writer in writers.values():
            writer.stdout.readline()
        time.sleep(0.15)
        for writer in writers.values():
            writer.send_signal(signal.SIGKILL)
        for name, writer in writers.items():
            rest = writer.communicate()[0].splitlines()
            acknowledged |= {f"{name}-0", *(f"{name}-{number}" for number in rest if number.isdigit())}
    log = FeedbackLog(tmp_path)
    log.refresh()
    assert len(acknowledged) > 12 and acknowledged <= set(log.events) and log.damaged == 0
