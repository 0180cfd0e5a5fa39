"""Files as the umask wants them, a disk that is full, a home that cannot be written to: each in one line that helps."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from score_rag.cli.remedies import advice
from score_rag.errors import DataError, FetchDataset
from score_rag.files import cache_folder, folder_lock, full_disk, make_once, share, staged_folder, write_json


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o022, 0o027, 0o077, 0o002], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_what_is_staged_can_be_read_by_whom_the_umask_allows(tmp_path, umask):
    from safetensors.numpy import save_file

    with staged_folder(tmp_path / "stage") as aside:
        save_file({"a": np.zeros(3)}, str(aside / "model.safetensors"))
        (aside / "inner").mkdir(mode=0o700)
        (aside / "inner" / "program").write_text("x")
        (aside / "inner" / "program").chmod(0o700)
        write_json(aside / "finished.json", {})
    assert mode(tmp_path / "stage") == mode(tmp_path / "stage" / "inner") == 0o777 & ~umask
    assert mode(tmp_path / "stage" / "model.safetensors") == mode(tmp_path / "stage" / "finished.json") == 0o666 & ~umask
    assert mode(tmp_path / "stage" / "inner" / "program") == 0o700 | (0o666 & ~umask)
    assert {file.name for file in (tmp_path / "stage").rglob("*")} == {"model.safetensors", "finished.json", "inner", "program"}


def test_a_recommender_that_is_saved_by_itself_leaves_other_files_alone(tmp_path, toy):
    from score_rag.crm.registry import model_class

    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    before = os.umask(0o022)
    try:
        model_class("item-knn")().fit(toy).save_pretrained(tmp_path)
    finally:
        os.umask(before)
    assert mode(tmp_path / "model.safetensors") == mode(tmp_path / "config.json") == 0o644 and mode(secret) == 0o600


def test_shared_links_are_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("x")
    outside.chmod(0o600)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(outside)
    share(tmp_path / "folder")
    assert mode(outside) == 0o600


def _wrapped() -> Exception:
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise ValueError("something else") from error
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError("No space left on device (os error 28)"),
        pl.exceptions.ComputeError("parquet: File out of specification: underlying IO error: No space left on device (os error 28)"),
        RuntimeError("database or disk is full"),
        OSError("25600 requested and 8160 written"),
        _wrapped(),
    ],
    ids=repr,
)
def test_a_full_disk_is_one_error_whatever_noticed_it(tmp_path, error):
    with pytest.raises(DataError, match="the disk is full") as caught, staged_folder(tmp_path / "crm") as aside:
        (aside / "half").write_bytes(b"x" * 5000)
        raise error
    told = str(caught.value)
    assert str(tmp_path / "crm") in told and "5 kB were half written and are removed again" in told and "free" in told
    assert "same command again" in told and caught.value.__cause__ is error and list(tmp_path.iterdir()) == []
    with pytest.raises(DataError, match="the disk is full"), folder_lock(tmp_path / "run", doing="testing"):
        raise error


def test_other_errors_stay_what_they_are(tmp_path):
    for error in (OSError(errno.EACCES, "Permission denied"), ValueError("no"), DataError("No space left on device, says a file")):
        assert full_disk(error, tmp_path) is None
        with pytest.raises(type(error)) as caught, staged_folder(tmp_path / "x"):
            raise error
        assert caught.value is error


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_what_libraries_say_of_a_full_device_is_understood(tmp_path):
    table = pl.DataFrame({"a": list(range(100_000))})
    for write in (table.write_parquet, table.write_csv):
        with pytest.raises((OSError, pl.exceptions.PolarsError)) as caught:
            write("/dev/full")
        assert full_disk(caught.value, tmp_path) is not None


def test_a_folder_that_cannot_be_written_to_names_what_moves_it(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    with pytest.raises(DataError, match="cannot be written to") as caught, folder_lock(blocked / "run", doing="x"):
        pass
    assert advice(caught.value) == "choose another folder: --set runs=FOLDER"
    with (
        pytest.raises(DataError) as caught,
        folder_lock(blocked / "ml-1m", doing="x", elsewhere=FetchDataset("ml-1m", "FOLDER")),
    ):
        pass
    assert advice(caught.value) == "choose another folder: score-rag data fetch ml-1m --into FOLDER"


def test_an_unwritable_home_names_the_cache_s_own_setting(tmp_path, monkeypatch):
    from score_rag.encoders.encoder import TextEncoder

    (tmp_path / "home").write_text("no folder")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(DataError, match="cannot be written to") as caught:
        TextEncoder.untrained()
    assert "XDG_CACHE_HOME" in str(caught.value) and "runs" not in str(advice(caught.value))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache" / "score-rag"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    with pytest.raises(DataError, match="no home folder") as caught:
        cache_folder()
    assert "XDG_CACHE_HOME" in str(caught.value)


def test_what_is_made_once_is_made_where_it_can_be(tmp_path):
    make_once(tmp_path / "it", belongs="x", owner=tmp_path, doing="x", make=lambda aside: None, elsewhere="a variable")
    assert (tmp_path / "it" / "belongs.json").is_file()
