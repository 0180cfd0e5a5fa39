"""One file of a data set: taken from where it lies already or downloaded, and in either case checked.

A file that was brought by hand and turns out wrong is left for its owner to remove; one that was downloaded wrong is removed here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from score_rag.data.datasets import Remote
from score_rag.data.download import download
from score_rag.data.unpack import check_gzip
from score_rag.errors import DataError, FetchDataset
from score_rag.progress import Report

if TYPE_CHECKING:
    import httpx

__all__ = ["Desk", "Obtained"]


@dataclass(frozen=True)
class Obtained:
    """A file, whole and checked.

    Attributes:
        path: Where it lies.
        address: Where it was downloaded from; None where it lay there already.
        checked: How it was checked.
    """

    path: Path
    address: str | None
    checked: str


@dataclass(frozen=True)
class Desk:
    """Where the files of one call are obtained: what they share.

    Attributes:
        remotes: All files of the data set.
        folder: Where downloads lie, and where a file brought by hand is looked for.
        client: From `open_client`.
        mirror: The address asked instead of the publisher's host, if any.
        pauses: Seconds to wait before further tries.
        report: Told kilobytes.
        again: What to do again, for errors.
    """

    remotes: tuple[Remote, ...]
    folder: Path
    client: httpx.Client
    mirror: str | None
    pauses: Sequence[float]
    report: Report
    again: FetchDataset

    def obtain(self, remote: Remote) -> Obtained:
        """A file that lies there whole, or else from the first address that gives it.

        Raises:
            DataError: No address gives it, or its bytes are not the expected ones.
        """
        path = self.folder / remote.name
        if path.is_file():
            try:
                return Obtained(path, None, self.check(remote, path))
            except DataError as error:
                error.hint, error.remedy = "remove that file; it is then downloaded", self.again
                raise
        troubles: list[DataError] = []
        for address in self.addresses(remote):
            try:
                download(address, path, client=self.client, size=remote.size, pauses=self.pauses, report=self.report)
                try:
                    return Obtained(path, address, self.check(remote, path))
                except DataError as error:
                    # All its bytes came, and they are wrong: kept, they would make every later call fail the same way.
                    path.unlink(missing_ok=True)
                    error.where = address
                    raise
            except DataError as error:
                troubles.append(error)
        first = troubles[0]
        raise DataError(
            first.what,
            where=" and ".join(dict.fromkeys(str(trouble.where) for trouble in troubles)),
            expected=first.expected,
            found="; ".join(dict.fromkeys(trouble.found or trouble.what for trouble in troubles)),
            hint=self.by_hand(),
            remedy=self.again,
        ) from first

    def by_hand(self) -> str:
        """How to do without this machine's network: all files that are not there yet, at once."""
        lacking = [(remote.addresses[0], (self.folder / remote.name).resolve()) for remote in self.remotes]
        saves = ", and ".join(f"{address} as {path}" for address, path in lacking if not path.is_file())
        return f"or bring it by hand: save {saves}; then"

    def addresses(self, remote: Remote) -> list[str]:
        """Where to ask: the mirror alone, where there is one."""
        return [f"{self.mirror}{urlsplit(remote.addresses[0]).path}"] if self.mirror else list(remote.addresses)

    def check(self, remote: Remote, path: Path) -> str:
        """Whether a whole file has the expected bytes; how that was known.

        Raises:
            DataError: It has other bytes.
        """
        if remote.size is not None and path.stat().st_size != remote.size:
            raise DataError(
                f"{remote.name} is not the file that was expected",
                where=path,
                expected=f"{remote.size:,} bytes",
                found=f"{path.stat().st_size:,} bytes",
            )
        expected, known_from = remote.checksum, "known beforehand"
        if expected is not None and not expected.startswith("md5:"):
            expected, known_from = self.published(expected), "published beside it"
        if expected is not None:
            with path.open("rb") as stream:
                found = f"md5:{hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()}"
            if found != expected:
                raise DataError(f"{remote.name} is not the file that was expected", where=path, expected=expected, found=found)
            return f"{remote.name}: MD5 {known_from}"
        if path.suffix == ".gz":
            check_gzip(path, report=self.report)
            return f"{remote.name}: its own CRC-32 and length (nobody publishes a checksum)"
        return f"{remote.name}: its own CRC-32s (the published MD5 could not be read)"

    def published(self, address: str) -> str | None:
        """The MD5 that lies beside an archive; None where it cannot be had, as for a file that was brought by hand."""
        path = self.folder / Path(urlsplit(address).path).name
        if self.mirror:
            address = f"{self.mirror}{urlsplit(address).path}"
        try:
            download(address, path, client=self.client, pauses=self.pauses[:1])
        except DataError:
            return None
        # Both forms are in use: `MD5 (ml-1m.zip) = c4d9...` and `c4d9...  ml-1m.zip`.
        digits = re.search(r"\b[0-9a-f]{32}\b", path.read_bytes()[:4096].decode("ascii", errors="replace").lower())
        path.unlink()
        return f"md5:{digits[0]}" if digits else None
