"""What a patch makes of a commit, without a trace in anybody's index, objects or files."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from gxt.errors import GitError
from gxt.git.process import call, git_error
from gxt.git.repository import Repository
from gxt.git.snapshots import own_objects

_HAS_PARTS = re.compile(rb"^diff --git ", re.MULTILINE)


class Unlike(NamedTuple):
    """The paths at which what a patch makes of a commit is not what another has: those that the patch changes, and
    those that it leaves as they were. Written as git quotes them."""

    changed: list[str]
    lacking: list[str]


def compare_patch(repo: Repository, old: str, new: str, text: bytes, folder: Path) -> Unlike | None:
    """What a patch makes of a commit, compared with another commit; None where it does not fit the first one.

    Of binary files a patch may say only what they become, by their ids.

    Args:
        folder: for what is needed meanwhile; it is not removed.

    Raises:
        GitError: git does not read one of the commits.
    """
    (folder / "objects").mkdir(parents=True, exist_ok=True)
    own = own_objects(repo, folder)
    _ask(repo, own, "read-tree", old)
    if _HAS_PARTS.search(text):
        try:
            _ask(repo, own, "apply", "--cached", "--whitespace=nowarn", stdin=text)
        except GitError:
            return None
    tree = _ask(repo, own, "write-tree").decode().strip()
    changed = set(_differing(repo, own, old, tree))
    differ = _differing(repo, own, tree, new)
    return Unlike([path for path in differ if path in changed], [path for path in differ if path not in changed])


def _differing(repo: Repository, own: Mapping[str, str], one: str, other: str) -> list[str]:
    return os.fsdecode(_ask(repo, own, "diff-tree", "-r", "--no-renames", "--name-only", one, other)).splitlines()


def _ask(repo: Repository, own: Mapping[str, str], *args: str, stdin: bytes = b"") -> bytes:
    # From inside the git directory, so that no path is taken for one below some folder of a work tree.
    code, out, err = call([f"--git-dir={repo.common_dir}", *args], repo.common_dir, stdin, own)
    if code:
        raise git_error(args, err)
    return out
