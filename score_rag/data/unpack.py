"""Unpacking what came from elsewhere, trusting nothing that it says.

An archive may name a file outside its folder, hide a link, or be a bomb: a few kilobytes that unpack to terabytes. All names and sizes
are looked at before the first byte is written, and the bytes are counted again while they are.
"""

from __future__ import annotations

import errno
import gzip
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from score_rag.errors import DataError
from score_rag.progress import Report, silent

__all__ = ["check_gzip", "unpack_zip"]

_MOST_BYTES = 16 << 30
_MOST_RATIO = 100
_HARMLESS = 16 << 20
_MOST_FILES = 10_000
_PIECE = 1 << 20


def unpack_zip(
    archive: Path, into: Path, *, strip: str = "", most_bytes: int = _MOST_BYTES, most_ratio: int = _MOST_RATIO, report: Report = silent
) -> list[Path]:
    """Unpack a zip into a folder that only this call writes to.

    Args:
        archive: The zip.
        into: An existing folder.
        strip: A folder inside the archive whose content goes to `into` itself, when everything lies in it.
        most_bytes: Bytes that all files together may have.
        most_ratio: How many times the archive's own size that may be, above a harmless 16 MiB. Text packs to a tenth, a bomb to
            a thousandth.
        report: Told kilobytes.

    Returns:
        The files, sorted.

    Raises:
        DataError: A name leads outside or comes twice, an entry is no plain file, the limits are passed, or the archive is damaged
            (each file's CRC-32 is checked). What was written until then is the caller's to remove.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            entries = [info for info in packed.infolist() if not info.is_dir()]
            total = sum(info.file_size for info in entries)
            _check_limits(archive, len(packed.infolist()), total, most_bytes, most_ratio)
            targets = _targets(archive, packed.infolist(), strip)
            done = 0
            for info in entries:
                target = into / targets[info.filename]
                target.parent.mkdir(parents=True, exist_ok=True)
                with packed.open(info) as source, target.open("xb") as stream:
                    while piece := source.read(_PIECE):
                        stream.write(piece)
                        done += len(piece)
                        if done > total:
                            raise DataError("an archive holds more than it says", where=archive, expected=f"{total:,} bytes", found="more")
                        report(f"unpack {archive.name}, kB", done // 1000, max(total // 1000, 1))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError) as error:
        # Zip's offsets and names are taken at their word by the standard library: a damaged one is a seek to nowhere, or no UTF-8; a
        # packing method that it does not know is its NotImplementedError.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        told = str(error) or "its end is missing"
        raise DataError("an archive is damaged", where=archive, expected="a whole zip file", found=told) from error
    report(f"unpack {archive.name}, kB", max(total // 1000, 1), max(total // 1000, 1))
    return sorted(into / targets[info.filename] for info in entries)


def _check_limits(archive: Path, files: int, total: int, most_bytes: int, most_ratio: int) -> None:
    # Against the archive's size on disk, not the packed sizes that it claims: entries of a bomb may share the same packed bytes.
    allowed = min(most_bytes, max(_HARMLESS, most_ratio * archive.stat().st_size))
    if total > allowed:
        raise DataError("an archive unpacks to suspiciously much", where=archive, expected=f"at most {allowed:,} bytes", found=f"{total:,}")
    if files > _MOST_FILES:
        raise DataError("an archive holds suspiciously many files", where=archive, expected=f"at most {_MOST_FILES:,}", found=f"{files:,}")


def _targets(archive: Path, infos: list[zipfile.ZipInfo], strip: str) -> dict[str, PurePosixPath]:
    """Where each entry goes, relative to the folder; every name is checked before any is used."""
    mistakes: list[str] = []
    paths: dict[str, PurePosixPath] = {}
    for info in infos:
        path = PurePosixPath(info.filename.replace("\\", "/"))
        kind = stat.S_IFMT(info.external_attr >> 16)
        if path.is_absolute() or PureWindowsPath(info.filename).drive or ".." in path.parts or not path.parts:
            mistakes.append(f"{info.filename!r} leads outside")
        elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            mistakes.append(f"{info.filename!r} is {'a link' if kind == stat.S_IFLNK else 'no plain file'}")
        elif info.flag_bits & 0x1:
            mistakes.append(f"{info.filename!r} is encrypted")
        elif info.filename in paths:
            mistakes.append(f"{info.filename!r} comes twice")
        paths[info.filename] = path
    if mistakes:
        shown = "; ".join(mistakes[:5]) + (f"; and {len(mistakes) - 5} more" if len(mistakes) > 5 else "")
        raise DataError("an archive is not safe to unpack", where=archive, expected="plain files below its own folder", found=shown)
    if strip and all(path.parts[0] == strip for path in paths.values()):
        return {name: path.relative_to(strip) for name, path in paths.items()}
    return paths


def check_gzip(file: Path, *, most_ratio: int = _MOST_RATIO, report: Report = silent) -> None:
    """Read a gzip file to its end, which checks its length and its CRC-32; nothing is written.

    Raises:
        DataError: It is no gzip file, its end is missing, its content is damaged, or it unpacks to more than 16 MiB and
            `most_ratio` times its size.
    """
    size, done = file.stat().st_size, 0
    most = max(_HARMLESS, most_ratio * size)
    try:
        with file.open("rb") as raw, gzip.GzipFile(fileobj=raw) as stream:
            while piece := stream.read(_PIECE):
                done += len(piece)
                if done > most:
                    raise DataError(
                        "a gzip file unpacks to suspiciously much", where=file, expected=f"at most {most:,} bytes", found="more"
                    )
                report(f"check {file.name}, kB", min(raw.tell(), size) // 1000, max(size // 1000, 1))
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError("a gzip file is damaged", where=file, expected="a whole gzip file", found=str(error)) from error
    report(f"check {file.name}, kB", max(size // 1000, 1), max(size // 1000, 1))
