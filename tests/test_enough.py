"""What no later stage could learn from is said when the data is read, with the setting to change, and refused before any training."""

from __future__ import annotations

import pytest

from score_rag.data import load
from score_rag.data.enough import require_enough
from score_rag.errors import ChangeSetting, DataError
from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.runner import run
from score_rag.pipeline.stages import stages


def world(folder, *, rating=lambda place: 1 + place % 5, second=lambda place: place, users=10, events=12, judged="rating"):
    """Each of some users rates some items, one after another."""
    folder.mkdir(exist_ok=True)
    rows = [
        f"u{user},i{event},{rating(user + event)},{1_000_000_000 + second(event) * 100_000 + user}"
        for event in range(events)
        for user in range(users)
    ]
    (folder / "interactions.csv").write_text("\n".join([f"user_id,item_id,{judged},timestamp", *rows]) + "\n", encoding="utf-8")
    (folder / "items.csv").write_text("item_id,title\n" + "".join(f"i{n},T{n}\n" for n in range(events)), encoding="utf-8")
    return folder


def lacks(folder, **settings):
    """What the report says, and the remedy of the refusal (None where nothing is refused)."""
    _, report = load("table", folder, **settings)
    try:
        require_enough(report.to_dict(), folder)
    except DataError as error:
        said = [lack["what"] for lack in report.lacks]
        assert said and all(any(what in line for line in report.lines()) for what in said) and all(what in str(error) for what in said)
        return "; ".join(said), error.remedy
    assert report.lacks == []
    return "", None


def test_enough_is_enough(tmp_path):
    assert lacks(world(tmp_path)) == ("", None)


@pytest.mark.parametrize(
    ("rating", "threshold"),
    [(lambda place: place % 3 / 2, 0.5), (lambda place: 5 + place % 5, 7.0), (lambda place: int(place % 4 == 0), 1.0)],
)
def test_one_label_only_names_the_threshold_that_gives_both(tmp_path, rating, threshold):
    said, remedy = lacks(world(tmp_path, rating=rating))
    assert "every train event is a" in said and "data.threshold is 4" in said and remedy == ChangeSetting({"data.threshold": threshold})
    assert lacks(tmp_path, threshold=threshold) == ("", None)


def test_one_rating_only_and_one_label_only_say_so(tmp_path):
    assert "every rating is 5" in lacks(world(tmp_path / "a", rating=lambda place: 5))[0]
    assert "every train event is a like" in lacks(world(tmp_path / "b", rating=lambda place: 1, judged="label"))[0]


def test_events_of_one_second_name_the_ties(tmp_path):
    said, remedy = lacks(world(tmp_path, second=lambda place: 0, users=30))
    assert "share one second" in said and remedy == ChangeSetting({"data.ties": "file-order"})
    assert lacks(tmp_path, ties="file-order")[0] == ""


@pytest.mark.parametrize(("users", "events", "said"), [(2, 60, "of 2 users"), (4, 5, "too few events whose user had 3 earlier ones")])
def test_too_few_users_or_events_are_counted(tmp_path, users, events, said):
    assert said in lacks(world(tmp_path, users=users, events=events))[0]


def test_a_core_that_leaves_too_little_is_the_setting_to_change(tmp_path):
    _, remedy = lacks(world(tmp_path), max_users=2)
    assert remedy == ChangeSetting({"data.max_users": None})
    _, remedy = lacks(world(tmp_path, users=5, events=5), k_core=5)
    assert remedy == ChangeSetting({"data.k_core": None})


def test_a_run_stops_before_anything_is_trained_and_says_what_to_change(tmp_path):
    folder, file = world(tmp_path / "data", rating=lambda place: place % 2), tmp_path / "p.yaml"
    file.write_text(f"name: p\nruns: {tmp_path / 'runs'}\ndata: {{source: table, path: {folder}}}\n", encoding="utf-8")
    pipeline = load_pipeline(str(file))
    run(pipeline, stages(pipeline), until="data")
    with pytest.raises(DataError, match="cannot be learned from") as caught:
        run(pipeline, stages(pipeline))
    assert caught.value.remedy == ChangeSetting({"data.threshold": 1.0}) and str(folder) in str(caught.value)
    assert (tmp_path / "runs" / "p" / "data" / "report.json").is_file() and not (tmp_path / "runs" / "p" / "crm").exists()
    # A recommender alone is nobody's question.
    changed = load_pipeline(str(file), overrides=["crm.model=item-knn", "crm.experts=[]"])
    assert [found.action for found in run(changed, stages(changed), until="crm")] == ["skipped", "ran"]


def test_a_dry_run_tells_what_the_files_hold_and_what_they_lack(tmp_path):
    def planned(folder):
        pipeline = load_pipeline("ml-1m-collm", overrides=[f"data.path={folder}", "data.split=quantiles", f"runs={tmp_path / 'runs'}"])
        return run(pipeline, stages(pipeline), only="data", dry_run=True)[0].plan

    assert "120 events of 10 users" in planned(world(tmp_path / "enough")) and "cannot learn" not in planned(tmp_path / "enough")
    assert "later stages cannot learn from this: every train event is a like" in planned(world(tmp_path / "same", rating=lambda place: 5))
    assert "it would fail: " in planned(tmp_path / "nowhere")
    assert not (tmp_path / "runs").exists()
