"""Archives that are unsafe, broken or too large are refused, and leave nothing."""

from __future__ import annotations

import gzip
import io
import stat
import zipfile

import pytest
from fetch_world import ARCHIVE, RATINGS, SMALL, get, left, line, packed  # noqa: F401

from score_rag.data.unpack import check_gzip, unpack_zip
from score_rag.errors import DataError


def linked(name: str, kind: int) -> bytes:
    """A zip with an entry of another kind than a file."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = (kind | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    return stream.getvalue()


def twice(name: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, "1")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr(name, "2")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("archive", "said"),
    [
        (packed({"fine.txt": "x", "../evil.txt": "x"}), r"'\.\./evil\.txt' leads outside"),
        (packed({"a/../../evil.txt": "x"}), "leads outside"),
        (packed({"..\\evil.txt": "x"}), "leads outside"),
        (packed({"/evil.txt": "x"}), "'/evil.txt' leads outside"),
        (packed({"C:\\evil.txt": "x"}), "leads outside"),
        (linked("link", stat.S_IFLNK), "'link' is a link"),
        (linked("device", stat.S_IFCHR), "'device' is no plain file"),
        (twice("a"), "'a' comes twice"),
        (packed({"zeros": bytes(17 << 20)}), "suspiciously much"),
        (ARCHIVE[: len(ARCHIVE) // 2], "damaged"),
        (ARCHIVE[:5000] + bytes([ARCHIVE[5000] ^ 0xFF]) + ARCHIVE[5001:], "damaged"),
        (b"", "damaged"),
    ],
    ids=["up", "up later", "up, Windows", "absolute", "drive", "link", "device", "twice", "bomb", "cut", "one bit", "empty"],
)
def test_an_archive_that_is_unsafe_or_broken_is_refused(tmp_path, archive, said):
    file, into = tmp_path / "a.zip", tmp_path / "in" / "into"
    file.write_bytes(archive)
    into.mkdir(parents=True)
    with pytest.raises(DataError, match=said) as caught:
        unpack_zip(file, into)
    assert caught.value.where == str(file) and sorted(path.name for path in tmp_path.rglob("*evil*")) == []


def test_limits_of_an_archive_are_of_all_files_together(tmp_path):
    (tmp_path / "a.zip").write_bytes(packed({"b": bytes(range(256)), "a/c": bytes(range(256))}))
    with pytest.raises(DataError, match="at most 511 bytes"):
        unpack_zip(tmp_path / "a.zip", tmp_path, most_bytes=511)
    assert left(tmp_path) == ["a.zip"]
    assert unpack_zip(tmp_path / "a.zip", tmp_path, most_bytes=512) == [tmp_path / "a" / "c", tmp_path / "b"]


def test_an_unsafe_archive_leaves_no_data_folder(line, get, tmp_path):
    line.serve(SMALL, packed({"ml-latest-small/ratings.csv": "r", "ml-latest-small/../../movies.csv": "m"}))
    with pytest.raises(DataError, match="not safe to unpack") as caught:
        get()
    assert "remove that file" in caught.value.hint and left(tmp_path / "data") == ["ml-latest-small.download/ml-latest-small.zip"]
    line.serve(SMALL, packed({"ml-latest-small/ratings.csv": "r"}))
    (tmp_path / "data" / "ml-latest-small.download" / "ml-latest-small.zip").unlink()
    with pytest.raises(DataError, match=r"lacks files[\s\S]*movies\.csv"):
        get()
    assert not (tmp_path / "data" / "ml-latest-small").exists()


def test_a_gzip_file_is_read_to_its_end(tmp_path):
    file = tmp_path / "a.gz"
    content = RATINGS.encode()
    whole = gzip.compress(content)
    file.write_bytes(whole)
    check_gzip(file)
    for broken in (whole[:-1], whole[: len(whole) // 2], whole[:-8] + bytes(4) + whole[-4:], b"<html>", whole + b"tail"):
        file.write_bytes(broken)
        with pytest.raises(DataError, match="gzip file is damaged"):
            check_gzip(file)
    file.write_bytes(gzip.compress(bytes(17 << 20)))
    with pytest.raises(DataError, match="suspiciously much"):
        check_gzip(file)
