"""Which public data sets can be fetched: where they lie, how their bytes are known, what may be done with them, what reads them.

A checksum is either known here (`md5:` and its digits, as GroupLens publishes them beside each stable archive), or the address at
which the publisher keeps it (archives that change over time), or None: nobody publishes one for the Amazon reviews, so that there the
size that the server announces and the CRC-32 inside the gzip file are all there is to check.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from score_rag.errors import InputError, did_you_mean

__all__ = ["AMAZON_YEARS", "DATASETS", "Dataset", "Remote", "find_dataset"]


@dataclass(frozen=True)
class Remote:
    """One file to download.

    Attributes:
        name: What it is called here.
        addresses: Where it lies; the second holds the same bytes and is asked when the first fails.
        size: Its bytes, where they are known beforehand.
        checksum: `md5:` and digits, or the address of a published MD5, or None.
    """

    name: str
    addresses: tuple[str, ...]
    size: int | None = None
    checksum: str | None = None


@dataclass(frozen=True)
class Dataset:
    """A data set that `fetch` knows.

    Attributes:
        name: What `fetch` takes.
        about: What it is, in a line.
        source: The word for `data.source` that reads it.
        licence: What may be done with it, and the address that says so.
        remotes: The files to download.
        holds: The files that must be there in the end.
    """

    name: str
    about: str
    source: str
    licence: str
    remotes: tuple[Remote, ...]
    holds: tuple[str, ...]

    @property
    def folder(self) -> str:
        """The name of its folder (a colon is no part of a file name everywhere)."""
        return self.name.replace(":", "-")


_GROUPLENS = "https://files.grouplens.org/datasets/movielens"
_RESEARCH = "for research; acknowledge it in publications; no commercial use without permission"
_KEEP = f"{_RESEARCH}; no redistribution without permission"
_SHARE = f"{_RESEARCH}; redistribution only under the same conditions"


def _movielens(
    name: str, about: str, licence: str, readme: str, holds: tuple[str, ...], *, size: int | None = None, md5: str | None = None
) -> Dataset:
    address = f"{_GROUPLENS}/{name}.zip"
    checksum = f"md5:{md5}" if md5 else f"{address}.md5"
    return Dataset(
        name=name,
        about=about,
        source="movielens",
        licence=f"{licence} ({_GROUPLENS}/{readme})",
        remotes=(Remote(f"{name}.zip", (address,), size, checksum),),
        holds=holds,
    )


_CSV = ("ratings.csv", "movies.csv")

_UCSD = "https://mcauleylab.ucsd.edu/public_datasets/data"

AMAZON_YEARS = {
    "2014": (
        # Stanford first: its files have kept one address since 2014, those of San Diego have moved from host to host.
        ("https://snap.stanford.edu/data/amazon/productGraph/categoryFiles", f"{_UCSD}/amazon/categoryFiles"),
        "reviews_{category}_5.json.gz",
        ("https://snap.stanford.edu/data/amazon/productGraph/categoryFiles", f"{_UCSD}/amazon/categoryFiles"),
        "meta_{category}.json.gz",
        "https://jmcauley.ucsd.edu/data/amazon/links.html",
    ),
    "2018": (
        (f"{_UCSD}/amazon_v2/categoryFilesSmall", "https://jmcauley.ucsd.edu/data/amazon_v2/categoryFilesSmall"),
        "{category}_5.json.gz",
        (f"{_UCSD}/amazon_v2/metaFiles2", "https://jmcauley.ucsd.edu/data/amazon_v2/metaFiles2"),
        "meta_{category}.json.gz",
        "https://nijianmo.github.io/amazon/index.html",
    ),
    "2023": (
        (
            f"{_UCSD}/amazon_2023/raw/review_categories",
            "https://datarepo.eng.ucsd.edu/mcauley_group/data/amazon_2023/raw/review_categories",
        ),
        "{category}.jsonl.gz",
        (f"{_UCSD}/amazon_2023/raw/meta_categories", "https://datarepo.eng.ucsd.edu/mcauley_group/data/amazon_2023/raw/meta_categories"),
        "meta_{category}.jsonl.gz",
        "https://amazon-reviews-2023.github.io",
    ),
}
"""A year's folders and file names of reviews and of items, and the page that describes them."""


