"""Files that are either whole or not there: atomic writes, digests, folder locks.

Everything is written aside and moved into place in one step, so that a process killed at any moment leaves the old file or the new one,
never half of either, and never neither.
"""

from pathlib import Path

from score_rag.files.atomic import digest_file, digest_json, digest_text, read_json, write_json, write_text
from score_rag.files.cache import CACHE_SETTING, cache_folder
from score_rag.files.full import full_disk
from score_rag.files.home import HOME, at_home, home, local_model, named_file
from score_rag.files.lock import folder_lock, writer_of
from score_rag.files.modes import share
from score_rag.files.once import make_once
from score_rag.files.parts import part_folder
from score_rag.files.seal import VERIFY, changed_file, check_sealed, digests_of, is_whole, sealed
from score_rag.files.staged import recover_folder, staged_folder

__all__ = [
    "CACHE_SETTING",
    "HOME",
    "VERIFY",
    "at_home",
    "cache_folder",
    "changed_file",
    "check_sealed",
    "digest_file",
    "digest_json",
    "digest_text",
    "digests_of",
    "folder_lock",
    "full_disk",
    "home",
    "is_whole",
    "local_model",
    "make_once",
    "named_file",
    "part_folder",
    "read_json",
    "recover_folder",
    "sealed",
    "share",
    "shipped_folder",
    "staged_folder",
    "write_json",
    "write_text",
    "writer_of",
]


def shipped_folder(kind: str) -> Path:
    """The folder of shipped `prompts` or `pipelines`: inside an installed package, or at the top of a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "_shipped" / kind
    return inside if inside.is_dir() else package.parent / kind
