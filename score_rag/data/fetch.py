"""A public data set, downloaded, checked, unpacked, and ready for `data.source` to read.

Everything happens in `NAME.download` beside the final folder, and the final folder appears in one move when all is well. A call that
was killed goes on where it was; a call that has nothing to do says so. Where there is no network, the error says which file to bring
by hand and where to put it: the same call takes the file that lies there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from score_rag.data.datasets import DATASETS, Dataset, find_dataset
from score_rag.data.download import PAUSES, open_client
from score_rag.data.obtain import Desk, Obtained
from score_rag.data.unpack import unpack_zip
from score_rag.errors import ChangeSetting, DataError, FetchDataset, InputError
from score_rag.files import digest_file, folder_lock, read_json, staged_folder, write_json
from score_rag.progress import Report, silent

__all__ = ["DATASETS", "Fetched", "fetch"]

RECORD = "fetched.json"
MIRROR = "SCORE_RAG_MIRROR"


@dataclass(frozen=True)
class Fetched:
    """A data set that is there.

    Attributes:
        name: Which one.
        folder: Where it is.
        files: Its files.
        source: The word for `data.source`.
        licence: What may be done with it, and where that is said.
        checked: How each downloaded file was checked.
        already: Whether it was there before, so that nothing was done.
    """

    name: str
    folder: Path
    files: tuple[Path, ...]
    source: str
    licence: str
    checked: tuple[str, ...]
    already: bool = False

    @property
    def yaml(self) -> str:
        """The lines of a pipeline file that read it."""
        return f"data:\n  source: {self.source}\n  path: {json.dumps(str(self.folder), ensure_ascii=False)}\n"

    @property
    def settings(self) -> ChangeSetting:
        """The same, for a pipeline that reads something else."""
        return ChangeSetting({"data.source": self.source, "data.path": str(self.folder)})


def fetch(
    name: str,
    into: Path | str,
    *,
    report: Report = silent,
    force: bool = False,
    mirror: str | None = None,
    timeout: float = 60.0,
    pauses: Sequence[float] = PAUSES,
) -> Fetched:
    """Download a data set into `into/NAME`; what is there already is left alone.

    Args:
        name: A key of `DATASETS`, or `amazon-YEAR:CATEGORY`.
        into: The folder that holds data sets.
        report: Told kilobytes downloaded, checked and unpacked.
        force: Fetch again, and replace the whole folder once the new one is complete.
        mirror: Asked instead of the publisher's host; the paths are the same. Default: the environment's `SCORE_RAG_MIRROR`.
        timeout: Seconds that a server may be silent.
        pauses: Seconds to wait before further tries.

    Raises:
        InputError: There is no such data set, or the mirror is no address.
        DataError: It cannot be had, its bytes are not the expected ones, or the folder holds something else.
        LockedError: Another process is fetching it.
    """
    dataset = find_dataset(name)
    folder = Path(into).expanduser() / dataset.folder
    again = FetchDataset(name, into=str(into), force=force)
    if not force and (kept := _kept(dataset, folder, again)):
        return kept
    base = _mirror(mirror)
    aside = folder.with_name(f"{folder.name}.download")
    try:
        with folder_lock(aside, doing=f"fetch {name}", elsewhere=FetchDataset(name, "FOLDER")), open_client(timeout=timeout) as client:
            desk = Desk(dataset.remotes, aside, client, base, pauses, report, again)
            obtained = [desk.obtain(remote) for remote in dataset.remotes]
            _settle(dataset, folder, obtained, report, again)
            # Inside the lock: whoever comes next finds either the finished folder or an empty place.
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        where = error.filename or aside
        raise DataError("a file cannot be read or written", where=where, found=error.strerror or str(error), remedy=again) from error
    return _told(dataset, folder, read_json(folder / RECORD), already=False)


def _settle(dataset: Dataset, folder: Path, obtained: list[Obtained], report: Report, again: FetchDataset) -> None:
    """Unpack or move the downloaded files into the final folder, its record beside them."""
    archives = [one.path for one in obtained if one.path.suffix == ".zip"]
    plain = {one.path.name: one.path for one in obtained if one.path.suffix != ".zip"}
    downloads = [
        {"address": one.address, "size": one.path.stat().st_size, "sha256": digest_file(one.path), "checked": one.checked}
        for one in obtained
    ]
    with staged_folder(folder) as staging:
        try:
            unpacked = [path for archive in archives for path in unpack_zip(archive, staging, strip=dataset.name, report=report)]
        except DataError as error:
            error.hint, error.remedy = "remove that file; it is then downloaded", again
            raise
        found = {path.relative_to(staging).as_posix(): path for path in unpacked} | plain
        if missing := [name for name in dataset.holds if name not in found]:
            told = ", ".join(sorted(found)[:10]) or "nothing"
            raise DataError(f"{dataset.name} lacks files", where=archives[0], expected=", ".join(missing), found=told)
        record = {
            "name": dataset.name,
            "fetched": time.strftime("%Y-%m-%d %H:%M:%S"),
            "licence": dataset.licence,
            "downloads": downloads,
            "files": {name: {"size": path.stat().st_size, "sha256": digest_file(path)} for name, path in sorted(found.items())},
        }
        write_json(staging / RECORD, record)
        # Last, because a failure before this line removes the staging folder with all that is in it.
        for name, path in plain.items():
            path.replace(staging / name)


def _kept(dataset: Dataset, folder: Path, again: FetchDataset) -> Fetched | None:
    """What an earlier call left, if it is complete; None where there is nothing.

    Raises:
        DataError: Something else is there, or files of it are gone.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    if not (folder / RECORD).is_file():
        raise DataError(
            f"there is something at the place of {dataset.name} already, and it was not fetched",
            where=folder,
            expected=f"nothing, or a folder with {RECORD}",
            found=", ".join(sorted(path.name for path in folder.iterdir())[:5]) if folder.is_dir() else "a file",
            hint=f"use it as it is (data.path={folder}), choose another folder, or replace it",
            remedy=replace(again, force=True),
        )
    record = read_json(folder / RECORD)
    files = record.get("files", {}) if isinstance(record, dict) and record.get("name") == dataset.name else {}
    harmed = [name for name, facts in files.items() if not (folder / name).is_file() or (folder / name).stat().st_size != facts["size"]]
    if harmed or not files:
        raise DataError(
            f"{dataset.name} was fetched, but its folder is no longer what it was",
            where=folder,
            expected=f"the files of {RECORD}, each of its size",
            found=f"missing or changed: {', '.join(harmed)}" if harmed else f"{RECORD} does not describe {dataset.name}",
            remedy=replace(again, force=True),
        )
    return _told(dataset, folder, record, already=True)


def _told(dataset: Dataset, folder: Path, record: dict[str, Any], *, already: bool) -> Fetched:
    files = tuple(folder / name for name in record["files"])
    checked = tuple(one["checked"] for one in record["downloads"])
    return Fetched(dataset.name, folder, files, dataset.source, dataset.licence, checked, already)


def _mirror(given: str | None) -> str | None:
    """The mirror's address without a slash at its end, or None."""
    mirror = (given if given is not None else os.environ.get(MIRROR, "")).strip().rstrip("/")
    if mirror and not re.match(r"https?://[^/\s]+", mirror):
        raise InputError("the mirror is no address", where=MIRROR if given is None else "mirror", expected="https://HOST/...", found=mirror)
    return mirror or None
