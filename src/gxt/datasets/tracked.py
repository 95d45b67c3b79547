"""The ids by which DVC and Git LFS know a dataset that they track.

DVC's files are read, not DVC itself: a `.dvc` file beside what it tracks (https://doc.dvc.org/user-guide/project-structure/dvc-files),
and dvc.lock. An id is told only where it is that of the bytes that are here, and not of others that DVC had once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gxt import git
from gxt.errors import GxtError
from gxt.git import Repository
from gxt.pointers import POINTER_SIZE, read_pointer

if TYPE_CHECKING:
    from gxt.datasets.files import Digest, Member

_FOLDER = ".dir"


def by_dvc(path: Path, base: Path | None) -> frozenset[str] | None:
    """The MD5s that DVC has for what is at a path, those of folders with `.dir`; None where it tracks no such thing."""
    found = set(_md5s(path.with_name(f"{path.name}.dvc"), path.name))
    for folder in _up(path, base):
        found |= set(_md5s(folder / "dvc.lock", path.name))
        if folder.with_name(f"{folder.name}.dvc").is_file():  # in a folder that is tracked as a whole
            found |= _inside(folder, path)
    return frozenset(found) or None


def dvc_id(by_dvc: frozenset[str], members: Sequence[Member], found: Sequence[Digest], is_one: bool) -> str | None:
    """The one of those MD5s that is of these bytes."""
    if is_one:
        oid = found[0].md5
    else:
        pairs = zip(members, found, strict=True)
        listing = [{"md5": one.md5, "relpath": member.name} for member, one in pairs]
        # As DVC writes it: https://github.com/iterative/dvc-data, Tree.as_bytes
        text = json.dumps(sorted(listing, key=lambda entry: entry["relpath"]), sort_keys=True)
        oid = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + _FOLDER
    return f"md5:{oid}" if oid in by_dvc else None


def _up(path: Path, base: Path | None) -> Iterator[Path]:
    """The folders above a path, up to the work tree's top; without one, or outside of it, its own."""
    for folder in path.parents:
        yield folder
        if base is None or folder == base or not folder.is_relative_to(base):
            return


def _md5s(file: Path, name: str) -> Iterator[str]:
    """The MD5s that a .dvc file or dvc.lock has for outputs of that name."""
    document = _document(file)
    stages = document.get("stages") if file.name == "dvc.lock" else {"": document}
    for stage in stages.values() if isinstance(stages, dict) else ():
        outputs = stage.get("outs") if isinstance(stage, dict) else None
        for output in outputs if isinstance(outputs, list) else ():
            if not isinstance(output, dict):
                continue
            path, md5 = output.get("path"), output.get("md5")
            if isinstance(path, str) and isinstance(md5, str) and Path(path).name == name:
                yield md5


def _inside(folder: Path, path: Path) -> set[str]:
    """The MD5 that DVC has of a file in a folder that it tracks, from its cache's list of the folder's files."""
    found = set()
    name = path.relative_to(folder).as_posix()
    for md5 in _md5s(folder.with_name(f"{folder.name}.dvc"), folder.name):
        for above in folder.parents:
            cache = above / ".dvc" / "cache"
            for listing in (cache / "files" / "md5" / md5[:2] / md5[2:], cache / md5[:2] / md5[2:]):
                try:
                    entries = json.loads(listing.read_bytes())
                    found |= {entry["md5"] for entry in entries if entry["relpath"] == name}
                except (OSError, ValueError, KeyError, TypeError):
                    continue
    return found


def _document(file: Path) -> dict[str, Any]:
    from gxt.yamltext import load_mapping  # here for start-up time

    try:
        return load_mapping(file.read_bytes(), file.name)
    except (OSError, GxtError):
        return {}


def lfs_id(repo: Repository, path: Path, sha256: str) -> str | None:
    """The object id of a file that Git LFS tracks: of one whose pointer in the index stands for these bytes, or of a
    pointer itself, where the bytes were not fetched."""
    if repo.work_tree is None or not path.is_relative_to(repo.work_tree) or not _may_be_lfs(repo.work_tree, path):
        return None
    try:
        data = git.read_indexed(repo, path.relative_to(repo.work_tree).as_posix(), POINTER_SIZE)
    except GxtError:
        return None
    pointer = read_pointer(data) if data is not None else None
    if pointer is None or sha256 not in (pointer.oid, hashlib.sha256(data or b"").hexdigest()):
        return None
    return f"sha256:{pointer.oid}"


def _may_be_lfs(base: Path, path: Path) -> bool:
    """Whether any attributes could say so: without them, git need not be asked."""
    for folder in _up(path, base):
        try:
            if b"lfs" in (folder / ".gitattributes").read_bytes():
                return True
        except OSError:
            continue
    return False