def _amazon(year: str, category: str) -> Dataset:
    review_folders, review_name, item_folders, item_name, page = AMAZON_YEARS[year]
    parts = ((review_folders, review_name), (item_folders, item_name))
    named = tuple((folders, name.format(category=category)) for folders, name in parts)
    cores = "all reviews" if year == "2023" else "reviews by users and of items with at least five"
    return Dataset(
        name=f"amazon-{year}:{category}",
        about=f"Amazon reviews of {year}, {category.replace('_', ' ')}: {cores}, and the items",
        source="amazon",
        licence=f"no licence is stated; given for research, the authors ask to be cited ({page})",
        remotes=tuple(Remote(name, tuple(f"{folder}/{name}" for folder in folders)) for folders, name in named),
        holds=tuple(name for _, name in named),
    )


DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        _movielens(
            "ml-100k",
            "MovieLens, 100,000 ratings of 1,682 films by 943 users, 1997-1998",
            _KEEP,
            "ml-100k-README.txt",
            ("u.data", "u.item"),
            size=4_924_029,
            md5="0e33842e24a9c977be4e0107933c0723",
        ),
        _movielens(
            "ml-1m",
            "MovieLens, 1,000,209 ratings of about 3,900 films by 6,040 users, 2000-2003",
            _KEEP,
            "ml-1m-README.txt",
            ("ratings.dat", "movies.dat"),
            size=5_917_549,
            md5="c4d9eecfca2ab87c1945afe126590906",
        ),
        _movielens(
            "ml-latest-small",
            "MovieLens, about 100,000 ratings by 600 users; changes over time",
            _SHARE,
            "ml-latest-small-README.html",
            _CSV,
        ),
        _movielens(
            "ml-latest",
            "MovieLens, about 33 million ratings by 330,000 users; changes over time",
            _SHARE,
            "ml-latest-README.html",
            _CSV,
        ),
        _movielens(
            "ml-25m",
            "MovieLens, 25,000,095 ratings of 62,423 films by 162,541 users, 1995-2019",
            _KEEP,
            "ml-25m-README.html",
            _CSV,
            size=261_978_986,
            md5="6b51fb2759a8657d3bfcbfc42b592ada",
        ),
        _movielens(
            "ml-32m",
            "MovieLens, 32,000,204 ratings of 87,585 films by 200,948 users, 1995-2023",
            _SHARE,
            "ml-32m-README.html",
            _CSV,
            size=238_950_008,
            md5="d472be332d4daa821edc399621853b57",
        ),
        *(_amazon(year, "Video_Games") for year in AMAZON_YEARS),
    )
}
"""The data sets that have a name of their own; `amazon-YEAR:CATEGORY` finds every other category of Amazon too."""


def find_dataset(name: str) -> Dataset:
    """A data set by name.

    Args:
        name: A key of `DATASETS`, or `amazon-YEAR:CATEGORY` with the category spelled as in the file names of that year.

    Raises:
        InputError: There is no such data set.

    >>> find_dataset("ml-1m").holds
    ('ratings.dat', 'movies.dat')
    >>> find_dataset("amazon-2018:Books").holds
    ('Books_5.json.gz', 'meta_Books.json.gz')
    """
    if name in DATASETS:
        return DATASETS[name]
    amazon = re.fullmatch(r"amazon-(\d{4}):(\w+)", name, re.ASCII)
    if amazon and amazon[1] in AMAZON_YEARS:
        return _amazon(amazon[1], amazon[2])
    raise InputError(
        f"there is no data set {name!r} to fetch",
        expected=f"one of {', '.join(DATASETS)}, or amazon-YEAR:CATEGORY ({', '.join(AMAZON_YEARS)})",
        found=name,
        hint=did_you_mean(name, DATASETS),
    )
